"""The hook: it opens a client for an Airflow connection, and runs coroutines from synchronous code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, conf

from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchLinuxError,
    BatchUnreachableError,
)
from airflow_provider_batchlinux.hooks._async_connection import async_connection, async_extra
from airflow_provider_batchlinux.hooks._storage_connection import (
    DEFAULT_STORAGE_CONN_ID,
    storage_access,
    told_if_undefined,
)

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.client.waits.shared_account import AccountHandle
    from airflow_provider_batchlinux.core.images.catalog import SupportedImage
    from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot
    from airflow_provider_batchlinux.core.vm_sizes.sizes import VmSize

__all__ = ["DEFAULT_CONN_ID", "BatchLinuxHook", "BatchLinuxSession"]

T = TypeVar("T")

DEFAULT_CONN_ID = "azure_batch_linux_default"

_UNUSABLE = "Connection {!r} cannot be used:\n"


class BatchLinuxHook(BaseHook):
    """
    Talk to an Azure Batch account.

    .. code-block:: python

        @task
        def idle_nodes(pool_id: str) -> int:
            return BatchLinuxHook().node_counts(pool_id).get("idle", 0)

    Use the plain methods from synchronous code, ``async with hook.client() as client`` from a coroutine,
    and :meth:`get_conn` for the SDK's own client.

    :param batch_linux_conn_id: a connection of type ``azure_batch_linux``, or an existing one of type
        ``azure_batch``.
    :param retry_budget: seconds over which a failing request is retried; ``None`` uses the connection's
        value, which is 300 by default.
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

    def settings(self, connection: Any = None) -> AccountSettings:
        """
        Read the connection.

        :param connection: the connection, if the caller has it already; ``None`` asks Airflow.
        :raises ValueError: the connection cannot work; every problem is named.
        """
        if connection is None:
            try:
                with told_if_undefined():
                    connection = self.get_connection(self.batch_linux_conn_id)
            except AirflowNotFoundException:
                raise self._undefined() from None
        return self._settings(connection, connection.extra_dejson)

    async def async_settings(self) -> AccountSettings:
        """Read the connection without blocking the event loop."""
        try:
            with told_if_undefined():
                connection = await async_connection(self.batch_linux_conn_id)
        except AirflowNotFoundException:
            raise self._undefined() from None
        return self._settings(connection, await async_extra(connection))

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
        Return what all users of an account in this event loop share: one client, session and poller.

        :param settings: the account, from :meth:`async_settings`.
        """
        sharing = await asyncio.to_thread(
            import_module, "airflow_provider_batchlinux.client.waits.shared_account"
        )
        handle: AccountHandle = sharing.acquire_account(settings)
        return handle

    def session(self, settings: AccountSettings | None = None) -> BatchLinuxSession:
        """
        Return a context manager that keeps one client open for several runs of synchronous code.

        .. code-block:: python

            with hook.session() as session:
                pool = session.run(lambda client: client.find_pool("etl"))
                nodes = session.run(lambda client: client.list_nodes("etl"))

        :param settings: the account; ``None`` reads the connection when it is first needed, and again after
            the service has refused the credentials.
        """
        return BatchLinuxSession(self, settings)

    def run(
        self,
        work: Callable[[BatchLinuxClient], Awaitable[T]],
        *,
        settings: AccountSettings | None = None,
    ) -> T:
        """
        Run a coroutine function with a client that is opened for it alone, from synchronous code.

        Use :meth:`session` for more than one run. A signal handler uses this method, because the session that
        it interrupts is busy.

        :param work: takes the open client.
        :param settings: the account; ``None`` reads the connection.
        """
        with self.session(settings) as session:
            return session.run(work)

    def get_conn(self) -> Any:
        """Return the SDK's own synchronous ``azure.batch.BatchClient``; the caller closes it."""
        from airflow_provider_batchlinux.client.transport.session import sync_sdk_client

        return sync_sdk_client(self.settings())

    def test_connection(self) -> tuple[bool, str]:
        """Make one authenticated request, and return the outcome in a sentence that begins with the cause."""
        from airflow_provider_batchlinux.core.diagnosis.check import cause_first

        has_key = False
        try:
            settings = replace(self.settings(), retry_budget=0.0)
            has_key = settings.account_key is not None
            self.run(lambda client: client.check(), settings=settings)
        except BatchLinuxError as error:
            return False, cause_first(str(error), getattr(error, "code", None), has_key=has_key)
        except ValueError as error:
            # The form is tested under a random id.
            return False, str(error).removeprefix(_UNUSABLE.format(self.batch_linux_conn_id))
        return True, f"Connected to {settings.endpoint} as {settings.auth.value}."

    def installation_id(self) -> str:
        """
        Return the id by which this Airflow recognises its pools and jobs.

        It is the configuration option ``[batch_linux] installation_id``, or else the Variable
        ``batch_linux_installation_id``, which the first task makes that needs it.

        :raises BatchLinuxError: there is none, and Airflow does not let this process make one.
        """
        from airflow_provider_batchlinux.hooks._installation import installation_id

        return installation_id()

    def list_images(self) -> list[SupportedImage]:
        """List the images the service supports, in the service's order."""
        return self.run(lambda client: client.list_images())

    def list_vm_sizes(self) -> list[VmSize]:
        """
        List the VM sizes that Batch offers in the account's region, from the management plane.

        :raises ValueError: the connection lacks what this needs, or the extra ``mgmt`` is not installed.
        """
        from airflow_provider_batchlinux.client.api.management import open_management

        settings = self.settings()

        async def work(_client: BatchLinuxClient) -> list[VmSize]:
            async with open_management(settings) as plane:
                return list((await plane.region()).sizes)

        return self.run(work, settings=settings)

    def find_pool(self, pool_id: str) -> PoolSnapshot | None:
        """Return a pool; ``None`` if it does not exist."""
        return self.run(lambda client: client.find_pool(pool_id))

    def delete_pool(self, pool_id: str) -> bool:
        """Request a pool's deletion; return ``False`` if the pool does not exist."""
        return self.run(lambda client: client.delete_pool(pool_id))

    def list_nodes(self, pool_id: str) -> list[NodeSnapshot]:
        """List a pool's nodes exactly."""
        return self.run(lambda client: client.list_nodes(pool_id))

    def node_counts(self, pool_id: str) -> dict[str, int]:
        """Count a pool's nodes by state: one request for any size, possibly a little outdated."""
        return self.run(lambda client: client.node_counts(pool_id))

    def upload_node_logs(
        self,
        pool_id: str,
        container: str,
        *,
        node_ids: Sequence[str] | None = None,
        since: timedelta = timedelta(hours=24),
        storage_conn_id: str = DEFAULT_STORAGE_CONN_ID,
        storage_identity: str | None = None,
    ) -> list[dict[str, Any]]:
        """
        Have nodes upload the logs of their agents to a container; the uploads go on after that.

        :param container: the container of Azure Storage, such as ``abfs://logs``.
        :param node_ids: the nodes; ``None`` for all that are unusable or whose start task failed.
        :param since: the age of the oldest entries.
        :param storage_conn_id: the connection to the storage account.
        :param storage_identity: the ARM id of an identity of the pool to use instead of a SAS.
        :return: ``node_id``, ``directory`` and ``files`` of each node; empty if there are no such nodes.
        """
        from airflow_provider_batchlinux.client.nodes.logs import upload_logs
        from airflow_provider_batchlinux.core.node_states import BROKEN_STATES
        from airflow_provider_batchlinux.core.nodes.actions import NodeChoice
        from airflow_provider_batchlinux.core.nodes.logs import LogRequest

        request = LogRequest.of(container, storage_conn_id, storage_identity, since.total_seconds())
        choice = NodeChoice(node_ids) if node_ids is not None else NodeChoice(states=BROKEN_STATES)
        storage = storage_access()
        uploaded = self.run(lambda client: upload_logs(client, storage, pool_id, choice, request))
        return [logs.to_dict() for logs in uploaded]

    def delete_job(self, job_id: str) -> bool:
        """Delete a job and its tasks, also running ones; return ``False`` if the job does not exist."""
        return self.run(lambda client: client.delete_job(job_id))

    def terminate_task(self, job_id: str, task_id: str) -> bool:
        """Terminate one command of a job; return ``False`` if it has ended, or does not exist."""
        return self.run(lambda client: client.terminate_task(job_id, task_id))

    def reactivate_task(self, job_id: str, task_id: str) -> bool:
        """
        Run a failed command of a job again; return ``False`` if it has not ended yet.

        :raises BatchRequestError: it has succeeded, or its job has ended: clear the Airflow task then.
        """
        return self.run(lambda client: client.reactivate_task(job_id, task_id))

    def _undefined(self) -> AirflowNotFoundException:
        name = self.batch_linux_conn_id
        return AirflowNotFoundException(
            f"Connection {name!r} is not defined. Add it in Airflow under Admin, Connections, as the "
            f"environment variable AIRFLOW_CONN_{name.upper()}, or in your secrets backend; or name another "
            "one as batch_linux_conn_id."
        )

    def _settings(self, connection: Any, extra: object) -> AccountSettings:
        from airflow_provider_batchlinux.hooks._account_connection import require_extra, settings_of

        try:
            settings = settings_of(
                login=connection.login,
                password=connection.password,
                host=connection.host,
                port=connection.port,
                extra=require_extra(connection.extra, extra),
            )
        except ValueError as error:
            msg = f"{_UNUSABLE.format(self.batch_linux_conn_id)}{error}"
            raise ValueError(msg) from error
        if conf.getboolean("batch_linux", "forbid_open_ssh", fallback=False):
            settings = replace(settings, forbid_open_ssh=True)
        return settings if self.retry_budget is None else replace(settings, retry_budget=self.retry_budget)


