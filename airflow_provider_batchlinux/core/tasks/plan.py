"""Decide which commands of a job are sent, and in which requests."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_batchlinux.core.tasks.spec.exit_codes import ENDS_WELL, Ending
from airflow_provider_batchlinux.core.tasks.task import (
    NOT_STARTED,
    TaskOutcome,
    TaskSnapshot,
    ending_of,
    task_outcome,
)

MOST_IN_COLLECTION = 100
"""Tasks that the service takes in one request."""

LARGEST_BODY = 900_000
"""Bytes of such a request. The service takes 1 MiB."""


@dataclass(frozen=True)
class SentTask:
    """
    A command as an earlier try has sent it.

    :param digest: what it was asked to do; ``None`` if it is unknown.
    """

    job_id: str
    task_id: str
    digest: str | None
    task: TaskSnapshot


@dataclass(frozen=True)
class EarlierJob:
    """
    A job of an earlier try, with its commands.

    :param is_open: whether commands may be added: it is active, and all but its commands is unchanged.
    """

    job_id: str
    is_open: bool
    tasks: Sequence[SentTask] = ()


@dataclass(frozen=True)
class RerunPlan:
    """
    What a try sends, runs again and deletes.

    :param done: the jobs in which commands have succeeded that are not run again, by the ids of their tasks.
    :param to_send: the ids of the commands that are sent.
    :param job_id: the job of an earlier try that goes on with them; ``None`` for a new one.
    :param to_reactivate: the commands of that job that have failed, and run again in it.
    :param superseded: the tasks that are deleted first, each by its job and its id: their results no longer
        count, or their ids are sent again.
    :param starts: how many starts the tasks that stay in that job had before this try.
    """

    done: Mapping[str, str] = field(default_factory=dict)
    to_send: Sequence[str] = ()
    job_id: str | None = None
    to_reactivate: Sequence[str] = ()
    superseded: Sequence[tuple[str, str]] = ()
    starts: int = 0


def rerun_plan(
    digests: Mapping[str, str],
    exit_codes: Mapping[str, Mapping[int, Ending]],
    earlier: Sequence[EarlierJob],
    *,
    has_manager: bool = False,
) -> RerunPlan:
    """
    Return what runs in this try: what failed or never ran in the earlier ones.

    A command has succeeded only if its digest is unchanged, and the present ``exit_codes`` say so.

    :param digests: what each command is to do.
    :param exit_codes: what the exit codes of each command mean.
    :param earlier: the jobs of earlier tries, the latest first.
    :param has_manager: whether the job has a manager, which may have added other tasks.
    """
    names = {task_id.lower(): task_id for task_id in digests}
    done = _done(digests, exit_codes, earlier, names)
    going_on = next((job for job in earlier if job.is_open and _fits(job, digests, names, done)), None)
    if going_on is not None and not has_manager:
        is_known = all(sent.task_id.lower() in names for sent in going_on.tasks)
        going_on = going_on if is_known else None
    kept = [job for job in earlier if job.job_id in done.values() and job is not going_on]
    superseded = _superseded(kept, digests, names, done, has_manager=has_manager)
    if going_on is None:
        return RerunPlan(
            done, [task_id for task_id in digests if task_id not in done], superseded=tuple(superseded)
        )
    there = {names.get(sent.task_id.lower(), sent.task_id): sent for sent in going_on.tasks}
    ended = [
        task_id
        for task_id, sent in there.items()
        if task_id not in done and task_outcome(sent.task) is not TaskOutcome.STILL_RUNNING
    ]
    # The service does not run a task again whose exit code is 0, whatever its outputs or our exit codes say.
    again = [task_id for task_id in ended if there[task_id].task.exit_code == 0 and task_id in digests]
    superseded += [(going_on.job_id, there[task_id].task_id) for task_id in again]
    missing = [
        task_id for task_id in digests if task_id in again or (task_id not in done and task_id not in there)
    ]
    failed = [
        task_id
        for task_id in ended
        if task_id not in again and task_outcome(there[task_id].task) is TaskOutcome.FAILED
    ]
    left = {task_id: sent.task for task_id, sent in there.items() if task_id not in {*again, *failed}}
    return RerunPlan(
        done, missing, going_on.job_id, failed, tuple(superseded), starts_of(left.values(), running=0)
    )


def starts_of(tasks: Iterable[TaskSnapshot], *, running: int = 1) -> int:
    """
    Return how many starts of tasks are known: their ends, requeues and retries.

    :param running: what a task counts whose command runs now.
    """
    return sum(
        sum(task.run) + (1 if task.state == "completed" else running * (task.state not in NOT_STARTED))
        for task in tasks
    )


def _superseded(
    kept: Sequence[EarlierJob],
    digests: Mapping[str, str],
    names: Mapping[str, str],
    done: Mapping[str, str],
    *,
    has_manager: bool,
) -> list[tuple[str, str]]:
    """Return the tasks of closed jobs that hide what counts: of other commands, or later than a success."""
    found, passed = list[tuple[str, str]](), set[str]()
    for job in kept:
        for sent in job.tasks:
            task_id = names.get(sent.task_id.lower())
            if task_id is None:
                is_hiding = not has_manager
            else:
                is_later = task_id in done and done[task_id] not in {*passed, job.job_id}
                is_hiding = sent.digest != digests[task_id] or is_later
            if is_hiding:
                found.append((job.job_id, sent.task_id))
        passed.add(job.job_id)
    return found


def _done(
    digests: Mapping[str, str],
    exit_codes: Mapping[str, Mapping[int, Ending]],
    earlier: Sequence[EarlierJob],
    names: Mapping[str, str],
) -> dict[str, str]:
    done: dict[str, str] = {}
    for job in earlier:
        for sent in job.tasks:
            task_id = names.get(sent.task_id.lower())
            if task_id is None or sent.digest != digests[task_id] or task_id in done:
                continue
            is_over = task_outcome(sent.task) is not TaskOutcome.STILL_RUNNING
            if is_over and ending_of(sent.task, exit_codes.get(task_id, {})) in ENDS_WELL:
                done[task_id] = job.job_id
    return done


def _fits(
    job: EarlierJob, digests: Mapping[str, str], names: Mapping[str, str], done: Mapping[str, str]
) -> bool:
    """Return whether the commands that a job has are to run, or have succeeded in it."""
    for sent in job.tasks:
        task_id = names.get(sent.task_id.lower())
        if task_id is None:
            continue
        if sent.digest != digests[task_id] or done.get(task_id, job.job_id) != job.job_id:
            return False
    return True


def collections_of(bodies: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the bodies of tasks in groups, each of which fits into one request."""
    group: list[Mapping[str, Any]] = []
    size = 0
    for body in bodies:
        # The size that the SDK sends: it writes JSON in the same way.
        needed = len(json.dumps(body)) + 2
        if group and (len(group) == MOST_IN_COLLECTION or size + needed > LARGEST_BODY):
            yield group
            group, size = [], 0
        group.append(body)
        size += needed
    if group:
        yield group


