"""Asking Azure's public price list, which knows no accounts: nothing of ours is sent to it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp

from airflow_provider_batchlinux.client.transport.account import AccountSettings
from airflow_provider_batchlinux.client.transport.session import open_session
from airflow_provider_batchlinux.core.vm_sizes.prices import NodePrices, price_filter, prices_in

__all__ = ["PRICE_LIST", "find_prices"]

log = logging.getLogger(__name__)

PRICE_LIST = "https://prices.azure.com/api/retail/prices"

_PATIENCE = 15.0
"""Seconds. A price is worth no more waiting than that."""

_MOST_PAGES = 5


async def find_prices(settings: AccountSettings, vm_size: str | None) -> NodePrices | None:
    """
    Look up what nodes of a VM size cost in the account's region; never fails.

    The list is public, so neither key nor token goes there.

    :param settings: the account, with the currency to ask for.
    :param vm_size: such as ``standard_d2s_v5``.
    :return: the prices; ``None`` when the connection asks for none, or they are not known, which is logged.
    """
    if settings.prices is None:
        return None
    region = settings.located_in
    if not region or not vm_size:
        missing = "region" if not region else "VM size"
        log.info("No price is looked up: the %s is not known.", missing)
        return None
    try:
        async with open_session(settings) as session:
            items = await asyncio.wait_for(_items(session, settings, region, vm_size), _PATIENCE)
        return prices_in(items, region, vm_size, settings.prices)
    # Whatever the list answers, or does not: a pool is not to fail for its price.
    except (
        aiohttp.ClientError,
        asyncio.TimeoutError,
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ) as error:
        log.warning("The price of %r is not known: %s: %s", vm_size, type(error).__name__, error)
        return None


async def _items(
    session: aiohttp.ClientSession, settings: AccountSettings, region: str, vm_size: str
) -> list[dict[str, Any]]:
    url: str | None = settings.prices_url or PRICE_LIST
    query: dict[str, str] | None = {
        "currencyCode": f"'{settings.prices}'",
        "$filter": price_filter(region, vm_size),
    }
    found: list[dict[str, Any]] = []
    for _ in range(_MOST_PAGES):
        async with session.get(str(url), params=query) as answer:
            answer.raise_for_status()
            page = await answer.json()
        found += page["Items"]
        url, query = page.get("NextPageLink"), None
        if not url:
            break
    return found
