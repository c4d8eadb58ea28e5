"""What pools cost by list, told in the log and the results of operators."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.core.vm_sizes.prices import describe_price

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.pools.create import EnsuredPool
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.core.vm_sizes.prices import NodePrices
    from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook

__all__ = ["price_of_pool", "prices_of_sizes"]

log = logging.getLogger(__name__)


def price_of_pool(
    hook: BatchLinuxHook, settings: AccountSettings, pool: EnsuredPool
) -> dict[str, Any] | None:
    """
    Give what a pool and each of its nodes cost in an hour, and log it; ``None`` when that is not known.

    :return: ``currency``, ``dedicated_node``, ``spot_node``, and ``pool`` with all the nodes that it asks
        for, which is ``None`` under a formula.
    """
    found = prices_of_sizes(hook, settings, [pool.vm_size] if pool.vm_size else [])
    prices = found.get((pool.vm_size or "").lower())
    if prices is None:
        return None
    log.info("Pool %r costs %s.", pool.pool_id, describe_price(prices, pool.targets))
    whole = prices.per_hour(*pool.targets) if pool.targets is not None else None
    return {**prices.to_dict(), "pool": whole}


def prices_of_sizes(
    hook: BatchLinuxHook, settings: AccountSettings, vm_sizes: Iterable[str]
) -> dict[str, NodePrices]:
    """Look up what nodes of some VM sizes cost, by the size in lower case; those not known are left out."""
    if settings.prices is None:
        return {}
    from airflow_provider_batchlinux.client.pools.prices import find_prices

    async def story(_client: BatchLinuxClient) -> dict[str, NodePrices]:
        sizes = sorted({each.lower() for each in vm_sizes})
        found = await asyncio.gather(*(find_prices(settings, size) for size in sizes))
        return {size: prices for size, prices in zip(sizes, found, strict=True) if prices is not None}

    return hook.run(story, settings=settings)