class BatchLinuxSession:
    """
    One open client on one event loop, for several runs of synchronous code.

    Made by :meth:`BatchLinuxHook.session`. The client is opened by the first run and closed at the end of the
    ``with`` block. A session belongs to the thread that entered it.
    """

    def __init__(self, hook: BatchLinuxHook, settings: AccountSettings | None = None) -> None:
        self._hook = hook
        self._is_pinned = settings is not None
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: BatchLinuxClient | None = None
        self._opened = AsyncExitStack()
        self._thread: ThreadPoolExecutor | None = None

    @property
    def settings(self) -> AccountSettings:
        """
        The account.

        :raises ValueError: the connection cannot be used; every problem is named.
        """
        if self._settings is None:
            self._settings = self._hook.settings()
        return self._settings

    def __enter__(self) -> BatchLinuxSession:
        """Open nothing yet: that is left to the first run."""
        if _runs_a_loop():
            # A notebook, or a signal handler while an operator waits: a second loop needs another thread.
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batch-linux-session")
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the client with its connections, and the event loop."""
        self._in_thread(self._close)
        if self._thread is not None:
            self._thread.shutdown()

    def run(self, work: Callable[[BatchLinuxClient], Awaitable[T]]) -> T:
        """
        Run a coroutine function with the open client.

        A client that got no answer, or whose credentials were refused, is closed, and the next run opens
        another one. When the connection has other credentials by then, the work is run once more with these:
        a key may be rotated while a sensor waits.

        :param work: takes the open client.
        :raises RuntimeError: a run of this session is going on, as when a signal handler calls this.
        """
        settings = self.settings
        try:
            return self._in_thread(lambda: self._run(work, settings))
        except BatchUnreachableError:
            self._in_thread(self._close_client)
            raise
        except BatchAuthenticationError:
            self._in_thread(self._close_client)
            renewed = settings if self._is_pinned else self._hook.settings()
            if renewed == settings:
                raise
            self._settings = renewed
        return self._in_thread(lambda: self._run(work, renewed))

    def _run(self, work: Callable[[BatchLinuxClient], Awaitable[T]], settings: AccountSettings) -> T:
        async def with_client() -> T:
            if self._client is None:
                self._client = await self._opened.enter_async_context(self._hook.client(settings))
            return await work(self._client)

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        if self._loop.is_running():
            msg = "A run of this session is going on. Use BatchLinuxHook.run() here."
            raise RuntimeError(msg)
        task = self._loop.create_task(with_client())
        raised: list[BaseException] = []

        def on_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            error = context.get("exception")
            if error is None or isinstance(error, (Exception, asyncio.CancelledError)):
                loop.default_exception_handler(context)
                return
            # By a signal handler, during a callback of asyncio, which would only log it: Airflow's alarm for
            # its time-out comes once.
            raised.append(error)
            task.cancel()

        self._loop.set_exception_handler(on_error)
        try:
            return self._loop.run_until_complete(task)
        finally:
            if not task.done():
                # Airflow's time-out is raised by a signal handler. It leaves the loop, but not the task.
                task.cancel()
                _finish(self._loop, task)
            self._loop.set_exception_handler(None)
            if raised:
                raise raised[0]

    def _close_client(self) -> None:
        self._client = None
        if self._loop is not None:
            closing = self._loop.create_task(self._opened.aclose())
            _finish(self._loop, closing)
            closing.result()

    def _close(self) -> None:
        if self._loop is None:
            return
        try:
            closing = self._loop.create_task(self._end(self._loop))
            _finish(self._loop, closing)
            closing.result()
        finally:
            self._loop.close()

    async def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        self._client = None
        try:
            await self._opened.aclose()
        finally:
            if left := asyncio.all_tasks() - {asyncio.current_task()}:
                for task in left:
                    task.cancel()
                await asyncio.wait(left)
            await loop.shutdown_asyncgens()
            await loop.shutdown_default_executor()

    def _in_thread(self, call: Callable[[], T]) -> T:
        return call() if self._thread is None else self._thread.submit(call).result()


def _finish(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    """
    Run a loop until a task is done, also if a signal handler raises meanwhile.

    aiohttp closes its connections in a task, which must not be left to a loop that is closed.
    """
    task.add_done_callback(lambda _task: loop.stop())
    try:
        loop.run_forever()
    finally:
        if not task.done():
            _finish(loop, task)


def _runs_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
