"""Holds the tasks that wait for a node, by the pool and the job they belong to; decides nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from airflow_provider_batchlinux.emulator.state.records import Job, Task

TaskKey = tuple[str, str]


def task_key(task: Task) -> TaskKey:
    """Return what tells a task from all others."""
    return task.job_id.lower(), task.id.lower()


@dataclass
class TaskQueue:
    """Waiting tasks; those of one job are kept in the order in which they came."""

    _pools: dict[str, dict[str, dict[TaskKey, Task]]] = field(default_factory=dict)

    def add(self, task: Task, *, is_first: bool = False) -> None:
        """Let a task wait, behind the others of its job or, if it is to be first, before them."""
        jobs = self._pools.setdefault(task.pool_id.lower(), {})
        others = jobs.setdefault(task.job_id.lower(), {})
        if is_first:
            jobs[task.job_id.lower()] = {task_key(task): task, **others}
        else:
            others[task_key(task)] = task

    def remove(self, task: Task) -> bool:
        """Let a task wait no more; tell whether it did."""
        jobs = self._pools.get(task.pool_id.lower(), {})
        tasks = jobs.get(task.job_id.lower(), {})
        was_there = tasks.pop(task_key(task), None) is not None
        if not tasks:
            jobs.pop(task.job_id.lower(), None)
        return was_there

    def jobs(self, pool_id: str) -> Mapping[str, Mapping[TaskKey, Task]]:
        """Return the waiting tasks of a pool by the id of their job, in lower case."""
        return self._pools.get(pool_id.lower(), {})

    def tasks(self, pool_id: str, job_id: str) -> Iterator[Task]:
        """Return the waiting tasks of a job, as they are now."""
        return iter(tuple(self.jobs(pool_id).get(job_id.lower(), {}).values()))


Turn = tuple[Job, Task]


def scheduling_order(
    jobs: Iterable[Job],
    waiting: Callable[[Job], Iterator[Task]],
    running: Callable[[Job], int],
    *,
    oldest_first: bool,
) -> Iterator[Turn]:
    """
    Return waiting tasks: those of jobs with the highest priority first.

    Jobs of equal priority take turns, the one that has fewest tasks running first, so that each gets
    its share; that is how the service's "uniformly" is read.

    :param waiting: gives the waiting tasks of a job, in their order.
    :param running: tells how many tasks of a job run.
    :param oldest_first: whether the tasks of a job wait for those of all older ones instead.
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
