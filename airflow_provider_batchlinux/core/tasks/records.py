"""Count and record the commands of a job with many."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from airflow_provider_batchlinux.core.counts import allowed_of
from airflow_provider_batchlinux.core.tasks.spec.exit_codes import Ending
from airflow_provider_batchlinux.core.tasks.spec.job import MANAGER_ID
from airflow_provider_batchlinux.core.tasks.task import TaskOutcome, TaskSnapshot, ending_of, task_outcome
from airflow_provider_batchlinux.core.text import counted

LARGEST_IN_XCOM = 256 * 1024
"""Bytes of records in an XCom: about a thousand."""

_NAMED = 5
"""Failed commands that an error names."""

Outcome = Literal["succeeded", "skipped", "failed", "not_run"]
OUTCOMES: Sequence[Outcome] = ("succeeded", "skipped", "failed", "not_run")
_OF_ENDING: Mapping[Ending, Outcome] = {
    "success": "succeeded",
    "skip": "skipped",
    "fail": "failed",
    "retry": "failed",
}


@dataclass(frozen=True)
class TaskCounts:
    """The tasks of a job by state, as the service counts them; the counts may be outdated."""

    active: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0

    @classmethod
    def from_rest(cls, body: Mapping[str, Any]) -> TaskCounts:
        """Read the counts in an answer."""
        found = body.get("taskCounts") or {}
        names = ("active", "running", "succeeded", "failed")
        return cls(**{name: int(found.get(name) or 0) for name in names})

    @property
    def outcome(self) -> TaskOutcome | None:
        """What all of them together mean; ``None`` if there are none."""
        if self.active or self.running:
            return TaskOutcome.STILL_RUNNING
        if not self.ended:
            return None
        return TaskOutcome.FAILED if self.failed else TaskOutcome.SUCCEEDED

    @property
    def total(self) -> int:
        """The tasks that the job has."""
        return self.active + self.running + self.ended

    @property
    def ended(self) -> int:
        """The tasks that have ended."""
        return self.succeeded + self.failed


@dataclass(frozen=True)
class TaskRecord:
    """
    What is known about a command.

    :param job_id: the job with its task; ``None`` if none has it.
    :param task: its task; ``None`` if it was not sent, or was deleted.
    :param ending: what its exit code means; ``None`` if it has not ended.
    :param digest: what it was asked to do; ``None`` if it was not sent as a command of the list.
    :param outputs: where the service has put its outputs, by path.
    :param result: the content of its result file.
    :param loss: why its result cannot be used, although it has succeeded.
    :param unread: why its result could not be read now; a later try may read it.
    """

    task_id: str
    job_id: str | None = None
    task: TaskSnapshot | None = None
    ending: Ending | None = None
    digest: str | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    result: Any = None
    loss: str | None = None
    unread: str | None = None

    @classmethod
    def of(
        cls, task_id: str, job_id: str, task: TaskSnapshot, exit_codes: Mapping[int, Ending]
    ) -> TaskRecord:
        """Return the record of a task."""
        is_over = task_outcome(task) is not TaskOutcome.STILL_RUNNING
        return cls(task_id, job_id, task, ending_of(task, exit_codes) if is_over else None)

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        if self.loss is not None:
            return "failed"
        return "not_run" if self.ending is None else _OF_ENDING[self.ending]

    def ended_by(self, instant: datetime | None) -> bool:
        """Return whether the command has ended at an instant or before; with none, it has not."""
        ended = self.task.ended_at if self.task is not None and self.ending is not None else None
        return instant is not None and ended is not None and ended <= instant

    def why(self) -> str:
        """Return in a few words why it has not succeeded."""
        if self.loss is not None:
            return self.loss
        if self.task is None:
            return "it was not run"
        return self.task.why_failed() if self.ending is not None else f"it is {self.task.state}"

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values."""
        task = self.task or TaskSnapshot("")
        return {
            "id": self.task_id,
            "job_id": self.job_id,
            "outcome": self.outcome,
            "exit_code": task.exit_code,
            "node_id": task.node_id,
            "seconds": task.seconds,
            "result": self.result,
            "outputs": dict(self.outputs),
            "error": self.unread if self.outcome in ("succeeded", "skipped") else self.why(),
        }


