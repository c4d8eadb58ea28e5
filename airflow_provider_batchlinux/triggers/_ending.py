"""What triggers share that end what they wait for when their task is killed."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook
from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger
from airflow_provider_batchlinux.triggers._task_instance import final_state

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient

__all__ = ["BatchLinuxEndingTrigger"]

_KILL_LIMIT = 10.0
_kills: set[asyncio.Task[None]] = set()


class BatchLinuxEndingTrigger(BatchLinuxTrigger):
    """
    The base of the triggers that end what they wait for when a user ends their Airflow task.

    A task that is marked as a success ends too (``marked_success``): its Dag run goes on with what is there.
    """

    marked_success = False

    @abstractmethod
    async def cancel(self, client: BatchLinuxClient) -> None:
        """End it, and say so in the log."""

    async def on_kill(self) -> None:
        """
        End what is waited for when a user ended the Airflow task (Airflow 3.3 and later).

        Airflow also calls this on a triggerer that only lost the trigger to another one, and cancels
        it after about a second. So nothing is done while the task instance is alive, and the work is
        shielded from the cancellation.
        """
        if self.fired:
            return
        kill = asyncio.ensure_future(self._end_if_over())
        _kills.add(kill)
        kill.add_done_callback(_kills.discard)
        await asyncio.shield(kill)

    async def _end_if_over(self) -> None:
        task_instance: Any = getattr(self, "task_instance", None)
        if task_instance is not None:
            state = await final_state(task_instance)
            if state is None:
                self.log.info("The task instance of %r is alive, so nothing is ended.", type(self).__name__)
                return
            self.marked_success = state == "success"
        await asyncio.wait_for(self._end(), _KILL_LIMIT)

    async def _end(self) -> None:
        # The client of run() may be closed already, so this opens its own.
        async with BatchLinuxHook(self.batch_linux_conn_id, retry_budget=_KILL_LIMIT).client() as client:
            await self.cancel(client)
