"""The base of all calls to the service: retry, read all pages, and treat a missing resource as no error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from azure.core.exceptions import HttpResponseError

from airflow_provider_batchlinux.client.transport.clock import ServiceClock
from airflow_provider_batchlinux.client.transport.errors import error_code
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy
from airflow_provider_batchlinux.client.transport.session import ServiceClient

T = TypeVar("T")
Body = Mapping[str, Any]


class Calls:
    """
    The base of the operations of the client.

    :param sdk: the SDK's open client.
    :param retry: the retry policy.
    :param clock: the service's clock, which the answers to the SDK's client set.
    """

    def __init__(self, sdk: ServiceClient, retry: RetryPolicy, clock: ServiceClock) -> None:
        self.sdk = sdk
        self.retry = retry
        self.clock = clock

    async def _all(self, what: str, verb: Callable[..., Any], *args: Any, **options: Any) -> list[Body]:
        async def every_page() -> list[Body]:
            return [row async for row in verb(*args, **options)]

        return await self.retry.run(what, every_page)

    async def _found(
        self, what: str, absent: str | Sequence[str], get: Callable[[], Awaitable[T]]
    ) -> T | None:
        async def attempt() -> T | None:
            try:
                return await get()
            except HttpResponseError as error:
                if error_code(error) in _codes(absent):
                    return None
                raise

        return await self.retry.run(what, attempt)

    async def _deleted(
        self,
        what: str,
        delete: Callable[[], Awaitable[object]],
        *,
        gone: str | Sequence[str],
        under_way: str | Sequence[str] = (),
    ) -> bool:
        async def attempt() -> bool:
            try:
                await delete()
            except HttpResponseError as error:
                if error_code(error) in _codes(gone):
                    return False
                if error_code(error) not in _codes(under_way):
                    raise
            return True

        return await self.retry.run(what, attempt)


def _codes(codes: str | Sequence[str]) -> Sequence[str]:
    return (codes,) if isinstance(codes, str) else codes
