"""Says in which order the waiting tasks of a pool are looked at; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from airflow_provider_batchlinux.emulator.state.records import Job, Task

__all__ = ["in_turn"]

Turn = tuple[Job, Task]


def in_turn(
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
