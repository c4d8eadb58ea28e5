"""Brings waiting tasks to nodes with free slots, and runs them there; knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airflow_provider_batchlinux.emulator.clock import Clock, pause
from airflow_provider_batchlinux.emulator.instants import format_instant, parse_duration
from airflow_provider_batchlinux.emulator.lifecycle import Profile
from airflow_provider_batchlinux.emulator.machine import Machine
from airflow_provider_batchlinux.emulator.programs import Outcome, user_error
from airflow_provider_batchlinux.emulator.records import USABLE_NODE_STATES, Node, Pool, Task
from airflow_provider_batchlinux.emulator.store import Store

__all__ = ["TaskKey", "TaskScheduler", "task_directory"]

TaskKey = tuple[str, str]

_ENDED = "The task was ended by user request"


@dataclass
class TaskScheduler:
    """
    The only place that changes the state of tasks, and of nodes between idle and running.

    Tasks of a pool run first come, first served; one that needs more slots than any node has free
    does not hold up smaller ones behind it.

    :param machine_of: gives the computer behind a node.
    :param on_task_completed: called with the task after its record says so.
    """

    store: Store
    clock: Clock
    profile: Profile
    machine_of: Callable[[Node], Machine]
    on_task_completed: Callable[[Task], None]
    _waiting: dict[str, dict[TaskKey, Task]] = field(default_factory=dict)
    _placed: dict[str, dict[TaskKey, Task]] = field(default_factory=dict)
    _removals: set[asyncio.Task[None]] = field(default_factory=set)

    def add(self, task: Task) -> None:
        """Let a task run as soon as a node of its pool has room for it."""
        self._waiting.setdefault(task.pool_id.lower(), {})[_key(task)] = task
        self.clock.call_later(0, lambda: self.place(task.pool_id))

    def place(self, pool_id: str) -> None:
        """Start those waiting tasks of a pool that there is room for."""
        waiting = self._waiting.get(pool_id.lower(), {})
        pool = self.store.pools.get(pool_id)
        if not waiting or pool is None or pool.state != "active":
            return
        room = self._room(pool)
        for key, task in list(waiting.items()):
            if not room:
                break
            node_id = max(room, key=room.__getitem__)
            if room[node_id] < task.slots:
                continue
            room[node_id] -= task.slots
            if room[node_id] == 0:
                del room[node_id]
            del waiting[key]
            self._start(task, self.store.node(pool_id, node_id))

    def withdraw(self, node: Node) -> None:
        """Take the tasks away from a node that is lost; they wait for another one."""
        for task in list(self._placed.get(node.id, {}).values()):
            current = self._stop(task, node)
            if current is not None:
                self._requeue(current)

    def end(self, task: Task) -> None:
        """Complete a task that waits or runs, as its user asks."""
        self._leave(task)
        self._complete(task, Outcome(failure=user_error("TaskEnded", _ENDED, {})))

    def run_again(self, task: Task) -> None:
        """Let a completed task run once more, with all its retries."""
        execution = {"retryCount": 0, "requeueCount": 0}
        self.add(self._enter(task, "active", execution=execution, node_id=None))

    def hold(self, task: Task) -> None:
        """Do not run a waiting task any more; its state stays."""
        self._waiting.get(task.pool_id.lower(), {}).pop(_key(task), None)

    def forget(self, task: Task) -> None:
        """Remove a task, with what it runs and the files it left on its node."""
        machine = self._machine(task)
        if machine is not None:
            self._discard_files(machine, task)
        self._leave(task)
        self.store.tasks(task.job_id).pop(task.id)

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
            if node.state in USABLE_NODE_STATES and node.is_scheduling and node.running_slots < slots
        }

    def _start(self, task: Task, node: Node) -> None:
        task = self._enter(task, "preparing", node_id=node.id)
        self._placed.setdefault(node.id, {})[_key(task)] = task
        self._take_slots(node, task, +1)
        self.machine_of(node).keep_running(_name(task), self._run(task, node))

    async def _run(self, task: Task, node: Node) -> None:
        machine = self.machine_of(node)
        directory = task_directory(machine, task)
        failure = await machine.prepare_task(directory, task.spec)
        if failure is None:
            outcome = await self._run_with_retries(task, machine, directory)
        else:
            outcome = Outcome(failure=failure)
        task = self.store.task(task.job_id, task.id)
        self._release(task, node)
        self._count(node, outcome)
        self._complete(task, outcome)
        self.place(node.pool_id)

    async def _run_with_retries(self, task: Task, machine: Machine, directory: Path) -> Outcome:
        limits = task.spec["constraints"]
        limit = parse_duration(limits["maxWallClockTime"])
        execution = {**task.execution, "startTime": self._time()}
        task = self._enter(task, "running", execution=execution)
        while True:
            outcome = await machine.run_task(directory, task.spec, self._environment(task), limit)
            retries = task.execution["retryCount"]
            if not outcome.is_retried or retries == limits["maxTaskRetryCount"]:
                return outcome
            tried = {"retryCount": retries + 1, "lastRetryTime": self._time()}
            task = self.store.put_task(replace(task, execution={**task.execution, **tried}))
            await pause(self.clock, self.profile.retry)

    def _environment(self, task: Task) -> dict[str, str]:
        settings = self.store.job(task.job_id).spec.get("commonEnvironmentSettings", ())
        common = {item["name"]: item.get("value", "") for item in settings}
        return {"AZ_BATCH_JOB_ID": task.job_id, "AZ_BATCH_TASK_ID": task.id, **common}

    def _leave(self, task: Task) -> None:
        self.hold(task)
        node = self._node(task)
        if node is not None:
            self._stop(task, node)
            self.clock.call_later(0, lambda: self.place(task.pool_id))

    def _stop(self, task: Task, node: Node) -> Task | None:
        if _key(task) not in self._placed.get(node.id, {}):
            return None
        self.machine_of(node).stop([_name(task)])
        current = self.store.task(task.job_id, task.id)
        self._release(current, node)
        return current

    def _release(self, task: Task, node: Node) -> None:
        placed = self._placed[node.id]
        del placed[_key(task)]
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

    def _discard_files(self, machine: Machine, task: Task) -> None:
        discarded = machine.discard(task_directory(machine, task), [_name(task)])
        removal = asyncio.get_running_loop().create_task(discarded)
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)

    def _time(self) -> str:
        return format_instant(self.clock.now())


def task_directory(machine: Machine, task: Task) -> Path:
    """Return where a task keeps its files on a node."""
    return machine.workitems / task.job_id / "job-1" / task.id


def _key(task: Task) -> TaskKey:
    return task.job_id.lower(), task.id.lower()


def _name(task: Task) -> str:
    return f"task {task.job_id.lower()}/{task.id.lower()}"
