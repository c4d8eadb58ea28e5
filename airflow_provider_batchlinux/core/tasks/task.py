"""A command as a Batch job and task, and what its state means; imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from airflow_provider_batchlinux.core.ids import fingerprint, id_problems
from airflow_provider_batchlinux.core.instants import parse_instant
from airflow_provider_batchlinux.core.snapshots import ServiceError
from airflow_provider_batchlinux.core.storage.failures import explained_failure
from airflow_provider_batchlinux.core.storage.grants import Grant, sas_lifetime
from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec

TASK_ID = "main"
"""The one task of a job that the task operator makes."""

TASK_FIELDS = ("id", "state", "executionInfo", "nodeInfo")
"""What a wait asks of a task."""


class TaskOutcome(str, Enum):
    """What a task's state means."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STILL_RUNNING = "still_running"


@dataclass(frozen=True)
class JobSpec:
    """
    A job with one command.

    :param pool_id: the pool whose nodes may run it.
    :param task: the command.
    :param packed_files: files for the working directory, packed by ``pack_files``; ``None`` for none.
    :param priority: from -1000 to 1000; the service starts the tasks of a job of higher priority first.
    :param start_limit: the seconds that the command may wait for its start; ``None`` for no limit.
    """

    pool_id: str
    task: TaskSpec
    packed_files: str | None = field(default=None, repr=False)
    priority: int = 0
    start_limit: float | None = None

    @property
    def lifetime(self) -> timedelta:
        """How long after its submission the command may need storage."""
        return sas_lifetime(self.start_limit, self.task.time_limit, self.task.max_retries)

    def problems(self) -> list[str]:
        """List all that the service would refuse."""
        return [*id_problems("pool_id", self.pool_id), *self.task.problems()]

    def fingerprint(self) -> str:
        """Digest what was asked for, so that a retry knows its own work."""
        asked = {"task": self.task.meaning(), "packed_files": self.packed_files, "priority": self.priority}
        return fingerprint({"pool_id": self.pool_id, **asked})

    def job_rest(self, job_id: str, metadata: Mapping[str, str]) -> dict[str, Any]:
        """Build the body of the job that holds the task."""
        body = {
            "id": job_id,
            "poolInfo": {"poolId": self.pool_id},
            "metadata": [{"name": name, "value": value} for name, value in metadata.items()],
        }
        return {**body, "priority": self.priority} if self.priority else body

    def task_rest(
        self, urls: Mapping[Grant, str] | None = None, secrets_blob: Grant | None = None
    ) -> dict[str, Any]:
        """Build the body of the task; see :meth:`TaskSpec.task_rest`."""
        return self.task.task_rest(TASK_ID, self.packed_files, urls, secrets_blob)


@dataclass(frozen=True)
class TaskSnapshot:
    """A task at one moment; what has not happened yet is ``None``."""

    state: str
    result: str | None = None
    exit_code: int | None = None
    failure: ServiceError | None = None
    failure_category: str | None = None
    node_id: str | None = None
    pool_id: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    requeues: int = 0
    retries: int = 0

    @classmethod
    def from_rest(cls, body: Mapping[str, Any]) -> TaskSnapshot:
        """Read a task with at least :data:`TASK_FIELDS`."""
        run = body.get("executionInfo") or {}
        failure = run.get("failureInfo")
        return cls(
            state=str(body.get("state") or "").lower(),
            result=str(run["result"]).lower() if run.get("result") else None,
            exit_code=run.get("exitCode"),
            failure=ServiceError.from_rest(failure) if failure else None,
            failure_category=str(failure["category"]).lower()
            if failure and failure.get("category")
            else None,
            node_id=(body.get("nodeInfo") or {}).get("nodeId"),
            pool_id=(body.get("nodeInfo") or {}).get("poolId"),
            started_at=parse_instant(run.get("startTime")),
            ended_at=parse_instant(run.get("endTime")),
            requeues=int(run.get("requeueCount") or 0),
            retries=int(run.get("retryCount") or 0),
        )

    @property
    def run(self) -> tuple[int, int]:
        """The number of its requeues and retries: each run begins with empty files of output."""
        return self.requeues, self.retries

    @property
    def seconds(self) -> float | None:
        """Give how long the command ran, ``None`` when it did not start or has not ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return round((self.ended_at - self.started_at).total_seconds(), 3)

    def why_failed(self) -> str:
        """Say how the command ended, in a few words."""
        ended = f"exit code {self.exit_code}" if self.exit_code is not None else "no exit code"
        where = f" on node {self.node_id!r}" if self.node_id else ""
        after = f" after {self.seconds:g} s" if self.seconds is not None else ""
        cause = (
            f"; {explained_failure(self.failure)}" if self.failure and not self.failure.is_exit_code else ""
        )
        return f"{ended}{where}{after}{cause}"


def task_outcome(task: TaskSnapshot) -> TaskOutcome:
    """
    Decide what a task's state means.

    Only a completed task with exit code 0 and no failure has succeeded; a completed task that says
    neither is taken as failed.
    """
    if task.state != "completed":
        return TaskOutcome.STILL_RUNNING
    if task.exit_code == 0 and task.result in (None, "success") and task.failure is None:
        return TaskOutcome.SUCCEEDED
    return TaskOutcome.FAILED
