"""The store of all records, by case-insensitive id."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import takewhile
from typing import Any, Generic, Protocol, TypeVar

from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.instants import ticks
from airflow_provider_batchlinux.emulator.protocol.wire import Version
from airflow_provider_batchlinux.emulator.state.records import (
    Application,
    Job,
    JobNode,
    JobSchedule,
    Node,
    NodeUser,
    Package,
    Pool,
    Resource,
    Task,
)

Record = TypeVar(
    "Record",
    Pool,
    Node,
    NodeUser,
    Job,
    JobNode,
    JobSchedule,
    Task,
    Version,
    Application,
    Package,
    Resource,
)

_LAST = "last"


class Journal(Protocol):
    """Receives every change of a record."""

    def note(self, kind: str, parent: str, key: str, record: object) -> None:
        """Note a new or changed record; ``None`` means that it was deleted."""


class Collection(Generic[Record]):
    """
    Records of one kind that have the same parent, in the order of their ids.

    :param tally: returns the value by which records are counted. The counts are updated with every change,
        so that reading them does not depend on the number of records.
    :param note: called with the key and the record of each change; ``None`` for no call.

    ``changes`` grows with every change.
    """

    def __init__(
        self,
        tally: Callable[[Record], Hashable] = lambda _: None,
        note: Callable[[str, Record | None], None] | None = None,
    ) -> None:
        self._records: dict[str, Record] = {}
        self._keys: list[str] = []
        self._tally: Callable[[Record], Hashable] = tally
        self._note: Callable[[str, Record | None], None] | None = note
        self.counts: Counter[Any] = Counter()
        self.changes = 0

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(tuple(self._records.values()))

    def get(self, record_id: str) -> Record | None:
        """Return the record, or ``None``."""
        return self._records.get(record_id.lower())

    def put(self, record_id: str, record: Record) -> Record:
        """Add a record, or replace the one with its id."""
        key = record_id.lower()
        self.restore(key, record)
        if self._note is not None:
            self._note(key, record)
        return record

    def restore(self, key: str, record: Record) -> None:
        """Add or replace a record without calling ``note``."""
        if (before := self._records.get(key)) is None:
            insort(self._keys, key)
        else:
            self.counts[self._tally(before)] -= 1
        self._records[key] = record
        self.counts[self._tally(record)] += 1
        self.changes += 1

    def pop(self, record_id: str) -> None:
        """Delete the record, if it exists."""
        key = record_id.lower()
        if (record := self._records.pop(key, None)) is not None:
            self.counts[self._tally(record)] -= 1
            self.changes += 1
            del self._keys[bisect_right(self._keys, key) - 1]
            if self._note is not None:
                self._note(key, None)

    def clear(self) -> None:
        """Delete all records."""
        keys = tuple(self._records)
        self._records.clear()
        self._keys.clear()
        self.counts.clear()
        self.changes += 1
        if self._note is not None:
            for key in keys:
                self._note(key, None)

    def after(self, key: str) -> Iterator[tuple[str, Record]]:
        """Yield (key, record) of all records after a key, in order."""
        for later in self._keys[bisect_right(self._keys, key) :]:
            if (record := self._records.get(later)) is not None:
                yield later, record


class _Kind(Generic[Record]):
    """The records of one kind, by their parent. Ids contain no slashes."""

    def __init__(
        self, name: str, journal: Journal | None, tally: Callable[[Record], Hashable] = lambda _: None
    ) -> None:
        self.name = name
        self._journal = journal
        self._tally: Callable[[Record], Hashable] = tally
        self._collections: dict[str, Collection[Record]] = {}

    def of(self, *parents: str) -> Collection[Record]:
        """Return the records of a parent, for reading."""
        return self._collections.get(_key(parents)) or Collection(self._tally)

    def writable(self, *parents: str) -> Collection[Record]:
        """Return the records of a parent, for writing."""
        key = _key(parents)
        if key not in self._collections:
            note = None if self._journal is None else partial(self._journal.note, self.name, key)
            self._collections[key] = Collection(self._tally, note)
        return self._collections[key]

    def drop(self, *parents: str) -> None:
        """Delete the records of a parent."""
        if (collection := self._collections.pop(_key(parents), None)) is not None:
            collection.clear()


class Store:
    """
    All records. ``pool``, ``node``, ``job``, ``schedule`` and ``task`` raise the 404 error of their kind.

    :param journal: receives every change; ``None`` for none.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self._nodes: _Kind[Node] = _Kind("node", journal, lambda node: (node.is_dedicated, node.state))
        self._tasks: _Kind[Task] = _Kind(
            "task", journal, lambda task: (task.state, task.execution.get("result"), task.slots)
        )
        self._job_nodes: _Kind[JobNode] = _Kind("job node", journal)
        self._users: _Kind[NodeUser] = _Kind("user", journal)
        self._versions: _Kind[Version] = _Kind("version", journal)
        self._packages: _Kind[Package] = _Kind("package", journal)
        applications: _Kind[Application] = _Kind("application", journal)
        resources: _Kind[Resource] = _Kind("resource", journal)
        pools: _Kind[Pool] = _Kind("pool", journal)
        jobs: _Kind[Job] = _Kind("job", journal, lambda job: job.state)
        schedules: _Kind[JobSchedule] = _Kind("schedule", journal, lambda schedule: schedule.state)
        self.pools, self.jobs, self.schedules = pools.writable(), jobs.writable(), schedules.writable()
        self.applications, self.resources = applications.writable(), resources.writable()
        kinds = (
            pools,
            self._nodes,
            self._users,
            jobs,
            self._tasks,
            self._job_nodes,
            schedules,
            self._versions,
            applications,
            self._packages,
            resources,
        )
        self._kinds: dict[str, _Kind[Any]] = {kind.name: kind for kind in kinds}

    def restore(self, kind: str, parent: str, key: str, record: Any) -> None:
        """
        Add a record that a journal has noted.

        :raises KeyError: the kind is unknown.
        """
        self._kinds[kind].writable(parent).restore(key, record)

    @property
    def last_version(self) -> Version | None:
        """The version of the last change, also of deleted records; ``None`` before the first."""
        return self._versions.of().get(_LAST)

    def next_version(self, now: datetime) -> Version:
        """Return a new version, which is unique even among changes at the same time."""
        last = self.last_version
        number = ticks(now) if last is None else max(ticks(now), int(last.etag, 16) + 1)
        return self._versions.writable().put(_LAST, Version(f"0x{number:X}", now))

    def pool(self, pool_id: str) -> Pool:
        """Return a pool."""
        return _found(self.pools.get(pool_id), Code.POOL_NOT_FOUND)

    def nodes(self, pool_id: str) -> Collection[Node]:
        """Return the nodes of a pool."""
        return self._nodes.of(pool_id)

    def count_nodes(self, pool_id: str, *, is_dedicated: bool) -> int:
        """Return the number of dedicated or Spot nodes of a pool, in any state."""
        counts = self.nodes(pool_id).counts
        return sum(number for (kind, _), number in counts.items() if kind == is_dedicated)

    def node(self, pool_id: str, node_id: str) -> Node:
        """Return a node of a pool."""
        return _found(self.nodes(self.pool(pool_id).id).get(node_id), Code.NODE_NOT_FOUND)

    def users(self, node: Node) -> Collection[NodeUser]:
        """Return the users of a node."""
        return self._users.of(node.pool_id, node.id)

    def job(self, job_id: str) -> Job:
        """Return a job."""
        return _found(self.jobs.get(job_id), Code.JOB_NOT_FOUND)

    def schedule(self, schedule_id: str) -> JobSchedule:
        """Return a job schedule."""
        return _found(self.schedules.get(schedule_id), Code.JOB_SCHEDULE_NOT_FOUND)

    def jobs_of_schedule(self, schedule_id: str, key: str = "") -> Iterator[tuple[str, Job]]:
        """Return (key, record) of the jobs of a schedule after a key."""
        prefix = f"{schedule_id.lower()}:"
        later = self.jobs.after(max(key, prefix))
        return takewhile(lambda item: item[0].startswith(prefix), later)

    def tasks(self, job_id: str) -> Collection[Task]:
        """Return the tasks of a job."""
        return self._tasks.of(job_id)

    def job_nodes(self, job_id: str) -> Collection[JobNode]:
        """Return the records of a job on nodes, by node id. Some nodes may no longer exist."""
        return self._job_nodes.of(job_id)

    def task(self, job_id: str, task_id: str) -> Task:
        """Return a task of a job."""
        return _found(self.tasks(self.job(job_id).id).get(task_id), Code.TASK_NOT_FOUND)

    def packages(self, application_id: str) -> Collection[Package]:
        """Return the packages of an application."""
        return self._packages.of(application_id)

    def put_package(self, package: Package) -> Package:
        """Add or replace a package of an application."""
        return self._packages.writable(package.application_id).put(package.name, package)

    def put_pool(self, pool: Pool) -> Pool:
        """Add or replace a pool."""
        return self.pools.put(pool.id, pool)

    def put_node(self, node: Node) -> Node:
        """Add or replace a node."""
        return self._nodes.writable(node.pool_id).put(node.id, node)

    def change_node(self, node: Node, **changes: Any) -> Node | None:
        """Change fields of the current record of a node; return ``None`` if it does not exist."""
        current = self.nodes(node.pool_id).get(node.id)
        return None if current is None else self.put_node(replace(current, **changes))

    def put_user(self, node: Node, user: NodeUser) -> NodeUser:
        """Add or replace a user of a node."""
        return self._users.writable(node.pool_id, node.id).put(user.name, user)

    def put_job(self, job: Job) -> Job:
        """Add or replace a job."""
        return self.jobs.put(job.id, job)

    def put_schedule(self, schedule: JobSchedule) -> JobSchedule:
        """Add or replace a job schedule."""
        return self.schedules.put(schedule.id, schedule)

    def put_task(self, task: Task) -> Task:
        """Add or replace a task."""
        return self._tasks.writable(task.job_id).put(task.id, task)

    def put_job_node(self, place: JobNode) -> JobNode:
        """Add or replace the record of a job on a node."""
        return self._job_nodes.writable(place.job_id).put(place.node_id, place)

    def delete_node(self, node: Node) -> None:
        """Delete a node."""
        self.nodes(node.pool_id).pop(node.id)

    def delete_users(self, node: Node) -> None:
        """Delete the users of a node."""
        self._users.drop(node.pool_id, node.id)

    def delete_pool(self, pool_id: str) -> None:
        """Delete a pool without nodes."""
        self.pools.pop(pool_id)
        self._nodes.drop(pool_id)

    def delete_job(self, job_id: str) -> None:
        """Delete a job and its tasks."""
        self.jobs.pop(job_id)
        self._job_nodes.drop(job_id)
        self._tasks.drop(job_id)


def _key(parents: Iterable[str]) -> str:
    return "/".join(parents).lower()


def _found(record: Record | None, code: Code) -> Record:
    if record is None:
        raise ServiceError(code)
    return record
