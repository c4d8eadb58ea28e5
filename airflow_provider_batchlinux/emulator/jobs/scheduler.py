"""Schedules tasks on nodes with free slots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any
from weakref import WeakKeyDictionary

from airflow_provider_batchlinux.emulator.jobs.node_tasks import JobTasks
from airflow_provider_batchlinux.emulator.jobs.placement import Need, NodeRoom, Occupant, Room
from airflow_provider_batchlinux.emulator.jobs.task_queue import (
    TaskKey,
    TaskKind,
    TaskQueue,
    scheduling_order,
    task_key,
    task_kind,
)
from airflow_provider_batchlinux.emulator.jobs.task_records import TaskRecords, terminated
from airflow_provider_batchlinux.emulator.jobs.task_runs import TaskRunner, task_directory
from airflow_provider_batchlinux.emulator.nodes.machine import Machine
from airflow_provider_batchlinux.emulator.nodes.programs import Outcome
from airflow_provider_batchlinux.emulator.rules.packages import FindPackage
from airflow_provider_batchlinux.emulator.simulation.background import Background
from airflow_provider_batchlinux.emulator.simulation.clock import Clock
from airflow_provider_batchlinux.emulator.simulation.lifecycle import Profile
from airflow_provider_batchlinux.emulator.state.records import (
    USABLE_NODE_STATES,
    Job,
    Node,
    Pool,
    Subtask,
    Task,
)
from airflow_provider_batchlinux.emulator.state.store import Collection, Store

PLACED_TASK_STATES = frozenset({"preparing", "running"})
_MOST_STARTED = 5
"""Tasks that are started before other work has its turn: to make the directories of a node may take 5 ms."""

_MOST_RECENT = 25
"""How many tasks a node shows as recent: more than 10 since agent 1.10.7; the number is assumed."""

ENDED_BY_USER = "The task was ended by user request"
_NODE_AFFINITY = "TVM:"


@dataclass
class _KeptRoom:
    """
    The free slots of a pool between two rounds: to look at 10,000 nodes takes 10 ms.

    :param policy: the properties of the pool that it depends on.
    :param changes: that of the pool's nodes. If another part changes a node, it no longer holds.
    """

    room: Room
    policy: tuple[int, str]
    changes: int


@dataclass
class TaskScheduler:
    """
    Places tasks on nodes, and sets nodes to idle or running.

    A task that needs more slots than any node has free does not block smaller tasks. For a task that needs
    several nodes, or a whole one, nodes are reserved. Running tasks of jobs that allow preemption are
    requeued for tasks of jobs with a higher priority.

    :param machine_of: returns the machine of a node.
    :param job_tasks: prepares nodes for jobs.
    :param on_task_completed: called with each completed task.
    :param on_node_free: called when the last task of a node has ended.
    :param find_package: returns the application package that a reference means.
    """

    store: Store
    clock: Clock
    profile: Profile
    machine_of: Callable[[Node], Machine]
    job_tasks: JobTasks
    on_task_completed: Callable[[Task], None]
    on_node_free: Callable[[Node], None]
    find_package: FindPackage
    _waiting: TaskQueue = field(default_factory=TaskQueue)
    _due: set[str] = field(default_factory=set)
    _placed: dict[str, dict[TaskKey, Task]] = field(default_factory=dict)
    _rooms: WeakKeyDictionary[Collection[Node], _KeptRoom] = field(default_factory=WeakKeyDictionary)
    _removals: Background = field(default_factory=Background)

    def __post_init__(self) -> None:
        self._records = TaskRecords(self.store, self.clock)
        self._runner = TaskRunner(
            self.store,
            self.find_package,
            self.clock,
            self.profile,
            self.machine_of,
            self.job_tasks,
            self._records,
        )

    def add(self, task: Task) -> None:
        """Add a task, which runs when its pool has room for it. A job manager task is first in its job."""
        job = self.store.jobs.get(task.job_id)
        manager = {} if job is None else job.spec.get("jobManagerTask", {})
        self._waiting.add(task, is_first=manager.get("id", "").lower() == task.id.lower())
        self.place(task.pool_id)

    def place(self, pool_id: str) -> None:
        """Soon start the waiting tasks of a pool that have room: once, however often this is called."""
        if self._waiting.jobs(pool_id) and pool_id.lower() not in self._due:
            self._due.add(pool_id.lower())
            self.clock.call_later(0, lambda: self._place(pool_id))

    def _place(self, pool_id: str) -> None:
        self._due.discard(pool_id.lower())
        pool = self.store.pools.get(pool_id)
        if not self._waiting.jobs(pool_id) or pool is None or pool.state != "active":
            return
        room, started = None, 0
        excluded: dict[str, frozenset[str]] = {}
        unplaceable: defaultdict[str, set[TaskKind]] = defaultdict(set)
        for job, task in self._scheduling_order(pool, unplaceable):
            # Not before a task waits: to look at the nodes of a large pool takes time.
            if room is None:
                room = self._room(pool)
            if room.is_full and not self._allows_preemption(pool):
                return
            if started == _MOST_STARTED:
                self.place(pool_id)
                return
            if job.id not in excluded:
                excluded[job.id] = self.job_tasks.excluded(job)
            need = _need(task, pool)
            chosen = None if need is None else self._find_nodes(job, need, pool, room, excluded[job.id])
            if need is None or chosen is None:
                # Of thousands of equal tasks, one shows that none of them fits now.
                unplaceable[job.id].add(task_kind(task))
                continue
            room.take(need, chosen)
            self._waiting.remove(task)
            self._start(task, [self.store.node(pool.id, node_id) for node_id in chosen])
            started += 1

    def _scheduling_order(
        self, pool: Pool, unplaceable: Mapping[str, Container[TaskKind]]
    ) -> Iterator[tuple[Job, Task]]:
        jobs = (self.store.jobs.get(job_id) for job_id in self._waiting.jobs(pool.id))
        active = [
            job
            for job in jobs
            if job is not None and job.state == "active" and job.pool_id.lower() == pool.id.lower()
        ]
        oldest_first = pool.spec["taskSchedulingPolicy"].get("jobDefaultOrder") == "creationtime"
        return scheduling_order(
            active,
            lambda job: self._waiting_of(job, unplaceable[job.id]),
            lambda job: self.running_tasks(job.id),
            oldest_first=oldest_first,
        )

    def _waiting_of(self, job: Job, unplaceable: Container[TaskKind]) -> Iterator[Task]:
        """
        Yield the waiting tasks of a job, up to its maximum of parallel tasks.

        Each is removed from the queue, or its kind becomes unplaceable, before the next one is asked for.
        """
        most: int = job.spec["maxParallelTasks"]
        while not 0 <= most <= self.running_tasks(job.id):
            task = self._waiting.first(job.pool_id, job.id, unplaceable)
            if task is None:
                return
            yield task

    def running_tasks(self, job_id: str) -> int:
        """Return the number of running tasks of a job, at a cost that does not grow with its tasks."""
        counts = self.store.tasks(job_id).counts.items()
        return sum(number for (state, *_), number in counts if state in PLACED_TASK_STATES)

    def placed_tasks(self, job_id: str) -> list[Task]:
        """Return the tasks of a job that are on nodes, at a cost that does not grow with those that wait."""
        key = job_id.lower()
        found = {
            task_id: task
            for tasks in self._placed.values()
            for (of_job, task_id), task in tasks.items()
            if of_job == key
        }
        return list(found.values())

    def _room(self, pool: Pool) -> Room:
        """
        Return the free slots of a pool, nodes with the fewest tasks so far first.

        Which of several idle nodes the service chooses is not documented. Assumed: they take turns.
        """
        slots, fill = policy = (
            pool.spec["taskSlotsPerNode"],
            pool.spec["taskSchedulingPolicy"]["nodeFillType"],
        )
        records = self.store.nodes(pool.id)
        kept = self._rooms.get(records)
        if kept and kept.room.is_plain and (kept.policy, kept.changes) == (policy, records.changes):
            return kept.room
        nodes = sorted(records, key=attrgetter("tasks_run"))
        rooms = [
            NodeRoom(node.id, slots, self._free_slots(node, slots), node.is_dedicated)
            for node in nodes
            if node.takes_tasks
        ]
        room = Room(rooms, is_packed=fill == "Pack")
        self._rooms[records] = _KeptRoom(room, policy, records.changes)
        return room

    def _free_slots(self, node: Node, slots: int) -> int:
        if node.id not in self._placed:
            return slots
        is_taken = any(task.is_exclusive for task in self._placed[node.id].values())
        return 0 if is_taken else max(0, slots - node.running_slots)

    def _find_nodes(
        self, job: Job, need: Need, pool: Pool, room: Room, excluded: frozenset[str]
    ) -> Sequence[str] | None:
        """Return the nodes for a task, if necessary after preempting others."""
        chosen = room.choose(need, excluded)
        if chosen is not None:
            return chosen
        preempted = room.preempt(need, self._preemptible(job, pool), excluded)
        if preempted is None:
            room.reserve(need, excluded)
            return None
        for job_id, task_id in preempted.keys:
            self.requeue(self.store.task(job_id, task_id))
        return preempted.node_ids

    def _allows_preemption(self, pool: Pool) -> bool:
        return any(
            job.spec["allowTaskPreemption"] and job.pool_id.lower() == pool.id.lower()
            for job in self.store.jobs
        )

    def _preemptible(self, job: Job, pool: Pool) -> Iterator[Occupant[TaskKey]]:
        """Yield the tasks that can be preempted for a job, the last started first."""
        slots, priority = pool.spec["taskSlotsPerNode"], job.spec["priority"]
        for node in self.store.nodes(pool.id):
            for key, task in reversed(self._placed.get(node.id, {}).items()):
                other = self.store.job(task.job_id).spec
                if other["allowTaskPreemption"] and other["priority"] < priority:
                    taken = slots if task.is_exclusive else task.slots
                    yield Occupant(key, node.id, taken, other["priority"])

    def requeue_all_on(self, node: Node) -> None:
        """Requeue all tasks on a node that can no longer run them."""
        for task in list(self._placed.get(node.id, {}).values()):
            self.requeue(task)

    def requeue(self, task: Task) -> None:
        """Stop a running task, and requeue it."""
        current = self._stop(task)
        if current is not None:
            self.add(self._records.requeue(current))

    def requeue_lost(self, task: Task) -> None:
        """Requeue a task that was running when the service ended."""
        self.add(self._records.requeue(task))

    def terminate(self, task: Task) -> None:
        """Terminate a waiting or running task."""
        self._leave(task)
        self._complete(task, terminated(ENDED_BY_USER))

    def terminate_all_on(self, node: Node) -> None:
        """Terminate all tasks on a node."""
        for task in list(self._placed.get(node.id, {}).values()):
            self.terminate(self.store.task(task.job_id, task.id))

    def reset(self, task: Task) -> Task:
        """Make a completed task active again, with all its retries. It is not queued yet."""
        fresh = replace(task, execution={})
        return self._records.wait_again(fresh, retryCount=0, requeueCount=0)

    def move(self, task: Task, pool_id: str) -> None:
        """Move a task that is not running to another pool, with its place in the queue, if it has one."""
        was_waiting = self._waiting.remove(task)
        task = self.store.put_task(replace(task, pool_id=pool_id))
        if was_waiting:
            self.add(task)

    def dequeue_job(self, job: Job) -> None:
        """Remove the waiting tasks of a job from the queue. Their states do not change."""
        self._waiting.remove_job(job)

    def remove(self, task: Task) -> None:
        """Remove a task, its programs and its files."""
        self.discard_files(task)
        self._leave(task)
        self.store.tasks(task.job_id).pop(task.id)

    def discard_files(self, task: Task) -> None:
        """Remove the files of a task from its nodes."""
        for node in self._nodes(task):
            machine = self.machine_of(node)
            self._removals.start(machine.discard(task_directory(machine, task), [_name(task)]))

    async def close(self) -> None:
        """Wait until the files of removed tasks have been removed."""
        await self._removals.wait()

    def _start(self, task: Task, nodes: Sequence[Node]) -> None:
        now = self.clock.now()
        others = enumerate(nodes[1:], start=1)
        subtasks = tuple(Subtask(number, node.id, "preparing", now) for number, node in others)
        current = self._records.current(task)
        task = self._records.enter(current, "preparing", node_id=nodes[0].id, subtasks=subtasks)
        for node in nodes:
            self._placed.setdefault(node.id, {})[task_key(task)] = task
            self._take_slots(node, task, +1, recent_tasks=_with_recent(node, task))
        self.machine_of(nodes[0]).keep_running(_name(task), self._run(task, nodes))

    async def _run(self, task: Task, nodes: Sequence[Node]) -> None:
        outcome = await self._runner.run(task, nodes)
        current = self._records.current(task)
        self._release(current)
        if outcome is None:
            # The job preparation task failed. Waiting for other nodes does not count as a requeue.
            self.add(self._records.wait_again(current))
            return
        for node in nodes:
            self._count(node, outcome)
        self._complete(current, outcome)
        self.place(task.pool_id)

    def _leave(self, task: Task) -> None:
        self._waiting.remove(task)
        self._stop(task)
        if task.node_id is not None:
            self.place(task.pool_id)

    def _stop(self, task: Task) -> Task | None:
        """Stop a running task and free its nodes. Return its record, or ``None`` if it was not running."""
        current = self._records.current(task)
        node = self.store.nodes(current.pool_id).get(current.node_id or "")
        if node is None or task_key(current) not in self._placed.get(node.id, {}):
            return None
        self.machine_of(node).stop([_name(current)])
        self._release(current)
        return current

    def _release(self, task: Task) -> None:
        for node_id in task.node_ids:
            placed = self._placed[node_id]
            del placed[task_key(task)]
            if not placed:
                del self._placed[node_id]
            node = self.store.nodes(task.pool_id).get(node_id)
            if node is not None:
                self._take_slots(node, task, -1)

    def _complete(self, task: Task, outcome: Outcome) -> None:
        self.on_task_completed(self._records.complete(self._records.current(task), outcome))

    def _take_slots(self, node: Node, task: Task, sign: int, **changes: Any) -> None:
        # Not the given record: other tasks may have changed the node since it was read.
        current = self.store.node(node.pool_id, node.id)
        tasks = current.running_tasks + sign
        changes |= {
            "running_tasks": tasks,
            "running_slots": current.running_slots + sign * task.slots,
        }
        if current.state in USABLE_NODE_STATES:
            at_rest = "idle" if current.is_scheduling else "offline"
            state = "running" if tasks else at_rest
            if state != current.state:
                changes |= {"state": state, "state_since": self.clock.now()}
        self._put_node(replace(current, **changes), is_released=sign < 0)
        if not tasks:
            self.on_node_free(current)

    def _count(self, node: Node, outcome: Outcome) -> None:
        # The node may have left the pool while the task ran.
        current = self.store.nodes(node.pool_id).get(node.id)
        if current is not None:
            succeeded = current.tasks_succeeded + outcome.is_success
            counted = replace(current, tasks_run=current.tasks_run + 1, tasks_succeeded=succeeded)
            self._put_node(counted, is_released=False)

    def _put_node(self, node: Node, *, is_released: bool) -> None:
        """Change a node, and with it the free slots of its pool."""
        nodes = self.store.nodes(node.pool_id)
        kept = self._rooms.get(nodes)
        is_current = kept is not None and kept.changes == nodes.changes
        self.store.put_node(node)
        if kept is not None and is_current:
            kept.changes = nodes.changes
            if is_released:
                kept.room.release(node.id, self._free_slots(node, kept.policy[0]))

    def _nodes(self, task: Task) -> list[Node]:
        nodes = map(self.store.nodes(task.pool_id).get, task.node_ids)
        return [node for node in nodes if node is not None]


def _need(task: Task, pool: Pool) -> Need | None:
    """
    Return the requirements of a task; ``None`` if it can never run in this pool.

    Documented: a multi-instance task waits forever in a pool without inter-node communication, or with more
    than one task slot per node.
    """
    affinity = task.spec.get("affinityInfo", {}).get("affinityId", "")
    preferred = affinity.removeprefix(_NODE_AFFINITY) or None
    is_fit = pool.spec["enableInterNodeCommunication"] and pool.spec["taskSlotsPerNode"] == 1
    if task.instances is not None and not is_fit:
        return None
    return Need(task.slots, task.instances or 1, task.is_exclusive, task.is_dedicated, preferred)


def _with_recent(node: Node, task: Task) -> tuple[tuple[str, str], ...]:
    """Return the recent tasks of a node that starts a task."""
    key = (task.job_id, task.id)
    return (key, *[other for other in node.recent_tasks if other != key][: _MOST_RECENT - 1])


def _name(task: Task) -> str:
    return f"task {task.job_id.lower()}/{task.id.lower()}"
