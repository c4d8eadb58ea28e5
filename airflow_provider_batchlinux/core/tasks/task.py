"""The task of a command at one moment, and what its state means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from airflow_provider_batchlinux.core.instants import parse_instant
from airflow_provider_batchlinux.core.snapshots import ServiceError
from airflow_provider_batchlinux.core.storage.failures import explained_failure
from airflow_provider_batchlinux.core.tasks.spec.exit_codes import Ending

TASK_ID = "main"
"""The id of the only task in a job of the task operator."""

TASK_FIELDS = ("id", "state", "executionInfo", "nodeInfo")
"""What a wait asks of a task."""

FAILED_TASKS = "state eq 'completed' and executionInfo/result eq 'failure'"
"""The filter for the tasks that have failed, as the service counts: by exit code 0."""

NOT_STARTED = frozenset({"active", "preparing"})
"""The states of a task whose command has not begun yet."""


class TaskOutcome(str, Enum):
    """What a task's state means."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STILL_RUNNING = "still_running"


@dataclass(frozen=True)
class TaskSnapshot:
    """A task at one moment; what has not happened yet is ``None``."""

    state: str
    result: str | None = None
    exit_code: int | None = None
    failure: ServiceError | None = None
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
    def has_run(self) -> bool:
        """Whether its command has begun and ended, as far as it says so; it may have been ended by others."""
        # The service also counts the time of downloads, so that one of them may have failed.
        is_ended = self.failure is None or self.failure.code == "TaskEnded"
        return self.exit_code is not None or (
            self.ended_at is not None and self.started_at is not None and is_ended
        )

    @property
    def own_exit_code(self) -> int | None:
        """What the command itself has returned; ``None`` if it was ended, or something failed after it."""
        return self.exit_code if self.failure is None or self.failure.is_exit_code else None

    @property
    def seconds(self) -> float | None:
        """Return how long the command ran; ``None`` if it did not start or has not ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return round((self.ended_at - self.started_at).total_seconds(), 3)

    def why_failed(self) -> str:
        """Return in a few words how the command ended."""
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


def ending_of(task: TaskSnapshot, exit_codes: Mapping[int, Ending]) -> Ending:
    """
    Return how the Airflow task of a command that has ended must end.

    Only an exit code that the command itself returned is looked up. One that was terminated or could not
    start has none that counts: it fails, and may be retried.
    """
    if task.own_exit_code is not None and task.own_exit_code in exit_codes:
        return exit_codes[task.own_exit_code]
    return "success" if task_outcome(task) is TaskOutcome.SUCCEEDED else "retry"
