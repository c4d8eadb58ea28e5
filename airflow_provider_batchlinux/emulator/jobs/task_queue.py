"""The tasks that wait for a node, and their scheduling order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from airflow_provider_batchlinux.emulator.state.records import Job, Task

TaskKey = tuple[str, str]


def task_key(task: Task) -> TaskKey:
    """Return the unique key of a task."""
    return task.job_id.lower(), task.id.lower()


@dataclass
class TaskQueue:
    """Waiting tasks by pool and job. Those of one job are in the order in which they were added."""

    _pools: dict[str, dict[str, dict[TaskKey, Task]]] = field(default_factory=dict)

    def add(self, task: Task, *, is_first: bool = False) -> None:
        """Add a task, as the last or the first of its job."""
        jobs = self._pools.setdefault(task.pool_id.lower(), {})
        others = jobs.setdefault(task.job_id.lower(), {})
        if is_first:
            jobs[task.job_id.lower()] = {task_key(task): task, **others}
        else:
            others[task_key(task)] = task

    def remove(self, task: Task) -> bool:
        """Remove a task, and return whether it was waiting."""
        jobs = self._pools.get(task.pool_id.lower(), {})
        tasks = jobs.get(task.job_id.lower(), {})
        was_there = tasks.pop(task_key(task), None) is not None
        if not tasks:
            jobs.pop(task.job_id.lower(), None)
        return was_there

    def jobs(self, pool_id: str) -> Mapping[str, Mapping[TaskKey, Task]]:
        """Return the waiting tasks of a pool by lower-case job id."""
        return self._pools.get(pool_id.lower(), {})

    def tasks(self, pool_id: str, job_id: str) -> Iterator[Task]:
        """Return an iterator over the waiting tasks of a job, which does not change with the queue."""
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
