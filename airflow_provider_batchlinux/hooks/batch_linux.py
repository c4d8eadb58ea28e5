"""The hook: an Airflow connection becomes a client; its plain methods run the client's own coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_batchlinux.exceptions import BatchLinuxError

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.client.waits.shared_account import AccountHandle
    from airflow_provider_batchlinux.core.images.resolve import SupportedImage
    from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot
    from airflow_provider_batchlinux.core.vm_sizes.sizes import VmSize

__all__ = ["DEFAULT_CONN_ID", "BatchLinuxHook"]

T = TypeVar("T")

DEFAULT_CONN_ID = "azure_batch_linux_default"


class BatchLinuxHook(BaseHook):
    """
    Talk to an Azure Batch account.

    Use the plain methods from synchronous code, ``async with hook.client() as client`` from a coroutine,
    and :meth:`get_conn` for the SDK's own client.

    :param batch_linux_conn_id: a connection of type ``azure_batch_linux``, or an existing one of type
        ``azure_batch``.
    :param retry_budget: seconds over which a request is tried again while the service is away; ``None``
        takes the connection's, which is 300 unless it says otherwise.
    """

    conn_name_attr = "batch_linux_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "azure_batch_linux"
    hook_name = "Azure Batch (Linux)"

    def __init__(
        self, batch_linux_conn_id: str = DEFAULT_CONN_ID, *, retry_budget: float | None = None
    ) -> None:
        super().__init__()
        self.batch_linux_conn_id = batch_linux_conn_id
        self.retry_budget = retry_budget

    def settings(self) -> AccountSettings:
        """
        Read the connection.

        :raises ValueError: the connection cannot work; every problem is named.
        """
        connection = self.get_connection(self.batch_linux_conn_id)
        return self._settings(connection, connection.extra_dejson)

    async def async_settings(self) -> AccountSettings:
        """Read the connection without blocking the event loop."""
        connection = await get_async_connection(self.batch_linux_conn_id, self)
        return self._settings(connection, await get_async_extra_dejson(connection))

    @asynccontextmanager
    async def client(self, settings: AccountSettings | None = None) -> AsyncIterator[BatchLinuxClient]:
        """
        Open the async client, and close its connections at the end.

        :param settings: the account; ``None`` reads the connection.
        """
        # The client brings in azure. That takes half a second, for which parsing a Dag must not wait, nor all
        # the other triggers of a triggerer: so it comes late, and off the event loop.
        batch = await asyncio.to_thread(import_module, "airflow_provider_batchlinux.client.api.batch")
        async with batch.open_client(settings or await self.async_settings()) as client:
            yield client

    async def acquire_account(self, settings: AccountSettings) -> AccountHandle:
        """
        Give what joins those who use the same account in this event loop: one client, session and poller.

        :param settings: the account, from :meth:`async_settings`.
        """
        sharing = await asyncio.to_thread(
            import_module, "airflow_provider_batchlinux.client.waits.shared_account"
        )
        handle: AccountHandle = sharing.acquire_account(settings)
        return handle

    def run(
        self,
        story: Callable[[BatchLinuxClient], Awaitable[T]],
        *,
        settings: AccountSettings | None = None,
    ) -> T:
        """
        Run a coroutine that needs a client, from synchronous code.

        :param story: what to do with the open client.
        :param settings: the account; ``None`` reads the connection.
        """
        account = settings or self.settings()

        async def whole() -> T:
            async with self.client(account) as client:
                return await story(client)

        return _run(whole())

    def get_conn(self) -> Any:
        """Return the SDK's own synchronous ``azure.batch.BatchClient``; the caller closes it."""
        from airflow_provider_batchlinux.client.transport.session import sync_sdk_client

        return sync_sdk_client(self.settings())

    def test_connection(self) -> tuple[bool, str]:
        """Make one authenticated call, and say in a sentence how it went."""
        try:
            settings = replace(self.settings(), retry_budget=0.0)
            _run(self._check(settings))
        except (BatchLinuxError, ValueError) as error:
            return False, str(error)
        return True, f"Connected to {settings.endpoint} as {settings.auth.value}."

    def list_images(self) -> list[SupportedImage]:
        """List the images the service supports, in the service's order."""
        return self.run(lambda client: client.list_images())

    def list_vm_sizes(self) -> list[VmSize]:
        """
        List the VM sizes that Batch offers in the account's region, as the management plane tells them.

        :raises ValueError: the connection does not lead there, or the extra ``mgmt`` is not installed.
        """
        from airflow_provider_batchlinux.client.api.management import open_management

        settings = self.settings()

        async def story() -> list[VmSize]:
            async with open_management(settings) as plane:
                return list((await plane.region()).sizes)

        return _run(story())

    def find_pool(self, pool_id: str) -> PoolSnapshot | None:
        """Get a pool; ``None`` when the service knows none of that id."""
        return self.run(lambda client: client.find_pool(pool_id))

    def delete_pool(self, pool_id: str) -> bool:
        """Ask for a pool's deletion; ``False`` when there is none."""
        return self.run(lambda client: client.delete_pool(pool_id))

    def list_nodes(self, pool_id: str) -> list[NodeSnapshot]:
        """List a pool's nodes exactly."""
        return self.run(lambda client: client.list_nodes(pool_id))

    def node_counts(self, pool_id: str) -> dict[str, int]:
        """Count a pool's nodes by state: cheap for any size, and possibly a little late."""
        return self.run(lambda client: client.node_counts(pool_id))

    def delete_job(self, job_id: str) -> bool:
        """Delete a job with its tasks, ending what still runs; ``False`` when there is none."""
        return self.run(lambda client: client.delete_job(job_id))

    async def _check(self, settings: AccountSettings) -> None:
        async with self.client(settings) as client:
            await client.check()

    def _settings(self, connection: Any, extra: dict[str, Any]) -> AccountSettings:
        from airflow_provider_batchlinux.hooks.connection import settings_of

        try:
            settings = settings_of(
                login=connection.login,
                password=connection.password,
                host=connection.host,
                port=connection.port,
                extra=extra,
            )
        except ValueError as error:
            msg = f"Connection {self.batch_linux_conn_id!r} cannot be used:\n{error}"
            raise ValueError(msg) from error
        return settings if self.retry_budget is None else replace(settings, retry_budget=self.retry_budget)


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    # Out here, so that an error of the coroutine does not carry that of the question for a loop with it.
    if not _runs_a_loop():
        return asyncio.run(coroutine)
    # This thread runs a loop already: a notebook, or a signal handler while an operator waits.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def _runs_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
