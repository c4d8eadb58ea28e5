"""What the state of a command's job means, and for which tries of its task it counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_batchlinux.core.pool_metadata import READ_KEY, SETTLED_KEY, VERSION_KEY, metadata_of

JOB_FIELDS = ("id", "state", "poolInfo", "metadata", "onAllTasksComplete", "executionInfo")
"""What is asked of a job."""

DeleteJob = Literal["always", "on_success", "never"]
"""When a job is deleted with its files: whatever happened, only after a success, or not at all."""

JOB_MARKS_VERSION = 2
"""The version of the metadata of jobs and of the display names of their tasks. The first one has none."""

ENDING_JOB_STATES = frozenset({"terminating", "completed", "deleting"})
"""States of a job that starts no command any more. One that has ended in it keeps its result and files."""

_ENDED_ITSELF = ("alltaskscomplete", "alltaskscompleted")
"""The reason of a job that ended with its command: as documented, and as recorded."""


def job_state(job: Mapping[str, Any]) -> str:
    """Return the state of a job, given its REST body."""
    return str(job.get("state") or "").lower()


def pool_of_job(job: Mapping[str, Any]) -> str:
    """Return the id of the pool of a job; of a pool that the service created for the job, too."""
    places = (job.get("poolInfo") or {}, job.get("executionInfo") or {})
    return next((str(place["poolId"]) for place in places if place.get("poolId")), "")


def is_active(job: Mapping[str, Any]) -> bool:
    """Return whether a job may still start commands, now or when it is enabled again."""
    return job_state(job) not in ENDING_JOB_STATES


def unreadable_marks(job: Mapping[str, Any]) -> str | None:
    """Return why the marks of a job cannot be read, with the remedy; ``None`` if they can."""
    version = metadata_of(job).get(VERSION_KEY, "1")
    if version in map(str, range(1, JOB_MARKS_VERSION + 1)):
        return None
    return (
        f"Job {job['id']!r} was marked by a later release of the provider: its marks have version {version}, "
        f"and this release reads versions up to {JOB_MARKS_VERSION}. Update the provider, or delete the job."
    )


def why_paused(job_id: str, job: Mapping[str, Any]) -> str | None:
    """Return a sentence about a job that starts nothing because it is disabled; ``None`` if it is not."""
    state = job_state(job)
    if state not in ("disabling", "disabled"):
        return None
    return f"Job {job_id!r} is {state}, and starts nothing until it is enabled."


@dataclass(frozen=True)
class Tries:
    """
    The present try of a task instance, and the earlier ones whose jobs count for it.

    :param id_stem: the prefix of the ids of the jobs of all its tries; their numbers follow.
    :param number: the number of the present try.
    :param first: the first try since the task was cleared.
    """

    id_stem: str
    number: int
    first: int = 1

    @property
    def job_id(self) -> str:
        """The id of the job of this try."""
        return f"{self.id_stem}{self.number}"

    def own(self, jobs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """
        Return the jobs that a try of the task instance has created.

        :raises ValueError: if a later release has marked one of them.
        """
        found = [job for job in jobs if self.number_of(job) is not None]
        if problems := list(filter(None, map(unreadable_marks, found))):
            raise ValueError("\n".join(problems))
        return found

    def number_of(self, job: Mapping[str, Any]) -> int | None:
        """Return the number of the try that has created a job; ``None`` if no try has."""
        suffix = str(job["id"])[len(self.id_stem) :]
        return int(suffix) if suffix.isdecimal() else None

    def counts(self, job: Mapping[str, Any]) -> bool:
        """
        Return whether a job of this or an earlier try counts: what it has done need not be done again.

        Jobs of later tries belong to a Dag run that was deleted and created again with the same id.
        """
        marks, number = metadata_of(job), self.number_of(job)
        if number is None or number > self.number or SETTLED_KEY in marks or job_state(job) == "deleting":
            return False
        read_by = marks.get(READ_KEY)
        return read_by is None or (read_by.isdecimal() and int(read_by) >= self.first)


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
