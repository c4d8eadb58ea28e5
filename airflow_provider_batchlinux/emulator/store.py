"""Holds every record of the service, by id without regard to case; decides nothing."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import takewhile
from typing import Any, Generic, TypeVar

from airflow_provider_batchlinux.emulator.errors import Code, ServiceError
from airflow_provider_batchlinux.emulator.instants import ticks
from airflow_provider_batchlinux.emulator.records import (
    Job,
    JobNode,
    JobSchedule,
    Node,
    NodeUser,
    Pool,
    Task,
    Version,
)

__all__ = ["Collection", "Record", "Store"]

Record = TypeVar("Record", Pool, Node, NodeUser, Job, JobNode, JobSchedule, Task)


class Collection(Generic[Record]):
    """
    Records of one kind under one parent, listed in the order of their ids.

    :param tally: what to count records by; the counts are kept up to date at every change, so
        that reading them costs the same for ten records as for ten thousand.
    """

    def __init__(self, tally: Callable[[Record], Hashable] = lambda _: None) -> None:
        self._records: dict[str, Record] = {}
        self._keys: list[str] = []
        self._tally: Callable[[Record], Hashable] = tally
        self.counts: Counter[Any] = Counter()

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(tuple(self._records.values()))

    def get(self, record_id: str) -> Record | None:
        """Return the record, or ``None``."""
        return self._records.get(record_id.lower())

    def put(self, record_id: str, record: Record) -> Record:
        """Keep a record in the place of the one that has its id."""
        key = record_id.lower()
        if (before := self._records.get(key)) is None:
            insort(self._keys, key)
        else:
            self.counts[self._tally(before)] -= 1
        self._records[key] = record
        self.counts[self._tally(record)] += 1
        return record

    def pop(self, record_id: str) -> None:
        """Forget the record, if there is one."""
        key = record_id.lower()
        if (record := self._records.pop(key, None)) is not None:
            self.counts[self._tally(record)] -= 1
            del self._keys[bisect_right(self._keys, key) - 1]

    def after(self, key: str) -> Iterator[tuple[str, Record]]:
        """Return (key, record) of all records whose key comes after ``key``, in order."""
        for later in self._keys[bisect_right(self._keys, key) :]:
            if (record := self._records.get(later)) is not None:
                yield later, record


def _node_tally(node: Node) -> Hashable:
    return (node.is_dedicated, node.state)


def _task_tally(task: Task) -> Hashable:
    return (task.state, task.execution.get("result"), task.slots)


class Store:
    """All records. Its ``pool``, ``node``, ``job`` and ``task`` raise the 404 of their kind."""

    def __init__(self) -> None:
        self.pools: Collection[Pool] = Collection()
        self.jobs: Collection[Job] = Collection(lambda job: job.state)
        self.schedules: Collection[JobSchedule] = Collection(lambda schedule: schedule.state)
        self._nodes: dict[str, Collection[Node]] = {}
        self._tasks: dict[str, Collection[Task]] = {}
        self._job_nodes: dict[str, Collection[JobNode]] = {}
        self._users: dict[tuple[str, str], Collection[NodeUser]] = {}
        self._last_ticks = 0

    def next_version(self, now: datetime) -> Version:
        """Return a version that no other change has, even of the same instant."""
        self._last_ticks = max(ticks(now), self._last_ticks + 1)
        return Version(f"0x{self._last_ticks:X}", now)

    def pool(self, pool_id: str) -> Pool:
        """Return a pool."""
        return _found(self.pools.get(pool_id), Code.POOL_NOT_FOUND)

    def nodes(self, pool_id: str) -> Collection[Node]:
        """Return the nodes of a pool."""
        return self._nodes.get(pool_id.lower()) or Collection(_node_tally)

    def count_nodes(self, pool_id: str, *, is_dedicated: bool) -> int:
        """Return how many nodes of a kind a pool has now, in whatever state."""
        counts = self.nodes(pool_id).counts
        return sum(number for (kind, _), number in counts.items() if kind == is_dedicated)

    def node(self, pool_id: str, node_id: str) -> Node:
        """Return a node of a pool."""
        return _found(self.nodes(self.pool(pool_id).id).get(node_id), Code.NODE_NOT_FOUND)

    def users(self, node: Node) -> Collection[NodeUser]:
        """Return the users of a node."""
        return self._users.get(_node_key(node)) or Collection()

    def job(self, job_id: str) -> Job:
        """Return a job."""
        return _found(self.jobs.get(job_id), Code.JOB_NOT_FOUND)

    def schedule(self, schedule_id: str) -> JobSchedule:
        """Return a job schedule."""
        return _found(self.schedules.get(schedule_id), Code.JOB_SCHEDULE_NOT_FOUND)

    def jobs_of_schedule(self, schedule_id: str, key: str = "") -> Iterator[tuple[str, Job]]:
        """Return (key, record) of the jobs that a schedule has made, whose key comes after ``key``."""
        prefix = f"{schedule_id.lower()}:"
        later = self.jobs.after(max(key, prefix))
        return takewhile(lambda item: item[0].startswith(prefix), later)

    def tasks(self, job_id: str) -> Collection[Task]:
        """Return the tasks of a job."""
        return self._tasks.get(job_id.lower()) or Collection(_task_tally)

    def job_nodes(self, job_id: str) -> Collection[JobNode]:
        """Return the nodes that a job was prepared on, by their ids; some may be gone."""
        return self._job_nodes.get(job_id.lower()) or Collection()

    def task(self, job_id: str, task_id: str) -> Task:
        """Return a task of a job."""
        return _found(self.tasks(self.job(job_id).id).get(task_id), Code.TASK_NOT_FOUND)

    def put_pool(self, pool: Pool) -> Pool:
        """Keep a pool."""
        return self.pools.put(pool.id, pool)

    def put_node(self, node: Node) -> Node:
        """Keep a node."""
        nodes = self._nodes.setdefault(node.pool_id.lower(), Collection(_node_tally))
        return nodes.put(node.id, node)

    def change_node(self, node: Node, **changes: Any) -> Node | None:
        """Change fields of a node as it is now; return ``None`` if it is gone."""
        current = self.nodes(node.pool_id).get(node.id)
        return None if current is None else self.put_node(replace(current, **changes))

    def put_user(self, node: Node, user: NodeUser) -> NodeUser:
        """Keep a user of a node."""
        return self._users.setdefault(_node_key(node), Collection()).put(user.name, user)

    def put_job(self, job: Job) -> Job:
        """Keep a job."""
        return self.jobs.put(job.id, job)

    def put_schedule(self, schedule: JobSchedule) -> JobSchedule:
        """Keep a job schedule."""
        return self.schedules.put(schedule.id, schedule)

    def put_task(self, task: Task) -> Task:
        """Keep a task."""
        tasks = self._tasks.setdefault(task.job_id.lower(), Collection(_task_tally))
        return tasks.put(task.id, task)

    def put_job_node(self, place: JobNode) -> JobNode:
        """Keep what a job did on a node."""
        return self._job_nodes.setdefault(place.job_id.lower(), Collection()).put(place.node_id, place)

    def forget_node(self, node: Node) -> None:
        """Forget a node."""
        self.nodes(node.pool_id).pop(node.id)

    def forget_users(self, node: Node) -> None:
        """Forget the users of a node."""
        self._users.pop(_node_key(node), None)

    def forget_pool(self, pool_id: str) -> None:
        """Forget a pool that has no nodes any more."""
        self.pools.pop(pool_id)
        self._nodes.pop(pool_id.lower(), None)

    def forget_job(self, job_id: str) -> None:
        """Forget a job and its tasks."""
        self.jobs.pop(job_id)
        self._job_nodes.pop(job_id.lower(), None)
        self._tasks.pop(job_id.lower(), None)


def _node_key(node: Node) -> tuple[str, str]:
    return node.pool_id.lower(), node.id.lower()


def _found(record: Record | None, code: Code) -> Record:
    if record is None:
        raise ServiceError(code)
    return record
