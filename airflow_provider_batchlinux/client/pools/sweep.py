"""Delete pools that are no longer needed, and find pools that are idle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.pools.sweep import OwnedPool, Sweep, are_idle
from airflow_provider_batchlinux.exceptions import BatchRequestError

log = logging.getLogger(__name__)


async def delete_swept(client: BatchLinuxClient, sweeps: Sequence[Sweep]) -> list[BatchRequestError | None]:
    """
    Delete pools.

    A pool that has changed since it was read is kept, because another Dag run may have reused it.

    :return: for each pool ``None``, or why it was not deleted.
    """

    async def delete(sweep: Sweep) -> BatchRequestError | None:
        try:
            await client.delete_pool(sweep.pool.pool_id, etag=sweep.pool.etag)
        except BatchRequestError as error:
            return error
        log.info("Pool %r is being deleted: %s.", sweep.pool.pool_id, sweep.reason)
        return None

    return await fan_out(sweeps, delete)


async def idle_pools(
    client: BatchLinuxClient, pools: Sequence[OwnedPool], since: datetime
) -> list[OwnedPool]:
    """
    Return the pools whose nodes have neither run a task nor changed their state since an instant.

    The nodes are those that the count of the usage has seen. If it could not see them, they are listed again:
    a service that refuses that stops the sweep.
    """

    async def is_idle(pool: OwnedPool) -> bool:
        try:
            nodes = await client.list_nodes(pool.pool_id) if pool.seen is None else pool.seen
        except BatchRequestError as error:
            if error.code != "PoolNotFound":
                raise
            return False
        return are_idle(nodes, since)

    found = await fan_out(pools, is_idle)
    return [pool for pool, idle in zip(pools, found, strict=True) if idle]
