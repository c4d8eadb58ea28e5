"""The computer behind one node: its directories, environment and what runs on it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.nodes.output_files import Outputs, upload_output_files
from airflow_provider_batchlinux.emulator.nodes.programs import (
    Command,
    Outcome,
    held_program,
    run_program,
)
from airflow_provider_batchlinux.emulator.nodes.resource_files import fetch_resource_files
from airflow_provider_batchlinux.emulator.simulation.clock import Timer
from airflow_provider_batchlinux.emulator.state.records import Json

# Node agents give programs a plain path; the emulator's own is used, since on a laptop the
# interpreters that commands name may lie anywhere. Nothing else of its environment gets through.
_PATH = os.environ.get("PATH", os.defpath)

_RESERVED_BYTES = "1000000"
"""As in the example of the documentation; the disk is not watched."""


class Machine:
    """
    A directory with the layout of a node, made when it is first needed.

    :param root: the node's root directory, which need not exist.
    :param environment: the ``AZ_BATCH_*`` variables that say where a program runs.
    :param storage: the account's blob store.
    """

    def __init__(self, root: Path, environment: Mapping[str, str], storage: BlobStorage) -> None:
        self.root = root
        self.shared = root / "shared"
        self.startup = root / "startup"
        self.workitems = root / "workitems"
        self.pending: Timer | None = None
        self._environment = dict(environment)
        self._storage = storage
        self._runs: dict[str, asyncio.Task[None]] = {}

    def environment(self) -> dict[str, str]:
        """Return the variables that every program on the node sees."""
        return {
            "PATH": _PATH,
            **self._environment,
            "AZ_BATCH_NODE_ROOT_DIR": str(self.root),
            "AZ_BATCH_NODE_SHARED_DIR": str(self.shared),
            "AZ_BATCH_NODE_MOUNTS_DIR": str(self.root / "fsmounts"),
            "AZ_BATCH_NODE_STARTUP_DIR": str(self.startup),
            "AZ_BATCH_NODE_STARTUP_WORKING_DIR": str(self.startup / "wd"),
        }

    def make_directories(self) -> None:
        """Make the node's directories, unless they are there."""
        for directory in (self.shared, self.startup / "wd", self.workitems):
            directory.mkdir(parents=True, exist_ok=True)

    async def prepare_task(self, directory: Path, spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Make a task's directory and fetch its resource files; return what went wrong."""
        self.make_directories()
        return await self.fetch(spec.get("resourceFiles", []), directory / "wd")

    async def fetch(self, files: list[Mapping[str, Any]], directory: Path) -> Mapping[str, Any] | None:
        """Fetch files into a directory, which is made if it is not there; return what went wrong."""
        return await fetch_resource_files(files, _made(directory), self._storage)

    async def run_task(
        self,
        directory: Path,
        spec: Mapping[str, Any],
        extra: Mapping[str, str],
        timeout: float | None = None,
        *,
        is_continued: bool = False,
    ) -> Outcome:
        """
        Run the command line of a prepared task or start task in its directory.

        :param spec: has ``commandLine`` and perhaps ``environmentSettings``.
        :param extra: further variables of the service's own.
        :param timeout: seconds of wall-clock time; ``None`` sets no limit.
        :param is_continued: whether its output goes on where that of its coordination command ended.
        """
        command = self._command(directory, spec, extra)
        return await run_program(replace(command, timeout=timeout, is_continued=is_continued))

    def hold_task(
        self, directory: Path, spec: Mapping[str, Any], extra: Mapping[str, str]
    ) -> AbstractAsyncContextManager[Outcome]:
        """Run a command like ``run_task``; what it leaves in the background goes on for a block."""
        return held_program(self._command(directory, spec, extra))

    def _command(self, directory: Path, spec: Mapping[str, Any], extra: Mapping[str, str]) -> Command:
        environment = self._task_environment(directory, spec, extra)
        out, err = directory / "stdout.txt", directory / "stderr.txt"
        return Command(spec["commandLine"], directory / "wd", environment, out, err)

    async def upload_outputs(
        self, directory: Path, spec: Mapping[str, Any], extra: Mapping[str, str], outcome: Outcome
    ) -> Outcome:
        """Upload the output files of a task that has ended, and return its outcome after that."""
        environment = self._task_environment(directory, spec, extra)
        outputs = Outputs(spec.get("outputFiles", ()), self.root, directory, environment)
        return await upload_output_files(outputs, outcome, self._storage)

    def _task_environment(
        self, directory: Path, spec: Mapping[str, Any], extra: Mapping[str, str]
    ) -> dict[str, str]:
        working = directory / "wd"
        settings = spec.get("environmentSettings", ())
        return {
            # Without it, programs would look up and write to the home of whoever runs the emulator.
            "HOME": str(working),
            **self.environment(),
            **user_environment(spec, is_start_task=directory == self.startup),
            "PATH": os.pathsep.join((_PATH, str(self.shared), str(working))),
            "AZ_BATCH_TASK_DIR": str(directory),
            "AZ_BATCH_TASK_WORKING_DIR": str(working),
            "AZ_BATCH_CERTIFICATES_DIR": str(directory / "certs"),
            "AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES": _RESERVED_BYTES,
            **extra,
            **{item["name"]: item.get("value", "") for item in settings},
        }

    def keep_running(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something on the node until it ends or is stopped by its name."""
        run = asyncio.get_running_loop().create_task(work)
        self._runs[name] = run
        run.add_done_callback(lambda ended: self._forget(name, ended))
        return run

    def _forget(self, name: str, ended: asyncio.Task[None]) -> None:
        if self._runs.get(name) is ended:
            del self._runs[name]

    def stop(self, names: Iterable[str] | None = None) -> Awaitable[object]:
        """
        Stop what runs on the node; wait for the result to know that it has ended.

        :param names: what to stop; ``None`` stops everything.
        """
        wanted = list(self._runs) if names is None else names
        runs = [self._runs[name] for name in wanted if name in self._runs]
        for run in runs:
            run.cancel()
        return asyncio.gather(*runs, return_exceptions=True)

    def cancel_pending(self) -> None:
        """Forget the change of state that was due."""
        if self.pending is not None:
            self.pending.cancel()
            self.pending = None

    def wipe(self) -> Coroutine[Any, Any, None]:
        """Stop everything and take all files away, as a reinstallation does."""
        return self.discard(self.root)

    def discard(self, directory: Path, names: Iterable[str] | None = None) -> Coroutine[Any, Any, None]:
        """
        Take a directory off the node at once; the result removes it when nothing runs there.

        :param names: what runs there; ``None`` means everything.
        """
        stopped = self.stop(names)
        aside = self.root.parent / uuid4().hex
        with suppress(FileNotFoundError):
            directory.rename(aside)
        return _remove(aside, stopped)


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


async def _remove(directory: Path, stopped: Awaitable[object]) -> None:
    await stopped
    await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


_POOL_USER = "_azbatch"
_LEVELS = {"nonadmin": "NonAdmin", "admin": "Admin"}


def user_environment(spec: Json, *, is_start_task: bool) -> dict[str, str]:
    """
    Return the variables that tell a task its user.

    Seen in what users printed: ``_azbatch`` with ``PoolNonAdmin``, ``_azbatchtask_start`` with
    ``TaskNonAdmin`` for a start task, and a home of ``_azbatchtask_1``. The rest is not documented; assumed.

    :param spec: has perhaps ``userIdentity``; without it the task runs as the pool's plain user.
    """
    identity = spec.get("userIdentity", {})
    if "username" in identity:
        return {"USER": identity["username"], "AZ_BATCH_TASK_USER": identity["username"]}
    auto = {"scope": "pool", "elevationLevel": "nonadmin", **identity.get("autoUser", {})}
    name = _POOL_USER
    if auto["scope"] == "task":
        name = "_azbatchtask_start" if is_start_task else "_azbatchtask_1"
    return {
        "USER": name,
        "AZ_BATCH_TASK_USER": name,
        "AZ_BATCH_TASK_USER_IDENTITY": auto["scope"].capitalize() + _LEVELS[auto["elevationLevel"]],
    }