def ordered_records(
    listed: Sequence[str], found: Mapping[str, TaskRecord], submitted: int | None
) -> tuple[list[TaskRecord], list[str]]:
    """
    Return the records of a list of commands in its order, then those of other tasks.

    - If as many commands of the list are in no job as are missing from the submission, they have not run.
    - Otherwise commands were added to the list since. The ids of those in no job are returned, too: which of
      them were submitted is unknown.

    :param listed: the ids of the commands in the list, which may have changed since the submission.
    :param found: what the jobs have.
    :param submitted: how many were submitted; ``None`` if that is unknown, so that all in the list count.
    """
    sent = sum(record.digest is not None for record in found.values())
    lost = len(listed) if submitted is None else max(0, submitted - sent)
    absent = [task_id for task_id in listed if task_id not in found]
    is_told = submitted is None or len(absent) <= lost
    there = listed if is_told else [task_id for task_id in listed if task_id in found]
    records = [found.get(task_id, TaskRecord(task_id)) for task_id in there]
    rest = [found[task_id] for task_id in found.keys() - set(listed)]
    records += sorted(rest, key=lambda record: (record.task_id != MANAGER_ID, record.task_id))
    if submitted is not None:
        named = len(absent) if is_told else 0
        records += [TaskRecord(f"unknown-{number}") for number in range(1, lost - named + 1)]
    return records, [] if is_told else absent


def counts_of(records: Iterable[TaskRecord]) -> dict[str, int]:
    """Return how many commands ended how, and how many there are."""
    found = Counter(record.outcome for record in records)
    return {"tasks": found.total(), **{outcome: found[outcome] for outcome in OUTCOMES}}


def counts_text(records: Iterable[TaskRecord]) -> str:
    """Return how many commands ended how, as a part of a sentence: ``2 succeeded, 1 not run``."""
    counts = {name: number for name, number in counts_of(records).items() if number and name != "tasks"}
    return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in counts.items()) or "none"


def allowed_failures(max_failed: int | str, tasks: int, *, has_run: bool = True) -> int:
    """
    Return how many of some commands may fail, given a number or a share.

    :param has_run: whether any of them has ended. If none has, nothing was done, and none is excused.
    """
    return allowed_of(max_failed, tasks) if has_run else 0


def progress_text(counts: TaskCounts, total: int, well: int = 0) -> str:
    """
    Return the counts as a part of a sentence: ``1,200 of 10,000 done, 3 failed``.

    :param well: commands that the service counts as failed, and their exit codes do not.
    """
    failed = f", {counts.failed - well:,} failed" if counts.failed > well else ""
    return f"{counts.ended:,} of {total:,} done{failed}"


def json_lines(records: Iterable[Mapping[str, Any]]) -> str:
    """Return records as a file of JSON lines."""
    return "".join(f"{json.dumps(record)}\n" for record in records)


def failure_text(records: Sequence[TaskRecord], allowed: int, total: int, ends: Mapping[str, str]) -> str:
    """
    Return the message about commands that have failed, more than may.

    :param records: the records of these commands.
    :param ends: the ends of their output, as far as they were read, by the ids of their tasks.
    """
    limit = f"; max_failed allows {allowed}" if allowed else ""
    first = f"{len(records):,} of {counted(total, 'command')} did not succeed{limit}:"
    return "\n".join([first, *failure_lines(records, ends)])


def failure_lines(records: Sequence[TaskRecord], ends: Mapping[str, str]) -> list[str]:
    """Return the lines that name commands that have failed; the parameters are those of `failure_text`."""
    lines = []
    for record in records[:_NAMED]:
        where = f" in job {record.job_id!r}" if record.job_id else ""
        lines.append(f"- {record.task_id!r}{where}: {record.why()}." + ends.get(record.task_id, ""))
    if len(records) > _NAMED:
        names = ", ".join(repr(record.task_id) for record in records[_NAMED : 4 * _NAMED])
        rest = len(records) - 4 * _NAMED
        lines.append(f"- {names}" + (f" and {rest:,} more" if rest > 0 else "") + ".")
    return lines
