"""Runs job preparation and release tasks, once for each node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from airflow_provider_batchlinux.emulator.nodes.machine import Machine
from airflow_provider_batchlinux.emulator.nodes.programs import Outcome
from airflow_provider_batchlinux.emulator.protocol.instants import format_instant, parse_duration
from airflow_provider_batchlinux.emulator.simulation.clock import Clock, in_turns, pause
from airflow_provider_batchlinux.emulator.simulation.lifecycle import Profile
from airflow_provider_batchlinux.emulator.state.records import (
    USABLE_NODE_STATES,
    Job,
    JobNode,
    Json,
    Node,
    work_item,
)
from airflow_provider_batchlinux.emulator.state.store import Store

Write = Callable[[Json], None]


def job_environment(job: Job, task_id: str, machine: Machine) -> dict[str, str]:
    """
    Return the environment variables of every task of a job.

    :param machine: the machine it runs on.
    """
    environment = {"AZ_BATCH_JOB_ID": job.id, "AZ_BATCH_TASK_ID": task_id}
    preparation = job.spec.get("jobPreparationTask")
    if preparation is not None and preparation["id"] != task_id:
        directory = _job_directory(job, machine) / preparation["id"]
        environment["AZ_BATCH_JOB_PREP_DIR"] = str(directory)
        environment["AZ_BATCH_JOB_PREP_WORKING_DIR"] = str(directory / "wd")
    settings = job.spec.get("commonEnvironmentSettings", ())
    return environment | {item["name"]: item.get("value", "") for item in settings}


def _job_directory(job: Job, machine: Machine) -> Path:
    return machine.workitems / work_item(job.id)


@dataclass
class JobTasks:
    """
    Runs preparation and release tasks, and keeps their records.

    :param machine_of: returns the machine of a node.
    """

    store: Store
    clock: Clock
    profile: Profile
    machine_of: Callable[[Node], Machine]
    _preparing: dict[tuple[str, str], asyncio.Task[None]] = field(default_factory=dict)

    def excluded(self, job: Job) -> frozenset[str]:
        """Return the ids of the nodes on which the preparation task of a job has failed."""
        if not job.spec.get("jobPreparationTask", {}).get("waitForSuccess"):
            return frozenset()
        return frozenset(
            place.node_id
            for place in self.store.job_nodes(job.id)
            if place.preparation.get("result") == "failure" and not self._is_stale(job, place)
        )

    async def prepare(self, job: Job, node: Node) -> bool:
        """Run the preparation task if it has not run on a node, and return whether tasks may run there."""
        spec = job.spec.get("jobPreparationTask")
        if spec is None:
            return True
        place = self.store.job_nodes(job.id).get(node.id)
        run = self._preparing.get((job.id, node.id))
        if run is None and (place is None or self._is_stale(job, place)):
            run = self._start_preparation(job, node)
        if not spec["waitForSuccess"]:
            return True
        if run is not None:
            await asyncio.wait([run])
        place = self.store.job_nodes(job.id).get(node.id)
        return place is not None and place.preparation.get("result") == "success"

    def release(self, job: Job, then: Callable[[], None]) -> None:
        """Run the release task on the prepared nodes, and then call back."""
        spec = job.spec.get("jobReleaseTask")
        nodes = [] if spec is None else self._prepared_nodes(job)
        left = {node.id for node in nodes}
        if not left:
            self.clock.call_later(0, then)

        def ended(node_id: str, _run: object = None) -> None:
            left.discard(node_id)
            if not left:
                self.clock.call_later(0, then)

        def start(node: Node) -> None:
            if self.store.nodes(node.pool_id).get(node.id) is None:
                ended(node.id)
                return
            run = self.machine_of(node).keep_running(f"release {job.id}", self._release(job, node))
            run.add_done_callback(partial(ended, node.id))

        in_turns(self.clock, nodes, start)

    def resume(self, job: Job) -> None:
        """Forget release tasks that were running when the service ended: their result is unknown."""
        for place in self.store.job_nodes(job.id):
            if place.release is not None and place.release["state"] == "running":
                self.store.put_job_node(replace(place, release=None))

    def forget(self, job: Job) -> None:
        """Remove the files of the preparation and release tasks of a job from its nodes."""

        def start(node: Node) -> None:
            if self.store.nodes(node.pool_id).get(node.id) is not None:
                machine = self.machine_of(node)
                gone = machine.discard(_job_directory(job, machine), [f"prepare {job.id}"])
                machine.keep_running(f"forget {job.id}", gone)

        in_turns(self.clock, self._prepared_nodes(job), start)

    def _prepared_nodes(self, job: Job) -> list[Node]:
        places = self.store.job_nodes(job.id)
        nodes = [self.store.nodes(place.pool_id).get(place.node_id) for place in places]
        return [node for node in nodes if node is not None and node.state in USABLE_NODE_STATES]

    def _is_stale(self, job: Job, place: JobNode) -> bool:
        """Return whether the preparation task must run again, because the node has rebooted."""
        node = self.store.nodes(place.pool_id).get(place.node_id)
        if node is None or node.last_boot == place.booted:
            return False
        spec = job.spec["jobPreparationTask"]
        is_wiped = not self._directory(job, node, spec).exists()
        is_rerun = spec["rerunOnNodeRebootAfterSuccess"] or place.preparation.get("result") != "success"
        return is_wiped or is_rerun

    def _start_preparation(self, job: Job, node: Node) -> asyncio.Task[None]:
        key = (job.id, node.id)
        run = self.machine_of(node).keep_running(f"prepare {job.id}", self._prepare(job, node))
        self._preparing[key] = run
        run.add_done_callback(lambda _: self._preparing.pop(key, None))
        return run

    async def _prepare(self, job: Job, node: Node) -> None:
        spec = job.spec["jobPreparationTask"]
        place = JobNode(job.id, node.pool_id, node.id, node.last_boot)

        def write(info: Json) -> None:
            self.store.put_job_node(replace(place, preparation=info))

        await self._run(job, node, spec, spec["constraints"], write)

    async def _release(self, job: Job, node: Node) -> None:
        spec = job.spec["jobReleaseTask"]

        def write(info: Json) -> None:
            place = self.store.job_nodes(job.id).get(node.id)
            if place is not None:
                self.store.put_job_node(replace(place, release=info))

        limits = {"maxWallClockTime": spec["maxWallClockTime"], "maxTaskRetryCount": 0}
        await self._run(job, node, spec, limits, write)

    async def _run(self, job: Job, node: Node, spec: Json, limits: Json, write: Write) -> None:
        machine, directory = self.machine_of(node), self._directory(job, node, spec)
        info: dict[str, Any] = {"startTime": self._time(), "state": "running", "retryCount": 0}
        write(info)
        failure = await machine.prepare_task(directory, spec)
        outcome = Outcome(failure=failure)
        while failure is None:
            outcome = await self._run_once(machine, directory, job, spec, limits)
            if not outcome.is_retried or info["retryCount"] == limits["maxTaskRetryCount"]:
                break
            info |= {"retryCount": info["retryCount"] + 1, "lastRetryTime": self._time()}
            write(dict(info))
            await pause(self.clock, self.profile.retry)
        write({**info, "state": "completed", **outcome.facts(self._time())})

    async def _run_once(
        self, machine: Machine, directory: Path, job: Job, spec: Json, limits: Mapping[str, Any]
    ) -> Outcome:
        limit = parse_duration(limits["maxWallClockTime"])
        return await machine.run_task(directory, spec, job_environment(job, spec["id"], machine), limit)

    def _directory(self, job: Job, node: Node, spec: Json) -> Path:
        directory: Path = _job_directory(job, self.machine_of(node)) / spec["id"]
        return directory

    def _time(self) -> str:
        return format_instant(self.clock.now())
