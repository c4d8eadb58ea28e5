"""Runs a multi-instance task on its nodes, one of which is its primary; knows no store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_batchlinux.emulator.nodes.machine import Machine
from airflow_provider_batchlinux.emulator.nodes.programs import Outcome, timed_out_program
from airflow_provider_batchlinux.emulator.state.records import Json

Note = Callable[[int, Outcome | None], None]

_MASTER_PORT = 6000
"""As in the example of the documentation; nothing listens there."""


@dataclass(frozen=True)
class Instance:
    """
    The part of a multi-instance task that runs on one node; 0 is the primary one.

    :param shared: the directory of the whole task on this node.
    :param environment: the variables of the service's own.
    """

    number: int
    machine: Machine
    shared: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        """Where it keeps its files."""
        return self.shared / str(self.number) if self.number else self.shared


def coordination_environment(
    addresses: Sequence[str], number: int, shared: Path, cores: int
) -> dict[str, str]:
    """
    Return the variables that tell an instance of the others.

    :param addresses: those of all its nodes, the primary one first.
    :param cores: how many each of them has.
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
    """Fetch the files that all instances share, and those of the primary; return what went wrong."""
    common = spec["multiInstanceSettings"].get("commonResourceFiles", [])
    failures = await asyncio.gather(*(_prepare(instance, spec, common) for instance in instances))
    return next((failure for failure in failures if failure is not None), None)


async def run_instances(instances: Sequence[Instance], spec: Json, limit: float, note: Note) -> Outcome:
    """
    Run the coordination command everywhere, then the command of the task on its primary node.

    The first instance that fails ends them all. What coordination commands leave in the background
    goes on until the command of the task has ended.

    :param limit: seconds of wall-clock time for all of it.
    :param note: told the number of each instance when it starts, and its outcome when it has ended.
    """
    try:
        return await asyncio.wait_for(_run(instances, spec, note), limit)
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
