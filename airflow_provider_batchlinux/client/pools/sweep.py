"""Deleting the pools that nobody needs any more, and finding those on which nothing goes on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.tasks.jobs import end_orphans
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.instants import rest_instant
from airflow_provider_batchlinux.core.pools.sweep import OwnedPool, Sweep
from airflow_provider_batchlinux.exceptions import BatchRequestError

__all__ = ["delete_swept", "idle_pools"]

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

    return await fan_out(sweeps, delete, max_concurrency=_AT_ONCE)


async def idle_pools(
    client: BatchLinuxClient, pools: Sequence[OwnedPool], since: datetime
) -> list[OwnedPool]:
    """
    Find the pools whose nodes are paid for and have neither worked nor changed since an instant.

    One request tells which pools have idle nodes and none that runs a task; each of these costs another.
    """
    counts = {pool_id.lower(): states for pool_id, states in (await client.all_node_counts()).items()}

    def may_be_idle(pool: OwnedPool) -> bool:
        states = counts.get(pool.pool_id.lower(), {})
        return states.get("idle", 0) > 0 and not states.get("running")

    async def is_idle(pool: OwnedPool) -> bool:
        moved = f"state eq 'running' or stateTransitionTime ge DateTime'{rest_instant(since)}'"
        try:
            return not await client.list_nodes(pool.pool_id, where=moved)
        except BatchRequestError as error:
            if error.code != "PoolNotFound":
                raise
            return False

    likely = [pool for pool in pools if may_be_idle(pool)]
    found = await fan_out(likely, is_idle, max_concurrency=_AT_ONCE)
    return [pool for pool, idle in zip(likely, found, strict=True) if idle]
