"""The blob that carries the secrets of a command to its node: where it is, and its deletion."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.storage.access import StorageAccess
from airflow_provider_batchlinux.core.pool_metadata import SECRETS_KEY, metadata_of
from airflow_provider_batchlinux.core.storage.grants import Grant
from airflow_provider_batchlinux.core.storage.locations import parse_location
from airflow_provider_batchlinux.exceptions import BatchLinuxError

log = logging.getLogger(__name__)


def secrets_mark(blob: Grant) -> str:
    """Return what the metadata of a job says of the blob, without a SAS."""
    return json.dumps({"blob": str(blob.location), "conn_id": blob.conn_id})


async def job_with_secrets(client: BatchLinuxClient, job_id: str) -> Mapping[str, Any] | None:
    """Return a job, for :func:`delete_secrets` after it was deleted; ``None`` if it cannot be read."""
    try:
        return await client.find_job(job_id)
    except BatchLinuxError as error:
        log.warning("The secrets of job %r may remain in storage: %s", job_id, error)
        return None


async def delete_secrets(job: Mapping[str, Any] | None, storage: StorageAccess) -> None:
    """
    Delete the blob with secrets that the metadata of a job names, if it names one.

    A refusal is a warning: the command has ended, and the SAS of the blob expires.
    """
    mark = metadata_of(job).get(SECRETS_KEY) if job is not None else None
    if job is None or mark is None:
        return
    try:
        found = json.loads(mark)
        await storage.delete(parse_location(found["blob"]), found["conn_id"])
    except (BatchLinuxError, ValueError, LookupError, TypeError) as error:
        log.warning("The secrets of job %r remain in storage (%s): %s", job.get("id"), mark, error)
