"""The trigger that waits until a command has ended, and terminates it if its task is killed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.hooks._storage_connection import storage_access
from airflow_provider_batchlinux.triggers._base import BatchLinuxSubmittedTrigger
from airflow_provider_batchlinux.triggers._memory import TriggerMemory

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.tasks.output import OutputFollower
    from airflow_provider_batchlinux.client.tasks.tasks import TaskWait
    from airflow_provider_batchlinux.client.waits.shared_account import SharedAccount
    from airflow_provider_batchlinux.client.waits.watching import WatchedSubject
    from airflow_provider_batchlinux.core.tasks.job import DeleteJob
    from airflow_provider_batchlinux.triggers._base import SubmittedArguments

__all__ = ["BatchLinuxTaskTrigger"]

OUTPUT_KEY = "batch_linux_output"
"""The XCom that says how much of the output of a command was shown."""


class BatchLinuxTaskTrigger(BatchLinuxSubmittedTrigger):
    """
    Fire when a submitted command has ended.

    The pool, the job and their times are arguments of all triggers that wait for a job.

    :param delete_job: when to delete the job; with ``always`` also after a kill.
    :param output_limit: bytes of stdout and of stderr to log at most; ``None`` follows no output.
    :param shown: how much of the output was shown so far; ``None`` if that is not known.
    """

    def __init__(
        self,
        *,
        delete_job: DeleteJob = "always",
        output_limit: int | None = None,
        shown: Mapping[str, Any] | None = None,
        **submitted: Unpack[SubmittedArguments],
    ) -> None:
        super().__init__(**submitted)
        self.delete_job: DeleteJob = delete_job
        self.output_limit = output_limit
        self.shown = shown
        self._follows = True

    def wait(self, client: BatchLinuxClient) -> TaskWait:
        """Wait for the command, and log its output meanwhile."""
        from airflow_provider_batchlinux.client.tasks.tasks import TaskWait
        from airflow_provider_batchlinux.client.waits.watching import WatchedJobClient

        # The worker masks secrets in what it logs, at the end; the triggerer does not know them.
        is_unmasked = self.has_secrets and isinstance(client, WatchedJobClient)
        follows = self.output_limit is not None and self._follows and not is_unmasked
        make_follower = partial(self._follower, client) if follows else None
        return TaskWait(client, self.pool_id, self.job_id, self.start_by, make_follower)

    def _follower(self, client: BatchLinuxClient) -> OutputFollower:
        from airflow_provider_batchlinux.client.tasks.output import OutputFollower
        from airflow_provider_batchlinux.core.tasks.output import Progress

        memory = self._memory()

        async def save(shown: Mapping[str, Any]) -> None:
            self.shown = shown
            await memory.save(shown)

        limit, progress = self.output_limit or 0, Progress.of(self.shown)
        return OutputFollower(client, self.job_id, limit, progress, memory.load, save)

    async def run_on_worker(self, client: BatchLinuxClient, *, block: bool) -> dict[str, Any] | None:
        """Wait on a worker. If the wait is to be deferred, the output is left to the triggerer."""
        self._follows = block
        return await super().run_on_worker(client, block=block)

    def watched(self, account: SharedAccount) -> WatchedSubject:
        """Return the job and the poller that reads its command."""
        from airflow_provider_batchlinux.client.waits.watching import WatchedJobClient

        return account.jobs, WatchedJobClient, self.job_id

    @property
    def uncancelled(self) -> str:
        """What a cancellation that failed leaves behind."""
        return f"Job {self.job_id!r} could not be terminated and may go on"

    async def on_kill(self) -> None:
        """Terminate the command after a user ended the Airflow task."""
        if self.has_secrets:
            self.output_limit = None
        await super().on_kill()

    async def end(self, client: BatchLinuxClient, job_id: str) -> None:
        """Terminate the command of a job."""
        from airflow_provider_batchlinux.client.tasks.secrets import delete_secrets, secrets_of
        from airflow_provider_batchlinux.client.tasks.tasks import abandon_task
        from airflow_provider_batchlinux.core.tasks.output import Progress

        secrets = await secrets_of(client, job_id) if self.has_secrets else None
        if self.shown is None:
            shown = await self._memory().load()
            self.shown = shown if isinstance(shown, Mapping) else None
        await abandon_task(
            client,
            job_id,
            self.delete_job,
            is_killed=self.is_killed,
            output_limit=self.output_limit,
            progress=Progress.of(self.shown),
        )
        await delete_secrets(secrets, storage_access())
        self.log.info("Terminated job %r, because its Airflow task was ended.", job_id)

    def _memory(self) -> TriggerMemory:
        return TriggerMemory(getattr(self, "task_instance", None), OUTPUT_KEY)