def answers_by_task(
    bodies: Iterable[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """
    Yield each task that was sent with what the service has answered about it, in whatever order it answers.

    A task without an answer counts as an error of the service, so that it is sent again.
    """
    by_id = {str(row.get("taskId")).lower(): row for row in rows}
    for body in bodies:
        yield body, by_id.get(str(body["id"]).lower(), {"status": "servererror"})


def blocked_tasks(
    bodies: Sequence[Mapping[str, Any]],
    failed: Mapping[str, Mapping[str, Any]],
    there: Collection[str] | None = None,
) -> set[str]:
    """
    Return the tasks that can never start, because they wait for some that have failed or do not exist.

    :param bodies: those that have not ended, with ``id`` and ``dependsOn``.
    :param failed: those that have failed, by their ids in lower case, with ``executionInfo`` and
        ``exitConditions``.
    :param there: the ids of all tasks of the job; ``None`` if they are unknown.
    """
    stuck = {task_id for task_id, body in failed.items() if not _lets_pass(body)}
    waits = {
        str(body["id"]).lower(): {
            str(other).lower() for other in (body.get("dependsOn") or {}).get("taskIds") or ()
        }
        for body in bodies
    }
    if there is not None:
        known = {task_id.lower() for task_id in there} | waits.keys()
        stuck |= {other for others in waits.values() for other in others if other not in known}
    waiting: dict[str, list[str]] = {}
    for task_id, others in waits.items():
        for other in others:
            waiting.setdefault(other, []).append(task_id)
    blocked, ahead = set[str](), list(stuck)
    while ahead:
        more = [task_id for task_id in waiting.get(ahead.pop(), ()) if task_id not in blocked]
        blocked.update(more)
        ahead += more
    return blocked


def _lets_pass(body: Mapping[str, Any]) -> bool:
    code = (body.get("executionInfo") or {}).get("exitCode")
    rules = (body.get("exitConditions") or {}).get("exitCodes") or ()
    return any(
        rule.get("code") == code
        and str((rule.get("exitOptions") or {}).get("dependencyAction")).lower() == "satisfy"
        for rule in rules
    )
