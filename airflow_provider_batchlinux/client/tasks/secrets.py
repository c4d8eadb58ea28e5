"""The blobs that carry the secrets of commands to their nodes: where they are, and their deletion."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.storage.access import StorageAccess
from airflow_provider_batchlinux.client.tasks.results import mark_job
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.pool_metadata import SECRETS_KEY, metadata_of
from airflow_provider_batchlinux.core.storage.grants import Grant
from airflow_provider_batchlinux.core.storage.locations import parse_location
from airflow_provider_batchlinux.exceptions import BatchLinuxError

log = logging.getLogger(__name__)


def secrets_mark(blobs: Iterable[Grant]) -> str:
    """
    Return what the metadata of a job says about its blobs with secrets, without a SAS.

    Blobs that are numbered one by one after the first, ``a``, ``a-1``, ``a-2``, are named once with their
    number: a job may have thousands of them, and the service takes 1 MiB.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for blob in dict.fromkeys(blobs):
        place, conn_id = str(blob.location), blob.conn_id
        first, _, number = place.rpartition("-")
        row = rows.get((first, conn_id))
        if row is not None and number == str(row.get("count", 1)):
            row["count"] = int(number) + 1
        else:
            rows[place, conn_id] = {"blob": place, "conn_id": conn_id}
    found = list(rows.values())
    return json.dumps(found[0] if len(found) == 1 else found)


async def secrets_of(client: BatchLinuxClient, job_id: str) -> str | None:
    """Return where the secrets of a job are, as its metadata says; ``None`` if it names none."""
    try:
        job = await client.find_job(job_id)
    except BatchLinuxError as error:
        log.warning("The secrets of job %r may remain in storage: %s", job_id, error)
        return None
    return metadata_of(job).get(SECRETS_KEY) if job is not None else None


async def delete_secrets(mark: str | None, storage: StorageAccess) -> bool:
    """
    Delete the blobs with the secrets of commands that have ended, or that are ended next.

    A refusal is a warning: the SAS of the blob expires.

    :param mark: what :func:`secrets_mark` has written; ``None`` does nothing.
    :return: whether there was a blob, and it is gone.
    """
    if mark is None:
        return False
    try:
        found = json.loads(mark)
        places = [
            (parse_location(f"{row['blob']}-{number}" if number else row["blob"]), row["conn_id"])
            for row in (found if isinstance(found, list) else [found])
            for number in range(int(row.get("count", 1)))
        ]
        await fan_out(places, lambda place: storage.delete(*place))
    except (BatchLinuxError, ValueError, LookupError, TypeError) as error:
        log.warning("Secrets of a command that has ended remain in storage (%s): %s", mark, error)
        return False
    return True


async def forget_secrets(client: BatchLinuxClient, job_id: str) -> None:
    """Remove the mark of deleted secrets from a job that is kept, so that no sweep looks for them again."""
    try:
        await mark_job(client, job_id, SECRETS_KEY, None)
    except BatchLinuxError as error:
        # Whether the service lets a job be changed that has ended is not documented.
        log.info("Job %r still names its secrets, which are deleted: %s", job_id, error)
