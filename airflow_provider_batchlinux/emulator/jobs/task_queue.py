"""The tasks that wait for a node, and their scheduling order."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, groupby
from operator import itemgetter
from typing import NamedTuple

from airflow_provider_batchlinux.emulator.state.records import Job, Task

TaskKey = tuple[str, str]


def task_key(task: Task) -> TaskKey:
    """Return the unique key of a task."""
    return task.job_id.lower(), task.id.lower()


class TaskKind(NamedTuple):
    """What tasks of a kind have in common: if one of them has no room, none has."""

    slots: int
    instances: int | None
    is_exclusive: bool
    is_dedicated: bool


def task_kind(task: Task) -> TaskKind:
    """Return the kind of a task, which never changes."""
    return TaskKind(task.slots, task.instances, task.is_exclusive, task.is_dedicated)


@dataclass
class TaskQueue:
    """
    Waiting tasks by pool and job.

    Those of one job are in the order in which they were added, and kept by kind: a kind that has no room is
    skipped as a whole, however many tasks wait.
    """

    _pools: dict[str, dict[str, dict[TaskKind, OrderedDict[TaskKey, tuple[int, Task]]]]] = field(
        default_factory=dict
    )
    _order: Iterator[int] = field(default_factory=count)

    def add(self, task: Task, *, is_first: bool = False) -> None:
        """Add a task, as the last or the first of its job."""
        kinds = self._pools.setdefault(task.pool_id.lower(), {}).setdefault(task.job_id.lower(), {})
        others = kinds.setdefault(task_kind(task), OrderedDict())
        others[task_key(task)] = (-1 if is_first else next(self._order), task)
        if is_first:
            others.move_to_end(task_key(task), last=False)

    def remove(self, task: Task) -> bool:
        """Remove a task, and return whether it was waiting."""
        jobs = self._pools.get(task.pool_id.lower(), {})
        kinds = jobs.get(task.job_id.lower(), {})
        tasks = kinds.get(kind := task_kind(task))
        if tasks is None or tasks.pop(task_key(task), None) is None:
            return False
        if not tasks:
            del kinds[kind]
        if not kinds:
            del jobs[task.job_id.lower()]
        return True

    def remove_job(self, job: Job) -> None:
        """Remove the waiting tasks of a job."""
        for jobs in self._pools.values():
            jobs.pop(job.id.lower(), None)

    def jobs(self, pool_id: str) -> Collection[str]:
        """Return the lower-case ids of the jobs with waiting tasks of a pool."""
        return self._pools.get(pool_id.lower(), {}).keys()

    def first(self, pool_id: str, job_id: str, skipped: Container[TaskKind]) -> Task | None:
        """Return the first waiting task of a job that is of none of the skipped kinds."""
        kinds = self._pools.get(pool_id.lower(), {}).get(job_id.lower(), {})
        firsts = [next(iter(tasks.values())) for kind, tasks in kinds.items() if kind not in skipped]
        return min(firsts, key=itemgetter(0))[1] if firsts else None


Turn = tuple[Job, Task]


def scheduling_order(
    jobs: Iterable[Job],
    waiting: Callable[[Job], Iterator[Task]],
    running: Callable[[Job], int],
    *,
    oldest_first: bool,
) -> Iterator[Turn]:
    """
    Yield waiting tasks in scheduling order: jobs with the highest priority first.

    Jobs of equal priority take turns, starting with the one that has the fewest running tasks: this is how we
    read "uniformly" in the documentation.

    :param waiting: returns the waiting tasks of a job, in order.
    :param running: returns the number of running tasks of a job.
    :param oldest_first: whether older jobs of equal priority come first instead.
    """
    ranked = sorted(jobs, key=_priority, reverse=True)
    for _, equals in groupby(ranked, key=_priority):
        if oldest_first:
            for job in sorted(equals, key=lambda job: job.created):
                yield from ((job, task) for task in waiting(job))
        else:
            yield from _alternate([(job, waiting(job)) for job in sorted(equals, key=running)])


def _priority(job: Job) -> int:
    priority: int = job.spec["priority"]
    return priority


def _alternate(queues: Iterable[tuple[Job, Iterator[Task]]]) -> Iterator[Turn]:
    left = deque(queues)
    while left:
        job, tasks = left.popleft()
        task = next(tasks, None)
        if task is not None:
            yield job, task
            left.append((job, tasks))
