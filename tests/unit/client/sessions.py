"""Running one coroutine with an open client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient, open_client
from airflow_provider_batchlinux.client.transport.account import AccountSettings
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy

T = TypeVar("T")


def run(
    settings: AccountSettings,
    scenario: Callable[[BatchLinuxClient], Awaitable[T]],
    retry: RetryPolicy | None = None,
) -> T:
    """Open a client, run the scenario, close the client."""

    async def whole() -> T:
        async with open_client(settings, retry) as client:
            return await scenario(client)

    return asyncio.run(whole())
