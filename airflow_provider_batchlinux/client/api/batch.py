"""The client: the verbs of pools, nodes, jobs and tasks on one open session, each once and asynchronous."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from airflow_provider_batchlinux.client.api.job_calls import JobCalls
from airflow_provider_batchlinux.client.api.node_calls import NodeCalls
from airflow_provider_batchlinux.client.api.pool_calls import PoolCalls
from airflow_provider_batchlinux.client.transport.account import AccountSettings
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy
from airflow_provider_batchlinux.client.transport.session import open_sdk_client
from airflow_provider_batchlinux.core.images.catalog import SupportedImage


@asynccontextmanager
async def open_client(
    settings: AccountSettings, retry: RetryPolicy | None = None
) -> AsyncIterator[BatchLinuxClient]:
    """
    Open a client of an account, and close its connections at the end.

    :param settings: the account and the identity.
    :param retry: how to try again; ``None`` takes the budget from the settings.
    :raises ValueError: the settings have problems; nothing was called.
    """
    problems = settings.problems()
    if problems:
        raise ValueError("\n".join(problems))
    async with open_sdk_client(settings) as sdk:
        yield BatchLinuxClient(sdk, retry or RetryPolicy(budget=settings.retry_budget))


class BatchLinuxClient(PoolCalls, NodeCalls, JobCalls):
    """
    What this provider asks of the Batch service.

    Verbs: ``create`` fails when the thing exists, ``find`` answers ``None`` when it does not,
    ``delete`` says whether there was anything to delete. Every verb tries again within the retry
    budget and raises the errors of :mod:`airflow_provider_batchlinux.exceptions`.
    """

    def paced(self) -> BatchLinuxClient:
        """Give a client of the same session whose calls slow down together when the service asks for it."""
        return BatchLinuxClient(self.sdk, self.retry.paced())

    async def check(self) -> None:
        """Make the cheapest authenticated call."""

        async def first_pool() -> None:
            async for _ in self.sdk.list_pools(max_results=1, select=["id"]):
                break

        await self.retry.run("list pools", first_pool)

    async def list_images(self) -> list[SupportedImage]:
        """List the images the service supports, in the service's order."""
        rows = await self._all("list supported images", self.sdk.list_supported_images)
        return [SupportedImage.from_rest(row) for row in rows]
