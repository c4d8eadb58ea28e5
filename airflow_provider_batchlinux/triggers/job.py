"""The triggers that wait for a job: for one of an operator, which a kill ends, and for one made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.core.poll_interval import SOONEST_OF_COMMANDS
from airflow_provider_batchlinux.hooks._storage_connection import storage_access
from airflow_provider_batchlinux.triggers._base import BatchLinuxSubmittedTrigger, BatchLinuxTrigger

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.tasks.job_outcome import JobOutcomeWait
    from airflow_provider_batchlinux.client.tasks.job_wait import JobWait
    from airflow_provider_batchlinux.client.waits.shared_account import SharedAccount
    from airflow_provider_batchlinux.client.waits.watching import WatchedSubject
    from airflow_provider_batchlinux.triggers._base import SubmittedArguments, WaitArguments

__all__ = ["BatchLinuxJobOutcomeTrigger", "BatchLinuxJobTrigger"]


class BatchLinuxJobTrigger(BatchLinuxSubmittedTrigger):
    """
    Fire when the commands of a job have ended, or can never end.

    The pool, the job and their times are arguments of all triggers that wait for a job.

    :param total: how many tasks it has at least.
    :param done: how many commands have succeeded in jobs of earlier tries.
    :param starts: how many commands of the job had started before this try.
    :param exit_codes: what exit codes mean: ``success``, ``skip``, ``fail`` or ``retry``.
    :param shown: the failed commands whose output is in the log already.
    :param has_dependencies: whether some commands wait for others.
    :param prepares: whether the job has a preparation task.
    :param deletes: whether the end of the Airflow task deletes the job; otherwise it is only ended, and what
        is done is kept.
    """

    def __init__(
        self,
        *,
        total: int = 0,
        done: int = 0,
        starts: int = 0,
        exit_codes: Mapping[str, Any] | None = None,
        shown: Sequence[str] | None = None,
        has_dependencies: bool = False,
        prepares: bool = False,
        deletes: bool = False,
        **submitted: Unpack[SubmittedArguments],
    ) -> None:
        super().__init__(**submitted)
        self.total = total
        self.done = done
        self.starts = starts
        self.exit_codes = dict(exit_codes or {})
        self.shown = list(shown or ())
        self.has_dependencies = has_dependencies
        self.prepares = prepares
        self.deletes = deletes

    @property
    def submitted(self) -> int | None:
        """How many commands were submitted, in this job and those of earlier tries; ``None`` if unknown."""
        return self.total + self.done if self.total else None

    def wait(self, client: BatchLinuxClient) -> JobWait:
        """Wait for the commands, and log how many have ended."""
        from airflow_provider_batchlinux.client.tasks.job_wait import JobWait
        from airflow_provider_batchlinux.client.waits.watching import WatchedCountsClient

        # The worker masks secrets in what it logs, at the end; the triggerer does not know them.
        is_unmasked = self.has_secrets and isinstance(client, WatchedCountsClient)
        codes = {int(code): ending for code, ending in self.exit_codes.items()}
        return JobWait(
            client,
            self.pool_id,
            self.job_id,
            self.total,
            self.done,
            codes,
            self.shown,
            self.has_dependencies,
            self.prepares,
            self.start_by,
            self.starts,
            shows_output=not is_unmasked,
        )

    def watched(self, account: SharedAccount) -> WatchedSubject:
        """Return the job and the poller that counts its tasks."""
        from airflow_provider_batchlinux.client.waits.watching import WatchedCountsClient

        return account.counts, WatchedCountsClient, self.job_id

    @property
    def uncancelled(self) -> str:
        """What a cancellation that failed leaves behind."""
        return f"Job {self.job_id!r} could not be ended and may go on"

    async def end(self, client: BatchLinuxClient, job_id: str) -> None:
        """End a job, and keep what is done unless nothing can go on from it."""
        from airflow_provider_batchlinux.client.tasks.secrets import delete_secrets, secrets_of

        secrets = await secrets_of(client, job_id) if self.has_secrets else None
        # After a failure the operator deletes it, once it has read what is done.
        deletes = self.deletes and self.is_killed and not self.marked_success
        await (client.delete_job(job_id) if deletes else client.end_job(job_id))
        await delete_secrets(secrets, storage_access())
        self.log.info("Ended job %r, because its Airflow task was ended.", job_id)


class BatchLinuxJobOutcomeTrigger(BatchLinuxTrigger):
    """
    Fire when the tasks of a job that was made elsewhere, or one of them, have ended or can never end.

    :param job_id: the job.
    :param batch_task_id: the task to wait for; ``None`` for all.
    :param max_failed: the number or share of tasks that may fail.
    :param allow_empty: whether the job may end without a task.
    :param shown: the failed tasks whose output is in the log already.
    """

    soonest = SOONEST_OF_COMMANDS

    def __init__(
        self,
        *,
        job_id: str,
        batch_task_id: str | None = None,
        max_failed: int | str = 0,
        allow_empty: bool = False,
        shown: Sequence[str] | None = None,
        **common: Unpack[WaitArguments],
    ) -> None:
        super().__init__(**common)
        self.job_id = job_id
        self.batch_task_id = batch_task_id
        self.max_failed = max_failed
        self.allow_empty = allow_empty
        self.shown = list(shown or ())

    def wait(self, client: BatchLinuxClient) -> JobOutcomeWait:
        """Wait for the job or its task, and log how many have ended."""
        from airflow_provider_batchlinux.client.tasks.job_outcome import JobOutcomeWait, TaskOutcomeWait

        if self.batch_task_id is not None:
            return TaskOutcomeWait(client, "", self.job_id, 1, task_id=self.batch_task_id)
        return JobOutcomeWait(
            client,
            "",
            self.job_id,
            total=1,
            shown=self.shown,
            max_failed=self.max_failed,
            allow_empty=self.allow_empty,
        )

    def watched(self, account: SharedAccount) -> WatchedSubject:
        """Return the job and the poller that counts its tasks."""
        from airflow_provider_batchlinux.client.waits.watching import WatchedCountsClient

        return account.counts, WatchedCountsClient, self.job_id
