"""Delete a pool that its Dag run no longer waits for."""

from __future__ import annotations

import logging
from enum import Enum

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.core.pool_metadata import PoolMarks

log = logging.getLogger(__name__)


class Deletion(Enum):
    """The outcome of a request to delete a pool."""

    REQUESTED = "requested"
    NOT_FOUND = "not found"
    KEPT = "kept"


async def delete_own_pool(
    client: BatchLinuxClient, pool_id: str, why: str, *, run: tuple[str, str], instance: str
) -> Deletion:
    """
    Delete a pool that one Dag run of this Airflow created and no other has reused; log the outcome.

    :param why: the end of a sentence, for the log.
    :param run: the Dag run, as Dag id and run id.
    :param instance: the connection's ``id_prefix``, which tells apart Airflows that share an account.
    :raises BatchRequestError: if the service refuses, or the pool has changed in that moment.
    """
    pool = await client.find_pool_body(pool_id, ["id", "eTag", "state", "metadata"])
    if pool is None:
        log.warning("Pool %r does not exist any more.", pool_id)
        return Deletion.NOT_FOUND
    marks = PoolMarks.of(pool)
    if marks.runs != (run,) or marks.owner.get("instance") != instance:
        log.warning("Pool %r is kept: it is not known to belong to this Dag run only.", pool_id)
        return Deletion.KEPT
    # The ETag lets the deletion fail if another run takes the pool in this moment.
    await client.delete_pool(pool_id, etag=pool.get("eTag"))
    log.warning("Pool %r is being deleted, because %s.", pool_id, why)
    return Deletion.REQUESTED
