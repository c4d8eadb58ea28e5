"""Count what pools use, and end those that have used more than their budget."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.pools.sweep import OwnedPool
from airflow_provider_batchlinux.core.pools.usage import PoolUsage, Usage
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.exceptions import BatchLinuxError

log = logging.getLogger(__name__)


class Look(NamedTuple):
    """The nodes of a pool at an instant, or since, by the service's clock."""

    nodes: Sequence[NodeSnapshot]
    at: datetime


async def _look_or_warn(client: BatchLinuxClient, pool_id: str) -> Look | None:
    now = client.clock.now()
    try:
        return Look(await client.list_nodes(pool_id), now)
    except BatchLinuxError as error:
        log.warning("What pool %r has used lately is not known: %s", pool_id, error)
        return None


async def usage_now(client: BatchLinuxClient, recorded: PoolUsage) -> PoolUsage:
    """
    Return what a pool has used until now; nothing is changed.

    If its nodes cannot be listed, this is what the last look recorded, with a warning.

    :param recorded: what the pool's metadata says.
    """
    look = await _look_or_warn(client, recorded.pool_id)
    return recorded if look is None else recorded.seen(*look)


async def usages_now(client: BatchLinuxClient, pools: Sequence[OwnedPool]) -> list[OwnedPool]:
    """Return pools with their nodes, and with what they have used until now."""

    async def updated(pool: OwnedPool) -> OwnedPool:
        look = await _look_or_warn(client, pool.pool_id) if pool.nodes else None
        return pool if look is None else replace(pool, usage=pool.usage.seen(*look), seen=tuple(look.nodes))

    return await fan_out(pools, updated)


async def record_usages(client: BatchLinuxClient, pools: Sequence[OwnedPool]) -> None:
    """Record in the metadata of pools what :func:`usages_now` has found; a failure is only a warning."""

    async def record(pool: OwnedPool) -> None:
        usage = pool.usage.usage
        with _not_recorded_is_a_warning(pool.pool_id):
            await change_metadata(
                client, pool.pool_id, lambda metadata: usage.merged(Usage.read(metadata)).update(metadata)
            )

    used = [pool for pool in pools if pool.nodes]
    await fan_out(used, record)


async def record_usage(client: BatchLinuxClient, pool_id: str, look: Look) -> PoolUsage | None:
    """
    Record in a pool's metadata what its nodes have used; warn of a pool that has used more than its budget.

    With ``delete_over_budget`` such a pool is deleted, also if several Dag runs use it. A failure is only a
    warning, because the next look counts the same again.

    :return: the usage; ``None`` if the pool does not exist, or the service could not be asked.
    """
    with _not_recorded_is_a_warning(pool_id):
        after = await change_metadata(
            client,
            pool_id,
            lambda metadata: PoolUsage.read(pool_id, metadata).seen(*look).usage.update(metadata),
        )
        if after is None:
            return None
        found = PoolUsage.read(pool_id, after)
        if found.must_end:
            await client.delete_pool(pool_id)
            log.warning("Pool %r is being deleted: %s.", pool_id, found.excess)
        elif found.excess is not None:
            log.warning("Pool %r is over its budget: %s.", pool_id, found.excess)
        return found
    return None


@contextmanager
def _not_recorded_is_a_warning(pool_id: str) -> Iterator[None]:
    try:
        yield
    except BatchLinuxError as error:
        log.warning("What pool %r has used could not be recorded: %s", pool_id, error)
