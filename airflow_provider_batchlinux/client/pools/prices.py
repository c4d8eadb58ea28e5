"""Query Azure's public price list, which is the same for all accounts and needs no credential."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp
from async_timeout import timeout

from airflow_provider_batchlinux.client.transport.account import AccountSettings
from airflow_provider_batchlinux.client.transport.session import open_session
from airflow_provider_batchlinux.core.vm_sizes.prices import NodePrices, price_filter, prices_in

log = logging.getLogger(__name__)

PRICE_LIST = "https://prices.azure.com/api/retail/prices"

_TIMEOUT = 15.0
_MAX_PAGES = 5


async def find_prices(
    settings: AccountSettings, vm_size: str, *, region: str, currency: str, url: str = PRICE_LIST
) -> NodePrices | None:
    """
    Return what nodes of a VM size cost in a region.

    :param settings: the account, for the certificates to trust; neither its key nor a token is sent.
    :param vm_size: such as ``standard_d2s_v5``.
    :param currency: such as ``USD``.
    :param url: the price list, or a mirror of it.
    :return: ``None`` if the list cannot be read; the reason is logged.
    """
    try:
        async with open_session(settings) as session:
            query = {"currencyCode": f"'{currency}'", "$filter": price_filter(region, vm_size)}
            async with timeout(_TIMEOUT):
                items = await _items(session, url, query)
        return prices_in(items, region, vm_size, currency)
    # A mirror may answer anything: JSON of another form raises a type, lookup or attribute error.
    except (
        aiohttp.ClientError,
        asyncio.TimeoutError,
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ) as error:
        log.warning("The price of %r is unknown: %s: %s", vm_size, type(error).__name__, error)
        return None


async def _items(session: aiohttp.ClientSession, url: str, query: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    page_url: str | None = url
    page_query: dict[str, str] | None = query
    for _ in range(_MAX_PAGES):
        async with session.get(str(page_url), params=page_query) as answer:
            answer.raise_for_status()
            page = await answer.json()
        found += page["Items"]
        # The link to the next page already contains the query.
        page_url, page_query = page.get("NextPageLink"), None
        if not page_url:
            break
    return found
