"""Whatever happens to tasks and nodes, no node is overfull, no task is lost and none runs too early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.jobs.dependencies import TaskDependencies, required_ids
from airflow_provider_batchlinux.emulator.jobs.node_tasks import JobTasks
from airflow_provider_batchlinux.emulator.jobs.scheduler import PLACED_TASK_STATES, TaskScheduler
from airflow_provider_batchlinux.emulator.nodes.containers import NodeContainers
from airflow_provider_batchlinux.emulator.nodes.machine import Machine
from airflow_provider_batchlinux.emulator.nodes.programs import Outcome, ProgramStarter, failed_program
from airflow_provider_batchlinux.emulator.protocol.instants import UNLIMITED
from airflow_provider_batchlinux.emulator.simulation.clock import ManualClock
from airflow_provider_batchlinux.emulator.simulation.lifecycle import PROFILES
from airflow_provider_batchlinux.emulator.state.reaper import Reaper
from airflow_provider_batchlinux.emulator.state.records import Job, Node, Pool, Task
from airflow_provider_batchlinux.emulator.state.store import Store

_START = datetime(2026, 1, 1, tzinfo=timezone.utc)
_TICKS = 40
_SELDOM = st.sampled_from([False, False, False, True])
_NOWHERE = Path("/nowhere")


class StillMachine(Machine):
    """A computer whose tasks end when a test says so; nothing of it exists."""

    def __init__(self, name: str) -> None:
        containers = NodeContainers(ProgramStarter(cast(Reaper, None)))
        super().__init__(_NOWHERE / name, {}, BlobStorage(_NOWHERE, "", lambda: _START), containers)
        self.running: dict[Path, asyncio.Future[Outcome]] = {}

    async def fetch(self, files: list[Mapping[str, Any]], directory: Path) -> None:
        """Fetch nothing."""

    async def prepare_task(self, directory: Path, spec: Mapping[str, Any]) -> None:
        """Make no directory."""

    async def run_task(self, directory: Path, *_args: Any, **_options: Any) -> Outcome:
        """Wait for the test."""
        self.running[directory] = asyncio.get_running_loop().create_future()
        try:
            return await self.running[directory]
        finally:
            del self.running[directory]

    @asynccontextmanager
    async def hold_task(self, *_args: Any) -> AsyncIterator[Outcome]:
        """Coordinate at once."""
        yield Outcome(0)

    async def upload_outputs(self, *args: Any) -> Outcome:
        """Upload nothing."""
        outcome: Outcome = args[-1]
        return outcome


class Scheduling(RuleBasedStateMachine):
    """Two jobs, the weaker of which lets its tasks be put back, on a small pool."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store, self.clock = Store(), ManualClock(_START)
        self.machines: dict[str, StillMachine] = {}
        job_tasks = JobTasks(self.store, self.clock, PROFILES["instant"], self.machine_of)
        self.scheduler = TaskScheduler(
            self.store,
            self.clock,
            PROFILES["instant"],
            self.machine_of,
            job_tasks,
            on_task_completed=self.completed,
            on_node_free=lambda _node: None,
            find_package=lambda _reference: "No task here has one.",
        )
        self.gate = TaskDependencies(self.store, self.clock, on_ready=self.scheduler.add)
        self.number = 0
        self.succeeded: set[str] = set()

    def completed(self, task: Task) -> None:
        if _is_success(task):
            self.succeeded.add(f"{task.job_id} {task.id}")
        self.gate.completed(task)

    def machine_of(self, node: Node) -> StillMachine:
        return self.machines[node.id]

    @initialize(slots=st.integers(1, 3), nodes=st.integers(1, 4), is_packed=st.booleans())
    def begin(self, slots: int, nodes: int, is_packed: bool) -> None:
        self.slots = slots
        spec = {
            "vmSize": "standard_d2s_v5",
            "virtualMachineConfiguration": {},
            "taskSlotsPerNode": slots,
            "enableInterNodeCommunication": True,
            "taskSchedulingPolicy": {"nodeFillType": "pack" if is_packed else "spread"},
        }
        version = self.store.next_version(_START)
        self.store.put_pool(
            Pool("linux", spec, _START, version, "active", _START, "steady", _START, nodes, 0)
        )
        for number in range(nodes):
            node = Node(f"n{number}", "linux", number, number != 0, "idle", _START, _START)
            self.machines[node.id] = StillMachine(node.id)
            self.store.put_node(node)
        for job_id, priority in (("low", 0), ("high", 1)):
            job: dict[str, Any] = {
                "priority": priority,
                "allowTaskPreemption": priority == 0,
                "maxParallelTasks": 3 - priority,
            }
            job |= {"poolInfo": {"poolId": "linux"}}
            self.store.put_job(Job(job_id, job, _START, version, "active", _START))

    @rule(
        job_id=st.sampled_from(["low", "high"]),
        slots=st.integers(1, 3),
        instances=st.sampled_from([None, None, None, 1, 2, 3]),
        is_exclusive=_SELDOM,
        is_dedicated=_SELDOM,
        back=st.sampled_from([[], [], [], [1], [1, 2]]),
        times=st.integers(1, 3),
    )
    def add(
        self,
        job_id: str,
        slots: int,
        instances: int | None,
        is_exclusive: bool,
        is_dedicated: bool,
        back: list[int],
        times: int,
    ) -> None:
        for _ in range(times):
            self.add_one(job_id, slots, instances, is_exclusive, is_dedicated, back)

    def add_one(
        self,
        job_id: str,
        slots: int,
        instances: int | None,
        is_exclusive: bool,
        is_dedicated: bool,
        back: list[int],
    ) -> None:
        self.number += 1
        spec: dict[str, Any] = {
            "commandLine": "true",
            "requiredSlots": 1 if instances else slots,
            "constraints": {"maxWallClockTime": UNLIMITED, "maxTaskRetryCount": 0},
            "dependsOn": {"taskIds": [str(self.number - steps) for steps in back]},
        }
        if instances:
            spec["multiInstanceSettings"] = {
                "numberOfInstances": instances,
                "coordinationCommandLine": "true",
            }
        version = self.store.next_version(_START)
        task = Task(str(self.number), job_id, "linux", spec, _START, version, "active", _START, {})
        counts = {"retryCount": 0, "requeueCount": 0}
        task = replace(task, execution=counts, is_exclusive=is_exclusive, is_dedicated=is_dedicated)
        self.settle(lambda: self.gate.add(self.store.put_task(task)))

    @precondition(lambda self: self.running())
    @rule(data=st.data(), is_success=st.booleans())
    def finish(self, data: st.DataObject, is_success: bool) -> None:
        run = data.draw(st.sampled_from(self.running()))
        self.settle(lambda: run.set_result(Outcome(0) if is_success else failed_program(1)))

    @precondition(lambda self: self.tasks())
    @rule(data=st.data(), action=st.sampled_from(["terminate", "remove", "requeue", "run_again"]))
    def command(self, data: st.DataObject, action: str) -> None:
        task = data.draw(st.sampled_from(self.tasks()))
        if action == "run_again" and task.state == "completed":
            self.settle(lambda: self.gate.add(self.scheduler.reset(task)))
        elif action == "remove" or (action in ("terminate", "requeue") and task.state != "completed"):
            self.settle(lambda: getattr(self.scheduler, action)(task))

    @rule(number=st.integers(0, 3))
    def switch_node(self, number: int) -> None:
        node = self.store.nodes("linux").get(f"n{number}")
        if node is None:
            return
        if node.state == "unusable":
            self.store.change_node(node, state="idle")
            self.settle(lambda: self.scheduler.place("linux"))
        else:
            self.settle(lambda: self.scheduler.requeue_all_on(node))
            self.store.change_node(node, state="unusable")

    @invariant()
    def no_node_is_overfull(self) -> None:
        for node in self.store.nodes("linux"):
            here = [
                task for task in self.tasks() if task.state in PLACED_TASK_STATES and node.id in task.node_ids
            ]
            assert node.running_tasks == len(here)
            assert node.running_slots == sum(task.slots for task in here) <= self.slots
            assert len(here) == 1 or not any(task.is_exclusive for task in here)
            assert node.is_dedicated or not any(task.is_dedicated for task in here)

    @invariant()
    def each_task_runs_once_and_on_as_many_nodes_as_it_is_to(self) -> None:
        placed = [task for task in self.tasks() if task.state in PLACED_TASK_STATES]
        assert len(self.running()) == len(placed)
        for task in placed:
            assert len(set(task.node_ids)) == (task.instances or 1)
        for task in self.tasks():
            assert task.state in PLACED_TASK_STATES or self.is_at_rest(task)

    @invariant()
    def no_task_runs_before_those_it_depends_on(self) -> None:
        for task in self.tasks():
            if task.node_id is not None:
                others = required_ids(task.spec["dependsOn"])
                assert {f"{task.job_id} {other}" for other in others} <= self.succeeded

    @invariant()
    def no_job_runs_more_tasks_than_it_may(self) -> None:
        for job in self.store.jobs:
            placed = [task for task in self.store.tasks(job.id) if task.state in PLACED_TASK_STATES]
            assert len(placed) <= job.spec["maxParallelTasks"]

    def teardown(self) -> None:
        try:
            if self.machines:
                self.finish_everything()
                left = [task for task in self.tasks() if task.state != "completed"]
                assert [task.id for task in left if self.can_run(task)] == []
        finally:
            for machine in self.machines.values():
                self.settle(machine.stop)
            self.loop.close()

    def finish_everything(self) -> None:
        for node in self.store.nodes("linux"):
            self.store.change_node(node, state="running" if node.running_tasks else "idle")
        self.settle(lambda: self.scheduler.place("linux"))
        while self.running():
            self.settle(lambda: self.running()[0].set_result(Outcome(0)))

    def can_run(self, task: Task) -> bool:
        """Tell whether nothing keeps a task from running on an empty pool."""
        nodes = [node for node in self.store.nodes("linux") if node.is_dedicated or not task.is_dedicated]
        is_fit = task.instances is None or self.slots == 1
        is_small = task.slots <= self.slots and (task.instances or 1) <= len(nodes)
        others = map(self.store.tasks(task.job_id).get, required_ids(task.spec["dependsOn"]))
        return is_fit and is_small and all(other and _is_success(other) for other in others)

    def is_at_rest(self, task: Task) -> bool:
        return task.state == "completed" or (task.node_id is None and not task.subtasks)

    def tasks(self) -> list[Task]:
        return [task for job in self.store.jobs for task in self.store.tasks(job.id)]

    def running(self) -> list[asyncio.Future[Outcome]]:
        return [run for machine in self.machines.values() for run in machine.running.values()]

    def settle(self, deed: Any) -> None:
        """Do something and let everything follow that follows from it."""

        async def run() -> None:
            deed()
            for _ in range(_TICKS):
                await asyncio.sleep(0)

        self.loop.run_until_complete(run())


def _is_success(task: Task) -> bool:
    return task.execution.get("result") == "success"


TestScheduling = Scheduling.TestCase
TestScheduling.settings = settings(max_examples=40, stateful_step_count=25)
