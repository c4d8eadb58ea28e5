"""Runs a multi-instance task on its nodes, the first of which is the primary node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from async_timeout import timeout

from airflow_provider_batchlinux.emulator.nodes.machine import Machine
from airflow_provider_batchlinux.emulator.nodes.programs import Outcome, timed_out_program
from airflow_provider_batchlinux.emulator.state.records import Json

Note = Callable[[int, Outcome | None], None]

_MASTER_PORT = 6000
"""As in the documentation's example. Nothing listens there."""


@dataclass(frozen=True)
class Instance:
    """
    The part of a multi-instance task on one node. Number 0 is the primary task.

    :param shared: directory of the task on this node.
    :param environment: environment variables of the service.
    """

    number: int
    machine: Machine
    shared: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        """The directory of its files."""
        return self.shared / str(self.number) if self.number else self.shared


def coordination_environment(
    addresses: Sequence[str], number: int, shared: Path, cores: int
) -> dict[str, str]:
    """
    Return the environment variables with the nodes of a multi-instance task.

    :param addresses: addresses of its nodes, the primary node first.
    :param cores: number of cores of each node.
    """
    counted = " ".join(f"{address} {cores}" for address in addresses)
    return {
        "AZ_BATCH_NODE_LIST": ";".join(addresses),
        "AZ_BATCH_HOST_LIST": ",".join(addresses),
        "AZ_BATCH_MASTER_NODE": f"{addresses[0]}:{_MASTER_PORT}",
        "AZ_BATCH_IS_CURRENT_NODE_MASTER": str(number == 0).lower(),
        "AZ_BATCH_TASK_SHARED_DIR": str(shared),
        "CCP_NODES": f"{len(addresses)} {counted}",
    }


async def prepare_instances(instances: Sequence[Instance], spec: Json) -> Json | None:
    """Download common resource files, and those of the primary task; return the failure, if any."""
    common = spec["multiInstanceSettings"].get("commonResourceFiles", [])
    failures = await asyncio.gather(*(_prepare(instance, spec, common) for instance in instances))
    return next((failure for failure in failures if failure is not None), None)


async def run_instances(instances: Sequence[Instance], spec: Json, limit: float, note: Note) -> Outcome:
    """
    Run the coordination command on all nodes, then the command of the task on the primary node.

    The first failure of an instance ends all. Background processes of coordination commands run until the
    command of the task has ended.

    :param limit: wall-clock limit in seconds for all commands.
    :param note: called with the number of an instance and its outcome, which is ``None`` at its start.
    """
    try:
        async with timeout(limit):
            return await _run(instances, spec, note)
    except asyncio.TimeoutError:
        return timed_out_program()


async def _prepare(instance: Instance, spec: Json, common: list[Json]) -> Json | None:
    own = spec.get("resourceFiles", []) if instance.number == 0 else []
    failure = await instance.machine.fetch(common, instance.shared)
    return failure or await instance.machine.prepare_task(instance.directory, {"resourceFiles": own})


async def _run(instances: Sequence[Instance], spec: Json, note: Note) -> Outcome:
    async with AsyncExitStack() as background:
        failed = await _coordinate_all(instances, spec, note, background)
        if failed is not None:
            return failed
        primary = instances[0]
        return await primary.machine.run_task(primary.directory, spec, primary.environment, is_continued=True)


async def _coordinate_all(
    instances: Sequence[Instance], spec: Json, note: Note, background: AsyncExitStack
) -> Outcome | None:
    """Return the outcome of the first coordination command that failed; ``None`` if all succeeded."""
    runs = [asyncio.ensure_future(_coordinate(instance, spec, note, background)) for instance in instances]
    try:
        for ended in asyncio.as_completed(runs):
            outcome = await ended
            if not outcome.is_success:
                return outcome
        return None
    finally:
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)


async def _coordinate(instance: Instance, spec: Json, note: Note, background: AsyncExitStack) -> Outcome:
    command: dict[str, Any] = {
        **spec,
        "commandLine": spec["multiInstanceSettings"]["coordinationCommandLine"],
    }
    note(instance.number, None)
    held = instance.machine.hold_task(instance.directory, command, instance.environment)
    outcome = await background.enter_async_context(held)
    note(instance.number, outcome)
    return outcome
