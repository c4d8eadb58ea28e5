"""The asynchronous client of a Batch account: operations on pools, nodes, jobs and tasks over one session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from airflow_provider_batchlinux.client.api.job_calls import JobCalls
from airflow_provider_batchlinux.client.api.node_calls import NodeCalls
from airflow_provider_batchlinux.client.api.pool_calls import PoolCalls
from airflow_provider_batchlinux.client.transport.account import AccountSettings
from airflow_provider_batchlinux.client.transport.clock import ServiceClock
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy
from airflow_provider_batchlinux.client.transport.session import ServiceClient, open_sdk_client
from airflow_provider_batchlinux.core.images.catalog import SupportedImage


@asynccontextmanager
async def open_client(
    settings: AccountSettings, retry: RetryPolicy | None = None, clock: ServiceClock | None = None
) -> AsyncIterator[BatchLinuxClient]:
    """
    Open a client of an account, and close its connections at the end.

    :param settings: the account and the identity.
    :param retry: the retry policy; ``None`` uses the retry budget of the settings.
    :param clock: the service's clock; ``None`` starts with this machine's. A test passes its own.
    :raises ValueError: the settings are invalid; no request was sent.
    """
    problems = settings.problems()
    if problems:
        raise ValueError("\n".join(problems))
    clock = clock or ServiceClock()
    async with open_sdk_client(settings, clock) as sdk:
        retry = retry or RetryPolicy(budget=settings.retry_budget)
        yield BatchLinuxClient(sdk, retry, clock, forbid_open_ssh=settings.forbid_open_ssh)


class BatchLinuxClient(PoolCalls, NodeCalls, JobCalls):
    """
    The operations of the Batch service that this provider uses.

    - ``create`` fails if the resource exists.
    - ``find`` returns ``None`` if the resource does not exist.
    - ``delete`` returns whether the resource existed.

    Each operation retries within the retry budget, and raises the errors of
    :mod:`airflow_provider_batchlinux.exceptions`.

    :param forbid_open_ssh: whether users are refused on pools whose SSH is open to the whole Internet.
    """

    def __init__(
        self, sdk: ServiceClient, retry: RetryPolicy, clock: ServiceClock, *, forbid_open_ssh: bool = False
    ) -> None:
        super().__init__(sdk, retry, clock)
        self.forbid_open_ssh = forbid_open_ssh

    def paced(self) -> BatchLinuxClient:
        """Return a client of the same session whose calls share one rate limit when the service throttles."""
        return self._with(self.retry.paced())

    def within(self, budget: float) -> BatchLinuxClient:
        """
        Return a client of the same session that gives up earlier.

        :param budget: the maximum retry budget in seconds.
        """
        return self._with(replace(self.retry, budget=min(self.retry.budget, budget)))

    async def check(self) -> None:
        """Test the connection with the cheapest authenticated request."""

        async def first_pool() -> None:
            async for _ in self.sdk.list_pools(max_results=1, select=["id"]):
                break

        await self.retry.run("list pools", first_pool)

    async def list_images(self) -> list[SupportedImage]:
        """List the images the service supports, in the service's order."""
        rows = await self._all("list supported images", self.sdk.list_supported_images)
        return [SupportedImage.from_rest(row) for row in rows]

    def _with(self, retry: RetryPolicy) -> BatchLinuxClient:
        return BatchLinuxClient(self.sdk, retry, self.clock, forbid_open_ssh=self.forbid_open_ssh)
