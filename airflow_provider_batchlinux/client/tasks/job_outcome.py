"""Wait for a job that was made elsewhere, or for one task of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_batchlinux.client.api.calls import Body
from airflow_provider_batchlinux.client.tasks.job_wait import SHOWN_FAILURES, JobWait
from airflow_provider_batchlinux.client.tasks.obstacles import LOOK_EVERY
from airflow_provider_batchlinux.client.tasks.results import output_end
from airflow_provider_batchlinux.core.counts import read_share
from airflow_provider_batchlinux.core.tasks.job import ENDING_JOB_STATES, JOB_FIELDS, job_state, pool_of_job
from airflow_provider_batchlinux.core.tasks.records import (
    TaskRecord,
    allowed_failures,
    counts_of,
    failure_text,
)
from airflow_provider_batchlinux.core.tasks.task import TaskOutcome, TaskSnapshot, task_outcome
from airflow_provider_batchlinux.exceptions import TaskFailedError

_FIELDS = (*JOB_FIELDS, "jobPreparationTask", "usesTaskDependencies")


@dataclass
class JobOutcomeWait(JobWait):
    """
    Wait until all tasks of a job have succeeded. Nothing but its id is known: its pool is read from the job.

    :param max_failed: the number or share of tasks that may fail, or not run.
    :param allow_empty: whether the job may end without a task.
    """

    knows_total: ClassVar[bool] = False
    _or_missing: ClassVar[str] = " or do not exist"
    max_failed: int | str = 0
    allow_empty: bool = False
    _read_at: float | None = field(default=None, init=False)

    async def poll(self) -> dict[str, Any] | None:
        """
        Return the counts, or ``None`` if it is too early.

        :raises TaskFailedError: more have failed than may, or to wait cannot help.
        """
        state = await self._state_if_due()
        is_over = await super().poll() is not None
        counts = self._counts
        # A share is of all tasks, and more may be added.
        if not is_over and read_share(self.max_failed) is None and counts.failed > int(self.max_failed):
            failed = [record for record in await self._records() if record.outcome == "failed"]
            await self._require_few(failed, counts.total)
        if counts.outcome is None:
            self.status = f"Job {self.job_id!r} has no tasks yet."
            # Counts may be outdated, so the end of the job is the proof.
            is_over = state in ENDING_JOB_STATES
        if is_over:
            return await self._result()
        if state is not None and not counts.running:
            lack = "has no tasks" if counts.outcome is None else "has tasks that have not begun"
            self._require_enabled(state, lack)
            if counts.outcome is None and self.pool_id:
                await self._obstacle.newest()
        return None

    async def _state_if_due(self) -> str | None:
        """
        Return the state of the job; ``None`` if something runs in it, or it was read just before.

        :raises TaskFailedError: the job does not exist, or is being deleted.
        """
        now = self.clock()
        if self._read_at is not None and (self._counts.running or now < self._read_at + LOOK_EVERY):
            return None
        self._read_at = now
        job: Body | None = await self.client.find_job(self.job_id, _FIELDS)
        if job is None or job_state(job) == "deleting":
            msg = f"Job {self.job_id!r} " + ("does not exist." if job is None else "is being deleted.")
            raise TaskFailedError(msg)
        self.pool_id = pool_of_job(job)
        self.prepares = bool(job.get("jobPreparationTask"))
        self.has_dependencies = bool(job.get("usesTaskDependencies"))
        return job_state(job)

    def _require_enabled(self, state: str, what: str) -> None:
        if state == "disabled":
            msg = f"Job {self.job_id!r} is disabled and {what}. Enable the job, then clear this task."
            raise TaskFailedError(msg)

    async def _records(self) -> list[TaskRecord]:
        def read(body: Body) -> TaskRecord:
            return TaskRecord.of(str(body["id"]), self.job_id, TaskSnapshot.from_rest(body), {})

        return await self.client.read_tasks(self.job_id, read)

    async def _result(self) -> dict[str, Any] | None:
        records = await self._records()
        counts = counts_of(records)
        if counts["not_run"] and not self._counts.active:
            return None  # added since all had ended
        if not records and not self.allow_empty:
            msg = f"Job {self.job_id!r} has ended without a task. If that may be, set allow_empty=True."
            raise TaskFailedError(msg)
        await self._require_few([item for item in records if item.outcome != "succeeded"], len(records))
        names = ("tasks", "succeeded", "failed", "not_run")
        return {"job_id": self.job_id, **{name: counts[name] for name in names}}

    async def _require_few(self, lost: Sequence[TaskRecord], total: int) -> None:
        """Raise ``TaskFailedError`` if more tasks failed or did not run than may."""
        has_run = len(lost) < total or any(item.task is not None and item.task.has_run for item in lost)
        allowed = allowed_failures(self.max_failed, total, has_run=has_run)
        if len(lost) <= allowed:
            return
        first = [item for item in lost if item.outcome == "failed" and item.task is not None]
        ends = {
            item.task_id: await output_end(self.client, self.job_id, item.task_id, item.task)
            for item in first[:SHOWN_FAILURES]
            if item.task is not None
        }
        msg = f"{failure_text(lost, allowed, total, ends)}\n{self._note}".rstrip()
        task = first[0].task if first else None
        raise TaskFailedError(
            msg, exit_code=task.exit_code if task else None, node_id=task.node_id if task else None
        )


@dataclass
class TaskOutcomeWait(JobOutcomeWait):
    """
    Wait until one task of a job has succeeded.

    The job is counted, and the task read when the counts have changed: all who wait for tasks of a job share
    the counts.

    :param task_id: the task.
    """

    task_id: str = ""

    async def poll(self) -> dict[str, Any] | None:
        """
        Return the exit code, node and seconds of the task, or ``None`` if it is too early.

        :raises TaskFailedError: it has failed, or to wait cannot help.
        """
        state = await self._state_if_due()
        counts = await self.client.task_counts(self.job_id)
        if counts is None:
            msg = f"Job {self.job_id!r} does not exist any more: it was deleted."
            raise TaskFailedError(msg)
        is_due = state is not None or self.clock() >= self._looked_at + LOOK_EVERY
        if counts == self._counts and not is_due:
            return None
        is_quiet = counts == self._counts
        self._looked_at, self._counts = self.clock(), counts
        task = await self.client.find_task(self.job_id, self.task_id)
        if task is not None and task_outcome(task) is not TaskOutcome.STILL_RUNNING:
            return await self._result_of(task)
        what = f"Task {self.task_id!r} of job {self.job_id!r}"
        now = f"is {task.state}" if task is not None else "does not exist yet"
        is_waiting = task is None or task.state == "active"
        if is_waiting and state is not None and not counts.running:
            self._require_enabled(state, f"task {self.task_id!r} {now}")
            await self._require_start(what, now, has_failed=counts.failed > 0, is_quiet=is_quiet)
        self.status = f"{what} {now}. {self._note if is_waiting else ''}".rstrip()
        return None

    async def _require_start(self, what: str, now: str, *, has_failed: bool, is_quiet: bool) -> None:
        """Raise ``TaskFailedError`` if the task will never start."""
        if not await self._never_ends(has_failed=has_failed, is_quiet=is_quiet):
            return
        # It may have begun, or ended with the job, since it was read.
        task = await self.client.find_task(self.job_id, self.task_id)
        if task is not None and task.state != "active":
            self._read_at = None
            return
        msg = f"{what} {now}, and never runs: {self._note}"
        raise TaskFailedError(msg)

    async def _result_of(self, task: TaskSnapshot) -> dict[str, Any]:
        if task_outcome(task) is TaskOutcome.FAILED:
            end = await output_end(self.client, self.job_id, self.task_id, task)
            msg = f"Task {self.task_id!r} of job {self.job_id!r} failed: {task.why_failed()}.{end}"
            raise TaskFailedError(msg, exit_code=task.exit_code, node_id=task.node_id)
        return {
            "job_id": self.job_id,
            "batch_task_id": self.task_id,
            "exit_code": task.exit_code,
            "node_id": task.node_id,
            "seconds": task.seconds,
        }
