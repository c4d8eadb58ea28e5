"""Decide which jobs are ended or deleted, because nothing waits for their commands any more."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_batchlinux.core.pool_metadata import (
    DELETE_JOB_KEY,
    SECRETS_KEY,
    SUBMISSION_KEY,
    TASKS_KEY,
    Holder,
    PoolMarks,
    metadata_of,
)
from airflow_provider_batchlinux.core.tasks.job import job_state, pool_of_job, unreadable_marks
from airflow_provider_batchlinux.core.tasks.task import TaskOutcome
from airflow_provider_batchlinux.core.text import table


@dataclass(frozen=True)
class OwnedJob:
    """
    A job of a command that an installation of Airflow submitted, and that is not being deleted.

    :param is_over: whether the job has ended, so that it holds no quota.
    :param run: the Dag run that submitted it.
    :param delete_job: when its operator deletes it. An unknown value is treated like ``never``.
    :param secrets: where its secrets are, as its metadata says; ``None`` if it has none, or they are deleted.
    :param unreadable: why its marks cannot be read, as a sentence; it is left alone then.
    :param is_of_many: whether it has many commands, so that a retry may go on from what it has done.
    """

    job_id: str
    pool_id: str
    is_over: bool
    run: Holder
    delete_job: str
    secrets: str | None = None
    is_of_many: bool = False
    unreadable: str | None = None

    @property
    def is_kept(self) -> bool:
        """Whether there is nothing to do for the job, whatever its command and its run do."""
        return self.is_over and self.secrets is None and self.delete_job not in ("always", "on_success")


@dataclass(frozen=True)
class JobSweep:
    """
    A job to delete or to end, and why. A job that was to be kept and has ended loses only its secrets.

    :param deletes: whether the job is deleted with the output of its command; otherwise it is ended, because
        its operator was to keep it.
    :param needs_pool: the pool that has to be deleted first; ``None`` if its run has ended.
    """

    job: OwnedJob
    reason: str
    deletes: bool
    needs_pool: str | None = None

    @property
    def action(self) -> str:
        """What is done: ``delete``, ``end`` or ``delete secrets``."""
        return "delete" if self.deletes else "delete secrets" if self.job.is_over else "end"

    def to_dict(self) -> dict[str, Any]:
        """Return the job as an entry of the result's ``jobs``."""
        return {
            "job_id": self.job.job_id,
            "pool_id": self.job.pool_id,
            "action": self.action,
            "reason": self.reason,
        }


def owned_jobs(bodies: Sequence[Mapping[str, Any]], installations: Collection[str]) -> list[OwnedJob]:
    """
    Return the jobs of commands that some installations of Airflow submitted and that are not being deleted.

    :param bodies: REST bodies with ``JOB_FIELDS``.
    :param installations: their ids.
    """
    found = []
    for body in bodies:
        marks, owner = metadata_of(body), PoolMarks.of(body).owner
        if SUBMISSION_KEY not in marks or owner.get("installation") not in installations:
            continue
        state = job_state(body)
        # A second request for its deletion would be refused, and reported as a failure.
        if state != "deleting":
            kept = marks.get(DELETE_JOB_KEY, "never")
            is_over = state in ("terminating", "completed")
            job_id, pool_id = str(body["id"]), pool_of_job(body)
            run, secrets = Holder.of(owner), marks.get(SECRETS_KEY)
            is_of_many, unreadable = TASKS_KEY in marks, unreadable_marks(body)
            found.append(OwnedJob(job_id, pool_id, is_over, run, kept, secrets, is_of_many, unreadable))
    return found


def job_sweep_of(
    job: OwnedJob, outcome: TaskOutcome | None, *, run_has_ended: bool, pool_is_deleted: bool
) -> JobSweep | None:
    """
    Return what to do with a job, or ``None`` if it is left alone.

    - When its Dag run has ended, nothing waits for its command. The job is deleted, or ended where its
      operator was to keep it. The secrets of its command are deleted.
    - When its pool is deleted, a command that has not ended never will.
    - Otherwise it is left alone.

    :param outcome: that of its command; ``None`` if the job has none, because its worker died before.
    :param pool_is_deleted: whether its pool is being deleted.
    """
    if run_has_ended:
        succeeded = outcome is TaskOutcome.SUCCEEDED
        deletes = (
            outcome is None or job.delete_job == "always" or (job.delete_job == "on_success" and succeeded)
        )
        is_kept = job.is_over and job.secrets is None and not deletes
        return None if is_kept else JobSweep(job, f"{job.run} has ended", deletes)
    if pool_is_deleted and outcome in (TaskOutcome.STILL_RUNNING, None) and not job.is_over:
        reason = f"its command cannot end, because pool {job.pool_id!r} is deleted"
        return JobSweep(job, reason, deletes=not job.is_of_many, needs_pool=job.pool_id)
    return None


def job_sweep_table(sweeps: Sequence[JobSweep]) -> str:
    """Return a table of the jobs to delete or end, for the log."""
    rows = [(sweep.job.job_id, sweep.job.pool_id, sweep.action, sweep.reason) for sweep in sweeps]
    return table(("JOB", "POOL", "ACTION", "WHY"), rows)
