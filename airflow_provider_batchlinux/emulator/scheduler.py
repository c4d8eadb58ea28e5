"""Brings waiting tasks to nodes with free slots, and runs them there; knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airflow_provider_batchlinux.emulator.clock import Clock, pause
from airflow_provider_batchlinux.emulator.instants import format_instant, parse_duration
from airflow_provider_batchlinux.emulator.job_tasks import JobTasks, job_environment
from airflow_provider_batchlinux.emulator.lifecycle import Profile
from airflow_provider_batchlinux.emulator.machine import Machine
from airflow_provider_batchlinux.emulator.programs import Outcome, user_error
from airflow_provider_batchlinux.emulator.records import USABLE_NODE_STATES, Job, Node, Pool, Task, work_item
from airflow_provider_batchlinux.emulator.store import Store
from airflow_provider_batchlinux.emulator.task_queue import TaskKey, TaskQueue, task_key

__all__ = ["PLACED_TASK_STATES", "TaskScheduler", "task_directory"]

PLACED_TASK_STATES = frozenset({"preparing", "running"})
_MOST_RECENT = 10
"""How many tasks a node shows as recent is not documented; assumed."""

_ENDED = "The task was ended by user request"


@dataclass
class TaskScheduler:
    """
    The only place that changes the state of tasks, and of nodes between idle and running.

    Tasks of the job with the highest priority come first, then those of the oldest job, then the one
    that came first; one that needs more slots than any node has free does not hold up smaller ones
    behind it. A running task is never put back for one of a higher priority.

    :param machine_of: gives the computer behind a node.
    :param job_tasks: prepares nodes for jobs.
    :param on_task_completed: called with the task after its record says so.
    :param on_node_free: called when the last task of a node has left it.
    """

    store: Store
    clock: Clock
    profile: Profile
    machine_of: Callable[[Node], Machine]
    job_tasks: JobTasks
    on_task_completed: Callable[[Task], None]
    on_node_free: Callable[[Node], None]
    _waiting: TaskQueue = field(default_factory=TaskQueue)
    _placed: dict[str, dict[TaskKey, Task]] = field(default_factory=dict)
    _removals: set[asyncio.Task[None]] = field(default_factory=set)

    def add(self, task: Task) -> None:
        """Let a task run as soon as a node of its pool has room for it."""
        self._waiting.add(task)
        self.clock.call_later(0, lambda: self.place(task.pool_id))

    def place(self, pool_id: str) -> None:
        """Start those waiting tasks of a pool that there is room for."""
        pool = self.store.pools.get(pool_id)
        if not self._waiting.jobs(pool_id) or pool is None or pool.state != "active":
            return
        room = self._room(pool)
        for job in self._jobs_in_turn(pool_id):
            self._place_tasks(job, pool_id, room)

    def _jobs_in_turn(self, pool_id: str) -> list[Job]:
        jobs = (self.store.jobs.get(job_id) for job_id in self._waiting.jobs(pool_id))
        active = [job for job in jobs if job is not None and job.state == "active"]
        return sorted(active, key=lambda job: (-job.spec["priority"], job.created))

    def _place_tasks(self, job: Job, pool_id: str, room: dict[str, int]) -> None:
        allowed = self._allowed(job)
        barred = self.job_tasks.barred(job)
        for task in self._waiting.tasks(pool_id, job.id):
            fit = [node_id for node_id in room if node_id not in barred]
            if not fit or allowed == 0:
                return
            node_id = max(fit, key=room.__getitem__)
            if room[node_id] < task.slots:
                continue
            room[node_id] -= task.slots
            if room[node_id] == 0:
                del room[node_id]
            allowed -= 1
            self._waiting.remove(task)
            self._start(task, self.store.node(pool_id, node_id))

    def _allowed(self, job: Job) -> int:
        """Return how many more tasks of a job may run at once; negative means without limit."""
        most: int = job.spec["maxParallelTasks"]
        counts = self.store.tasks(job.id).counts.items()
        running = sum(number for (state, *_), number in counts if state in PLACED_TASK_STATES)
        return most if most < 0 else max(0, most - running)

    def withdraw(self, node: Node) -> None:
        """Take the tasks away from a node that is lost; they wait for another one."""
        for task in list(self._placed.get(node.id, {}).values()):
            self.put_back(task)

    def put_back(self, task: Task) -> None:
        """Stop a running task and let it wait again; that counts as a requeue."""
        node = self._node(task)
        current = None if node is None else self._stop(task, node)
        if current is not None:
            self._requeue(current)
            self.clock.call_later(0, lambda: self.place(task.pool_id))

    def put_back_lost(self, task: Task) -> None:
        """Let a task wait again that ran when the service ended; that counts as a requeue."""
        self._requeue(task)

    def end(self, task: Task) -> None:
        """Complete a task that waits or runs, as its user asks."""
        self._leave(task)
        self._complete(task, Outcome(failure=user_error("TaskEnded", _ENDED, {})))

    def end_all_on(self, node: Node) -> None:
        """Complete the tasks that run on a node, as if their user asked for it."""
        for task in list(self._placed.get(node.id, {}).values()):
            self.end(self.store.task(task.job_id, task.id))

    def run_again(self, task: Task) -> None:
        """Let a completed task run once more, with all its retries."""
        execution = {"retryCount": 0, "requeueCount": 0}
        self.add(self._enter(task, "active", execution=execution, node_id=None))

    def move(self, task: Task, pool_id: str) -> None:
        """Give a task that does not run to another pool; if it waits for a node, let it wait there."""
        was_waiting = self._waiting.remove(task)
        task = self.store.put_task(replace(task, pool_id=pool_id))
        if was_waiting:
            self.add(task)

    def hold(self, task: Task) -> None:
        """Do not run a waiting task any more; its state stays."""
        self._waiting.remove(task)

    def forget(self, task: Task) -> None:
        """Remove a task, with what it runs and the files it left on its node."""
        self.discard_files(task)
        self._leave(task)
        self.store.tasks(task.job_id).pop(task.id)

    def discard_files(self, task: Task) -> None:
        """Remove the files that a task left on its node."""
        machine = self._machine(task)
        if machine is None:
            return
        discarded = machine.discard(task_directory(machine, task), [_name(task)])
        removal = asyncio.get_running_loop().create_task(discarded)
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)

    async def close(self) -> None:
        """Wait until the files of removed tasks are gone."""
        await asyncio.gather(*self._removals)

    def _room(self, pool: Pool) -> dict[str, int]:
        """
        Return the free slots of those nodes that have some, the nodes that ran least first.

        Which of several idle nodes the service takes is not documented; taking turns is assumed.
        """
        slots = pool.spec["taskSlotsPerNode"]
        return {
            node.id: slots - node.running_slots
            for node in sorted(self.store.nodes(pool.id), key=lambda node: node.tasks_run)
            if node.takes_tasks and node.running_slots < slots
        }

    def _start(self, task: Task, node: Node) -> None:
        current = self.store.task(task.job_id, task.id)
        task = self._enter(current, "preparing", node_id=node.id)
        self._placed.setdefault(node.id, {})[task_key(task)] = task
        self._take_slots(node, task, +1)
        self._remember(node, task)
        self.machine_of(node).keep_running(_name(task), self._run(task, node))

    async def _run(self, task: Task, node: Node) -> None:
        if not await self.job_tasks.prepare(self.store.job(task.job_id), node):
            self._run_elsewhere(task, node)
            return
        machine = self.machine_of(node)
        directory = task_directory(machine, task)
        failure = await machine.prepare_task(directory, task.spec)
        if failure is None:
            outcome = await self._run_with_retries(task, machine, directory)
            outcome = await machine.upload_outputs(directory, task.spec, self._environment(task), outcome)
        else:
            outcome = Outcome(failure=failure)
        task = self.store.task(task.job_id, task.id)
        self._release(task, node)
        self._count(node, outcome)
        self._complete(task, outcome)
        self.place(node.pool_id)

    def _run_elsewhere(self, task: Task, node: Node) -> None:
        """Let a task wait for a node that its job can be prepared on; this is no requeue."""
        current = self.store.task(task.job_id, task.id)
        self._release(current, node)
        self.add(self._enter(current, "active", node_id=None))

    async def _run_with_retries(self, task: Task, machine: Machine, directory: Path) -> Outcome:
        limit = parse_duration(task.spec["constraints"]["maxWallClockTime"])
        execution = {**task.execution, "startTime": self._time()}
        task = self._enter(task, "running", execution=execution)
        while True:
            outcome = await machine.run_task(directory, task.spec, self._environment(task), limit)
            task = self.store.task(task.job_id, task.id)
            retries = task.execution["retryCount"]
            if not outcome.is_retried or retries == task.spec["constraints"]["maxTaskRetryCount"]:
                return outcome
            tried = {"retryCount": retries + 1, "lastRetryTime": self._time()}
            task = self.store.put_task(replace(task, execution={**task.execution, **tried}))
            await pause(self.clock, self.profile.retry)

    def _environment(self, task: Task) -> dict[str, str]:
        return job_environment(self.store.job(task.job_id), task.id)

    def _leave(self, task: Task) -> None:
        self.hold(task)
        node = self._node(task)
        if node is not None:
            self._stop(task, node)
            self.clock.call_later(0, lambda: self.place(task.pool_id))

    def _stop(self, task: Task, node: Node) -> Task | None:
        if task_key(task) not in self._placed.get(node.id, {}):
            return None
        self.machine_of(node).stop([_name(task)])
        current = self.store.task(task.job_id, task.id)
        self._release(current, node)
        return current

    def _release(self, task: Task, node: Node) -> None:
        placed = self._placed[node.id]
        del placed[task_key(task)]
        if not placed:
            del self._placed[node.id]
        self._take_slots(node, task, -1)

    def _requeue(self, task: Task) -> None:
        execution = {
            "retryCount": 0,
            "requeueCount": task.execution["requeueCount"] + 1,
            "lastRequeueTime": self._time(),
        }
        self.add(self._enter(task, "active", execution=execution, node_id=None))

    def _complete(self, task: Task, outcome: Outcome) -> None:
        execution = {**task.execution, **outcome.facts(self._time())}
        self.on_task_completed(self._enter(task, "completed", execution=execution))

    def _enter(self, task: Task, state: str, **changes: Any) -> Task:
        now = self.clock.now()
        return self.store.put_task(
            replace(
                task,
                state=state,
                state_since=now,
                previous_state=task.state,
                previous_since=task.state_since,
                version=self.store.next_version(now),
                **changes,
            )
        )

    def _take_slots(self, node: Node, task: Task, sign: int) -> None:
        current = self.store.nodes(node.pool_id).get(node.id)
        if current is None:
            return
        tasks = current.running_tasks + sign
        changes: dict[str, Any] = {
            "running_tasks": tasks,
            "running_slots": current.running_slots + sign * task.slots,
        }
        if current.state in USABLE_NODE_STATES:
            at_rest = "idle" if current.is_scheduling else "offline"
            state = "running" if tasks else at_rest
            if state != current.state:
                changes |= {"state": state, "state_since": self.clock.now()}
        self.store.put_node(replace(current, **changes))
        if not tasks:
            self.on_node_free(current)

    def _remember(self, node: Node, task: Task) -> None:
        key = (task.job_id, task.id)
        current = self.store.node(node.pool_id, node.id)
        others = [other for other in current.recent_tasks if other != key]
        self.store.change_node(current, recent_tasks=(key, *others[: _MOST_RECENT - 1]))

    def _count(self, node: Node, outcome: Outcome) -> None:
        current = self.store.nodes(node.pool_id).get(node.id)
        if current is not None:
            succeeded = current.tasks_succeeded + outcome.is_success
            self.store.change_node(current, tasks_run=current.tasks_run + 1, tasks_succeeded=succeeded)

    def _node(self, task: Task) -> Node | None:
        return self.store.nodes(task.pool_id).get(task.node_id) if task.node_id else None

    def _machine(self, task: Task) -> Machine | None:
        node = self._node(task)
        return None if node is None else self.machine_of(node)

    def _time(self) -> str:
        return format_instant(self.clock.now())


def task_directory(machine: Machine, task: Task) -> Path:
    """Return where a task keeps its files on a node."""
    return machine.workitems / work_item(task.job_id) / task.id


def _name(task: Task) -> str:
    return f"task {task.job_id.lower()}/{task.id.lower()}"
