"""The trigger that waits until a command has ended, and terminates it if its task is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.tasks.tasks import TaskWait
    from airflow_provider_batchlinux.core.tasks.cleanup import DeleteJob
    from airflow_provider_batchlinux.triggers._base import WaitArguments

__all__ = ["BatchLinuxTaskTrigger"]


class BatchLinuxTaskTrigger(BatchLinuxTrigger):
    """
    Fire when a submitted command has ended.

    :param pool_id: the pool it runs on.
    :param job_id: the job that holds it.
    :param delete_job: when to delete the job; with ``always`` also after a kill.
    """

    def __init__(
        self,
        *,
        pool_id: str,
        job_id: str,
        delete_job: DeleteJob = "always",
        **common: Unpack[WaitArguments],
    ) -> None:
        super().__init__(**common)
        self.pool_id = pool_id
        self.job_id = job_id
        self.delete_job: DeleteJob = delete_job

    def wait(self, client: BatchLinuxClient) -> TaskWait:
        """Wait for the command."""
        from airflow_provider_batchlinux.client.tasks.tasks import TaskWait

        return TaskWait(client, self.pool_id, self.job_id)

    @property
    def cancels_on_kill(self) -> bool:
        """A kill terminates the command."""
        return True

    @property
    def uncancelled(self) -> str:
        """What a cancellation that failed leaves behind."""
        return f"Job {self.job_id!r} could not be terminated and may go on"

    async def cancel(self, client: BatchLinuxClient) -> None:
        """Terminate the command."""
        from airflow_provider_batchlinux.client.tasks.tasks import abandon_task

        await abandon_task(client, self.job_id, self.delete_job)
        self.log.info("Terminated job %r, because its Airflow task was ended.", self.job_id)
