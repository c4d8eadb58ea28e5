"""What all triggers of this provider share: serialisation by fields, and one run of the one waiting loop."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchLinuxError,
    error_to_payload,
)
from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.waits.loop import Wait, WaitSchedule
    from airflow_provider_batchlinux.client.waits.shared_account import SharedAccount
    from airflow_provider_batchlinux.core.events import WaitEvent

__all__ = ["BatchLinuxPoolTrigger", "BatchLinuxTrigger"]

_LONGEST_FIRST_WAIT = 5.0
"""Seconds. A trigger that fires at once can overtake the deferral that made it, and fail the task."""


class BatchLinuxTrigger(BaseTrigger):
    """
    The base of the triggers of this provider.

    Its arguments lie in Airflow's database in plain text: names and numbers only, never a secret.

    :param batch_linux_conn_id: the connection to the Batch account.
    :param poll_interval: seconds between two looks.
    :param deadline: seconds since the epoch after which the wait gives up; ``None`` for never. It is an
        instant and not a span, so that it holds over restarts of the triggerer.
    """

    def __init__(
        self, *, batch_linux_conn_id: str, poll_interval: float, deadline: float | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as Airflow has it
        self.batch_linux_conn_id = batch_linux_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.fired = False

    @property
    def followed_pool(self) -> str | None:
        """The pool that the wait is about, where the poller that all waits share can tell of it."""
        return None

    @abstractmethod
    def wait(self, client: BatchLinuxClient) -> Wait:
        """Say what to wait for."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class and the arguments from which the trigger can be made again."""
        cls = type(self)
        names = [name for name in inspect.signature(cls.__init__).parameters if name != "self"]
        return f"{cls.__module__}.{cls.__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and tell the task once how it ended."""
        event = await self._outcome()
        self.fired = True
        yield TriggerEvent(event.to_payload())

    async def settle(self, client: BatchLinuxClient, *, block: bool) -> dict[str, Any] | None:
        """
        Do on a worker what the trigger would do.

        :param block: wait to the end; ``False`` looks once, and gives ``None`` when it is too early.
        """
        from airflow_provider_batchlinux.client.waits.loop import wait_for

        wait = self.wait(client)
        if block:
            return await wait_for(wait, self.pace(wait, first_wait=0.0))
        return await wait.poll()

    def pace(self, wait: Wait, *, first_wait: float) -> WaitSchedule:  # noqa: ARG002  # for a wait that knows its own
        """
        Say how often to look.

        :param wait: what is waited for.
        :param first_wait: seconds before the first look.
        """
        from airflow_provider_batchlinux.client.waits.loop import WaitSchedule

        return WaitSchedule(self.poll_interval, self.deadline, first_wait)

    async def _outcome(self) -> WaitEvent:
        from airflow_provider_batchlinux.core.events import WaitEvent

        try:
            result = await self._result()
        except (BatchLinuxError, ValueError) as error:
            return WaitEvent(self.serialize()[1], error=error_to_payload(error))
        return WaitEvent(self.serialize()[1], result)

    async def _result(self) -> dict[str, Any]:
        hook = BatchLinuxHook(self.batch_linux_conn_id)
        settings = await hook.async_settings()
        while True:
            try:
                async with await hook.acquire_account(settings) as account:
                    settings = account.settings
                    return await self._result_at(account)
            except BatchAuthenticationError:
                # A wait outlives a key: whoever renewed it in the connection is to be believed.
                renewed = await hook.async_settings()
                if renewed == settings:
                    raise
                settings = renewed

    def _result_at(self, account: SharedAccount) -> Awaitable[dict[str, Any]]:
        from airflow_provider_batchlinux.client.waits.loop import WaitSchedule, wait_for
        from airflow_provider_batchlinux.client.waits.watching import wait_at_poller

        first_wait = min(self.poll_interval, _LONGEST_FIRST_WAIT)
        if self.followed_pool is None:
            wait = self.wait(account.client)
            return wait_for(wait, self.pace(wait, first_wait=first_wait))
        pace = WaitSchedule(self.poll_interval, self.deadline, first_wait)
        return wait_at_poller(account, self.followed_pool, self.wait, pace)


class BatchLinuxPoolTrigger(BatchLinuxTrigger):
    """
    The base of triggers that wait for what the poller of all pools can tell.

    :param pool_id: the pool.
    """

    def __init__(
        self, *, pool_id: str, batch_linux_conn_id: str, poll_interval: float, deadline: float | None = None
    ) -> None:
        super().__init__(
            batch_linux_conn_id=batch_linux_conn_id, poll_interval=poll_interval, deadline=deadline
        )
        self.pool_id = pool_id

    @property
    def followed_pool(self) -> str:
        """The pool, which the poller that all waits share can tell of."""
        return self.pool_id
