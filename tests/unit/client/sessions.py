"""Running one coroutine with an open client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient, open_client
from airflow_provider_batchlinux.client.transport.account import AccountSettings
from airflow_provider_batchlinux.client.transport.clock import ServiceClock
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy

T = TypeVar("T")


class FixedClock(ServiceClock):
    """A clock that a test sets: the answers of the service do not correct it."""

    def heard(self, date: str | None) -> None:
        """Keep the test's time."""


def run(
    settings: AccountSettings,
    scenario: Callable[[BatchLinuxClient], Awaitable[T]],
    retry: RetryPolicy | None = None,
    clock: ServiceClock | None = None,
) -> T:
    """Open a client, run the scenario, close the client."""

    async def whole() -> T:
        async with open_client(settings, retry, clock) as client:
            return await scenario(client)

    return asyncio.run(whole())
