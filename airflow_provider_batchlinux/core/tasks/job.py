"""What the state of a command's job means; imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JOB_FIELDS = ("id", "state", "poolInfo", "metadata", "onAllTasksComplete", "executionInfo")
"""What is asked of a job."""

ENDING_JOB_STATES = frozenset({"terminating", "completed", "deleting"})
"""States of a job that starts no command any more. One that has ended in it keeps its result and files."""

_ENDED_ITSELF = ("alltaskscomplete", "alltaskscompleted")
"""The reason of a job that ended with its command: as documented, and as recorded."""


def job_state(job: Mapping[str, Any]) -> str:
    """Return the state of a job, given its REST body."""
    return str(job.get("state") or "").lower()


def why_never_starts(job_id: str, job: Mapping[str, Any]) -> str | None:
    """
    Return why a command that has not ended will never start or end, given its job; ``None`` if it may.

    Only the state counts. While nodes have not reported, a job that is ending also has a ``schedulingError``,
    ``JobTerminationAwaitingNodeProcessing``, which is no failure.
    """
    state = job_state(job)
    if state not in ENDING_JOB_STATES:
        return None
    reason = (job.get("executionInfo") or {}).get("terminateReason")
    if reason and str(reason).lower() in _ENDED_ITSELF:
        return None
    return f"job {job_id!r} is {state}" + (f" (terminate reason {reason})" if reason else "")
