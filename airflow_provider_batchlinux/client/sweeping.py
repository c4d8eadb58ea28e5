"""Deleting the pools that nobody needs any more, each only if it has not changed meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from airflow_provider_batchlinux.client.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.fan_out import fan_out
from airflow_provider_batchlinux.client.jobs import end_orphans
from airflow_provider_batchlinux.core.sweep import Sweep
from airflow_provider_batchlinux.exceptions import BatchRequestError

__all__ = ["delete_swept"]

log = logging.getLogger(__name__)

_AT_ONCE = 8


async def delete_swept(
    client: BatchLinuxClient, sweeps: Sequence[Sweep], id_prefix: str
) -> list[BatchRequestError | None]:
    """
    Ask for the deletion of pools, and of jobs that wait for a command on them.

    :param id_prefix: the connection's prefix of ids.
    :return: for each pool ``None``, or why it was not deleted. One that changed since it was looked at is
        left alone, because somebody may have taken it.
    """

    async def delete(sweep: Sweep) -> BatchRequestError | None:
        try:
            await client.delete_pool(sweep.pool.pool_id, etag=sweep.pool.etag)
            await end_orphans(client, sweep.pool.pool_id, id_prefix)
        except BatchRequestError as error:
            return error
        log.info("Pool %r: deletion asked for; %s.", sweep.pool.pool_id, sweep.reason)
        return None

    return await fan_out(sweeps, delete, at_once=_AT_ONCE)
