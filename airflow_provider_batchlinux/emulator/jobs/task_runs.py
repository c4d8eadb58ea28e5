"""Runs tasks on their nodes: job preparation, resource files, retries, output files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from airflow_provider_batchlinux.emulator.jobs.multi_instance import (
    Instance,
    coordination_environment,
    prepare_instances,
    run_instances,
)
from airflow_provider_batchlinux.emulator.jobs.node_tasks import JobTasks, job_environment
from airflow_provider_batchlinux.emulator.jobs.task_records import TaskRecords
from airflow_provider_batchlinux.emulator.nodes.machine import Machine
from airflow_provider_batchlinux.emulator.nodes.packages import InstallationFailed
from airflow_provider_batchlinux.emulator.nodes.programs import Outcome
from airflow_provider_batchlinux.emulator.protocol.instants import parse_duration
from airflow_provider_batchlinux.emulator.rules.packages import FindPackage
from airflow_provider_batchlinux.emulator.rules.vm_sizes import cores_of
from airflow_provider_batchlinux.emulator.simulation.clock import Clock, pause
from airflow_provider_batchlinux.emulator.simulation.lifecycle import Profile
from airflow_provider_batchlinux.emulator.state.records import Json, Node, Task, work_item
from airflow_provider_batchlinux.emulator.state.store import Store

_Packages = Mapping[Machine, Mapping[str, str]]
"""The variables of the application packages of a task on each of its nodes."""


@dataclass(frozen=True)
class _Work:
    """The work of a task: ``prepare`` returns the failure, if any; ``attempt`` runs its command once."""

    prepare: Callable[[], Awaitable[Json | None]]
    attempt: Callable[[], Awaitable[Outcome]]


@dataclass
class TaskRunner:
    """
    Runs tasks from preparation to their outcome.

    :param find_package: returns the application package that a reference means.
    :param machine_of: returns the machine of a node.
    :param job_tasks: prepares nodes for jobs.
    """

    store: Store
    find_package: FindPackage
    clock: Clock
    profile: Profile
    machine_of: Callable[[Node], Machine]
    job_tasks: JobTasks
    records: TaskRecords

    async def run(self, task: Task, nodes: Sequence[Node]) -> Outcome | None:
        """
        Run a task. Return ``None`` if the job preparation task fails on one of its nodes.

        :param nodes: its nodes, the primary node first.
        """
        job = self.store.job(task.job_id)
        prepared = await asyncio.gather(*(self.job_tasks.prepare(job, node) for node in nodes))
        if not all(prepared):
            return None
        failure = self.machine_of(nodes[0]).containers.failure(task.spec, is_required=True)
        if failure is not None:
            return Outcome(failure=failure)
        try:
            packages = await self._install_packages(task, nodes)
        except InstallationFailed as error:
            return Outcome(failure=error.task_failure)
        work = self._work(task, nodes, packages)
        failure = await work.prepare()
        if failure is not None:
            return Outcome(failure=failure)
        outcome = await self._run_with_retries(task, work)
        machine = self.machine_of(nodes[0])
        environment = self._environment(task, machine, packages)
        return await machine.upload_outputs(task_directory(machine, task), task.spec, environment, outcome)

    async def _install_packages(self, task: Task, nodes: Sequence[Node]) -> _Packages:
        """Install the application packages of a task on its nodes, and return their variables on each."""
        references = task.spec.get("applicationPackageReferences", ())
        if not references:
            return {}
        found = [(reference, self.find_package(reference)) for reference in references]
        machines = [self.machine_of(node) for node in nodes]
        installed = await asyncio.gather(*(machine.install_for_task(found) for machine in machines))
        return dict(zip(machines, installed, strict=True))

    async def _run_with_retries(self, task: Task, work: _Work) -> Outcome:
        self.records.run(self.records.current(task))
        while True:
            outcome = await work.attempt()
            current = self.records.end_subtasks(self.records.current(task))
            retries, most = current.execution["retryCount"], current.spec["constraints"]["maxTaskRetryCount"]
            if not outcome.is_retried or retries == most:
                return outcome
            self.records.retry(current)
            await pause(self.clock, self.profile.retry)

    def _work(self, task: Task, nodes: Sequence[Node], packages: _Packages) -> _Work:
        limit = parse_duration(task.spec["constraints"]["maxWallClockTime"])
        if task.instances is not None:
            instances = [self._instance(task, nodes, number, packages) for number in range(len(nodes))]
            note = partial(self.records.note_subtask, task)
            return _Work(
                lambda: prepare_instances(instances, task.spec),
                lambda: run_instances(instances, task.spec, limit, note),
            )
        machine = self.machine_of(nodes[0])
        directory, environment = task_directory(machine, task), self._environment(task, machine, packages)
        return _Work(
            lambda: machine.prepare_task(directory, task.spec),
            lambda: machine.run_task(directory, task.spec, environment, limit),
        )

    def _instance(self, task: Task, nodes: Sequence[Node], number: int, packages: _Packages) -> Instance:
        machine = self.machine_of(nodes[number])
        shared = task_directory(machine, task)
        cores = cores_of(self.store.pool(task.pool_id).spec["vmSize"])
        addresses = [node.private_address for node in nodes]
        coordination = coordination_environment(addresses, number, shared, cores)
        return Instance(
            number, machine, shared, {**coordination, **self._environment(task, machine, packages)}
        )

    def _environment(self, task: Task, machine: Machine, packages: _Packages) -> dict[str, str]:
        own = packages.get(machine, {})
        return {**own, **job_environment(self.store.job(task.job_id), task.id, machine)}


def task_directory(machine: Machine, task: Task) -> Path:
    """Return the directory of a task on a node."""
    return machine.workitems / work_item(task.job_id) / task.id
