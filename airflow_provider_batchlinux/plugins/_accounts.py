"""The accounts that the page shows: read with the connections of this Airflow, and kept for a while."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowNotFoundException, conf

from airflow_provider_batchlinux.core.overview.pools import Reader
from airflow_provider_batchlinux.core.vm_sizes.prices import NodePrices
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchLinuxError,
    BatchUnreachableError,
)
from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.overview.cache import ReadingCache, Seen
    from airflow_provider_batchlinux.client.overview.readings import (
        AccountFacts,
        AccountReading,
        NodeReading,
        PoolReading,
    )
    from airflow_provider_batchlinux.client.transport.account import AccountSettings

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_AGE = 10.0
"""Seconds after which an account is read again."""

# Seconds. Quotas, prices and images change by the day.
_FACTS_MAX_AGE = 3600.0
_PLACE_MAX_AGE = 60.0
# The page is shown without quotas and prices rather than late.
_FACTS_PATIENCE = 2.0
# A visitor reloads the page; minutes of retries are for tasks.
_RETRY_BUDGET = 3.0

_OUT_OF_REACH = (
    "The API server itself asks the Batch account. It may lack the identity or the network of the workers: "
    "give it the same, or run the page on an API server that has them."
)


@dataclass
class Accounts:
    """
    Read accounts through a cache: many visitors cost no more requests than one.

    :param cache: keeps what was read.
    """

    cache: ReadingCache = field(default_factory=lambda: _cache())

    async def account(self, conn_id: str) -> Seen[AccountReading]:
        """Read all pools of an account."""
        from airflow_provider_batchlinux.client.overview.readings import read_account

        return await self.cache.get(
            ("account", conn_id),
            lambda: _read(conn_id, lambda client, _: read_account(client)),
            max_age=MAX_AGE,
        )

    async def facts(self, conn_id: str) -> Seen[AccountFacts]:
        """Read the images and quotas of an account."""
        from airflow_provider_batchlinux.client.overview.readings import read_facts

        return await self.cache.get(
            ("facts", conn_id),
            lambda: _read(conn_id, read_facts),
            max_age=_FACTS_MAX_AGE,
            patience=_FACTS_PATIENCE,
        )

    async def pool(self, conn_id: str, pool_id: str) -> Seen[PoolReading]:
        """Read the nodes and jobs of a pool."""
        from airflow_provider_batchlinux.client.overview.readings import read_pool

        return await self.cache.get(
            ("pool", conn_id, pool_id.lower()),
            lambda: _read(conn_id, lambda client, _: read_pool(client, pool_id)),
            max_age=MAX_AGE,
        )

    async def node(self, conn_id: str, pool_id: str, node_id: str) -> Seen[NodeReading]:
        """Read a node and the output of its programs."""
        from airflow_provider_batchlinux.client.overview.readings import read_node

        return await self.cache.get(
            ("node", conn_id, pool_id.lower(), node_id.lower()),
            lambda: _read(conn_id, lambda client, settings: read_node(client, settings, pool_id, node_id)),
            max_age=MAX_AGE,
        )

    async def place(self, conn_id: str) -> tuple[str, str | None]:
        """Return the host of a connection's account and its region; empty if the connection is wrong."""
        seen = await self.cache.get(
            ("place", conn_id),
            # A secrets backend may take a while, and must not block the other requests of the API server.
            lambda: asyncio.to_thread(_place_of, conn_id),
            max_age=_PLACE_MAX_AGE,
        )
        return seen.value or ("", None)


def _cache() -> ReadingCache:
    from airflow_provider_batchlinux.client.overview.cache import ReadingCache

    return ReadingCache(time.monotonic)


async def _read(conn_id: str, work: Callable[[BatchLinuxClient, AccountSettings], Awaitable[T]]) -> T:
    hook = BatchLinuxHook(conn_id, retry_budget=_RETRY_BUDGET)
    # A secrets backend may take a while, and must not block the other requests of the API server.
    settings = await asyncio.to_thread(hook.settings)
    async with hook.client(settings) as client:
        return await work(client, settings)


def explained(error: Exception | None, reader: Reader) -> str:
    """
    Return why an account could not be read, with what to do; without secrets.

    :param error: the error; ``None`` returns an empty text.
    :param reader: the visitor. Only those who may read the connection get the message, which is about it.
    """
    if error is None:
        return ""
    if not reader.reads_connection:
        return "Those who may read its connection see why."
    if isinstance(error, (BatchAuthenticationError, BatchUnreachableError, TimeoutError)):
        return f"{error} {_OUT_OF_REACH}"
    if isinstance(error, (BatchLinuxError, ValueError, AirflowNotFoundException)):
        return str(error)
    log.error("The page Batch pools could not read an account.", exc_info=error)
    return f"{type(error).__name__}; the log of the API server has more."


def _place_of(conn_id: str) -> tuple[str, str | None]:
    try:
        settings = BatchLinuxHook(conn_id).settings()
    except Exception:  # the reading of the account says what is wrong
        return "", None
    return urlsplit(settings.endpoint).netloc, settings.region


def prices_by_region() -> dict[str | None, dict[str, NodePrices]]:
    """
    Return the configured prices by region and VM size; empty if there are none.

    A region of ``None`` has the prices for accounts whose URL names no region.
    """
    path = str(conf.get("batch_linux", "ui_prices_file", fallback="") or "")
    if not path:
        return {}
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
        found = [
            NodePrices(
                str(row["vm_size"]),
                str(row["region"]).lower(),
                str(row["currency"]),
                *(
                    None if row[name] is None else float(row[name])
                    for name in ("dedicated_node", "spot_node")
                ),
            )
            for row in rows
        ]
    except (OSError, ValueError, TypeError, LookupError) as error:
        log.warning("[batch_linux] ui_prices_file %r cannot be read: %s", path, error)
        return {}
    regions = {price.region for price in found}
    by_region: dict[str | None, dict[str, NodePrices]] = {
        region: {price.vm_size.lower(): price for price in found if price.region == region}
        for region in regions
    }
    return {**by_region, None: next(iter(by_region.values()), {}) if len(regions) == 1 else {}}
