"""The trigger that waits until a command is over, and ends it when its task is killed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook
from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger
from airflow_provider_batchlinux.triggers._task_instance import is_over

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.tasks import TaskWait
    from airflow_provider_batchlinux.core.cleanup import DeleteJob

__all__ = ["BatchLinuxTaskTrigger"]

_KILL_LIMIT = 10.0
_kills: set[asyncio.Task[None]] = set()


class BatchLinuxTaskTrigger(BatchLinuxTrigger):
    """
    Fire when a submitted command is over.

    :param pool_id: the pool it runs on.
    :param job_id: the job that holds it.
    :param delete_job: when to delete the job; with ``always`` also after a kill.
    """

    def __init__(
        self,
        *,
        pool_id: str,
        job_id: str,
        batch_linux_conn_id: str,
        poll_interval: float,
        deadline: float | None = None,
        delete_job: DeleteJob = "always",
    ) -> None:
        super().__init__(
            batch_linux_conn_id=batch_linux_conn_id, poll_interval=poll_interval, deadline=deadline
        )
        self.pool_id = pool_id
        self.job_id = job_id
        self.delete_job: DeleteJob = delete_job

    def wait(self, client: BatchLinuxClient) -> TaskWait:
        """Wait for the command."""
        from airflow_provider_batchlinux.client.tasks import TaskWait

        return TaskWait(client, self.pool_id, self.job_id)

    async def on_kill(self) -> None:
        """
        End the command when a user ended the Airflow task (Airflow 3.3 and later).

        Airflow also calls this on a triggerer that only lost the trigger to another one, and cancels
        it after about a second. So nothing is done while the task instance is alive, and the work is
        shielded from the cancellation.
        """
        if self.fired:
            return
        kill = asyncio.ensure_future(self._end_command())
        _kills.add(kill)
        kill.add_done_callback(_kills.discard)
        await asyncio.shield(kill)

    async def _end_command(self) -> None:
        if self.task_instance is not None and not await is_over(self.task_instance):
            self.log.info("Job %r goes on: its task instance is alive.", self.job_id)
            return
        await asyncio.wait_for(self._abandon(), _KILL_LIMIT)

    async def _abandon(self) -> None:
        from airflow_provider_batchlinux.client.tasks import abandon_task

        # The client of run() may be closed already, so this opens its own.
        async with BatchLinuxHook(self.batch_linux_conn_id, retry_budget=_KILL_LIMIT).client() as client:
            await abandon_task(client, self.job_id, self.delete_job)
        self.log.info("Ended job %r, because its Airflow task was ended.", self.job_id)
