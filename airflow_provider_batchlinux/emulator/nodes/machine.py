"""The machine of a node: its directories, environment variables and programs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.nodes.containers import ContainerEngine, NodeContainers
from airflow_provider_batchlinux.emulator.nodes.output_files import Outputs, upload_output_files
from airflow_provider_batchlinux.emulator.nodes.packages import (
    InstallationFailed,
    PackageInstaller,
    RequestedPackage,
)
from airflow_provider_batchlinux.emulator.nodes.programs import (
    Command,
    Outcome,
    ProgramStarter,
)
from airflow_provider_batchlinux.emulator.nodes.resource_files import fetch_resource_files
from airflow_provider_batchlinux.emulator.protocol.local_files import make_directory, remove_tree
from airflow_provider_batchlinux.emulator.simulation.background import start_logged
from airflow_provider_batchlinux.emulator.simulation.clock import Timer
from airflow_provider_batchlinux.emulator.state.records import Json

# The PATH of the emulator: on a laptop, interpreters can be anywhere. No other variable of the emulator's
# environment is passed to programs.
_PATH = os.environ.get("PATH", os.defpath)

_DIRECTORIES = (
    "shared",
    "workitems",
    "applications",
    "fsmounts",
    "volatile/startup",
    "startup/wd",
    "startup/certs",
)
_RESERVED_BYTES = "1000000"
"""As in the documentation's example. Disk usage is not limited."""


@dataclass(frozen=True)
class Host:
    """
    What the machine that the emulator runs on has for nodes.

    :param root: parent of the nodes' directories.
    :param starter: starts programs.
    :param engine: its container engine; ``None`` for none.
    :param mounts: directories that stand in for what pools mount, by its name.
    """

    root: Path
    starter: ProgramStarter
    engine: ContainerEngine | None
    mounts: Mapping[str, Path]


class Machine:
    """
    A directory with the layout of a node, and the programs that run there.

    :param root: root directory of the node. It is created when it is first needed.
    :param environment: ``AZ_BATCH_*`` variables of the account, pool and node.
    :param storage: the blob store of the account.
    :param containers: what it does with containers.
    """

    def __init__(
        self,
        root: Path,
        environment: Mapping[str, str],
        storage: BlobStorage,
        containers: NodeContainers,
    ) -> None:
        self.root = root
        self.containers = containers
        self.shared = root / "shared"
        self.startup = root / "startup"
        self.workitems = root / "workitems"
        self.pending: Timer | None = None
        self.packages: Mapping[str, str] = {}
        """The variables of the application packages of its pool."""
        self._installer = PackageInstaller(root / "applications", storage)
        self._environment = dict(environment)
        self._storage = storage
        self._runs: dict[str, asyncio.Task[None]] = {}

    def environment(self) -> dict[str, str]:
        """Return the environment variables of every program on the node."""
        return {
            "PATH": _PATH,
            **self._environment,
            "AZ_BATCH_NODE_ROOT_DIR": str(self.root),
            "AZ_BATCH_NODE_SHARED_DIR": str(self.shared),
            "AZ_BATCH_NODE_MOUNTS_DIR": f"{self.root}/fsmounts",
            "AZ_BATCH_NODE_STARTUP_DIR": str(self.startup),
            "AZ_BATCH_NODE_STARTUP_WORKING_DIR": f"{self.startup}/wd",
        }

    def make_directories(self) -> None:
        """Create the node's directories."""
        for name in _DIRECTORIES:
            make_directory(Path(f"{self.root}/{name}"))

    def mount(self, directories: Mapping[str, Path]) -> None:
        """Link the directories that stand in for mounts, by their paths below the mounts of the node."""
        for path, directory in directories.items():
            link = self.root / "fsmounts" / path
            make_directory(link.parent)
            link.unlink(missing_ok=True)
            link.symlink_to(directory)

    async def install_for_pool(self, packages: Sequence[RequestedPackage]) -> Json | None:
        """Install the packages of the pool for all tasks, and return the error of the node, if any."""
        self.make_directories()
        try:
            self.packages = await self._installer.install(packages, of="pool")
        except InstallationFailed as error:
            return error.info
        return None

    async def install_for_task(self, packages: Sequence[RequestedPackage]) -> Mapping[str, str]:
        """
        Install the packages of a task, and return their variables.

        :raises InstallationFailed: one cannot be installed.
        """
        self.make_directories()
        return await self._installer.install(packages, of="task")

    async def prepare_task(self, directory: Path, spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Create a task's directory, download its resource files, and return the failure, if any."""
        self.make_directories()
        make_directory(directory / "certs")
        failure = self.containers.failure(spec)
        return failure or await self.fetch(spec.get("resourceFiles", []), directory / "wd")

    async def fetch(self, files: list[Mapping[str, Any]], directory: Path) -> Mapping[str, Any] | None:
        """Download files into a directory, which is created, and return the failure, if any."""
        return await fetch_resource_files(files, _created(directory), self._storage)

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

        :param spec: its description, with ``commandLine`` and perhaps ``environmentSettings``.
        :param extra: further variables of the service.
        :param timeout: wall-clock limit in seconds; ``None`` for no limit.
        :param is_continued: whether its output is appended to that of its coordination command.
        """
        command = self._command(directory, spec, extra)
        command = replace(command, timeout=timeout, is_continued=is_continued)
        async with self.containers.held(spec, command) as outcome:
            return outcome

    def hold_task(
        self, directory: Path, spec: Mapping[str, Any], extra: Mapping[str, str]
    ) -> AbstractAsyncContextManager[Outcome]:
        """Run a command like ``run_task``. Its background processes run until the block is left."""
        return self.containers.held(spec, self._command(directory, spec, extra))

    def _command(self, directory: Path, spec: Mapping[str, Any], extra: Mapping[str, str]) -> Command:
        environment = self._task_environment(directory, spec, extra)
        out, err = directory / "stdout.txt", directory / "stderr.txt"
        return Command(spec["commandLine"], directory / "wd", environment, out, err)

    async def upload_outputs(
        self, directory: Path, spec: Mapping[str, Any], extra: Mapping[str, str], outcome: Outcome
    ) -> Outcome:
        """Upload the output files of a task, and return its outcome after that."""
        environment = self._task_environment(directory, spec, extra)
        outputs = Outputs(spec.get("outputFiles", ()), self.root, directory, environment)
        return await upload_output_files(outputs, outcome, self._storage)

    def _task_environment(
        self, directory: Path, spec: Mapping[str, Any], extra: Mapping[str, str]
    ) -> dict[str, str]:
        working = directory / "wd"
        settings = spec.get("environmentSettings", ())
        return {
            # Otherwise programs would use the home directory of the user who runs the emulator.
            "HOME": str(working),
            **self.environment(),
            **user_environment(spec, is_start_task=directory == self.startup),
            "PATH": os.pathsep.join((_PATH, str(self.shared), str(working))),
            "AZ_BATCH_TASK_DIR": str(directory),
            "AZ_BATCH_TASK_WORKING_DIR": str(working),
            "AZ_BATCH_CERTIFICATES_DIR": f"{directory}/certs",
            "AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES": _RESERVED_BYTES,
            **self.packages,
            **extra,
            **{item["name"]: item.get("value", "") for item in settings},
        }

    def keep_running(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine on the node until it ends or is stopped by its name."""
        run = start_logged(work)
        self._runs[name] = run
        run.add_done_callback(lambda ended: self._forget(name, ended))
        return run

    def _forget(self, name: str, ended: asyncio.Task[None]) -> None:
        if self._runs.get(name) is ended:
            del self._runs[name]

    def stop(self, names: Iterable[str] | None = None) -> Awaitable[object]:
        """
        Stop what runs on the node. Await the result to wait for its end.

        :param names: names of what to stop; ``None`` stops everything.
        """
        wanted = list(self._runs) if names is None else names
        runs = [self._runs[name] for name in wanted if name in self._runs]
        for run in runs:
            run.cancel()
        return asyncio.gather(*runs, return_exceptions=True)

    def cancel_pending(self) -> None:
        """Cancel the next scheduled change of state."""
        if self.pending is not None:
            self.pending.cancel()
            self.pending = None

    def wipe(self) -> Coroutine[Any, Any, None]:
        """Stop everything and remove all files."""
        return self.discard(self.root)

    def discard(self, directory: Path, names: Iterable[str] | None = None) -> Coroutine[Any, Any, None]:
        """
        Move a directory away. Await the result to remove it, after its programs have been stopped.

        :param names: names of what runs there; ``None`` stops everything on the node.
        """
        stopped = self.stop(names)
        aside = self.root.parent / uuid4().hex
        try:
            directory.rename(aside)
        except OSError:
            # Most nodes of a large pool have run nothing: a thread for each would hold up requests. Or a task
            # has put a file in place of the parent.
            return _remove(None, stopped)
        return _remove(aside, stopped)


def _created(directory: Path) -> Path:
    make_directory(directory)
    return directory


async def _remove(directory: Path | None, stopped: Awaitable[object]) -> None:
    await stopped
    if directory is not None:
        await asyncio.to_thread(remove_tree, directory)


_POOL_USER = "_azbatch"
_LEVELS = {"nonadmin": "NonAdmin", "admin": "Admin"}


def user_environment(spec: Json, *, is_start_task: bool) -> dict[str, str]:
    """
    Return the variables with the user of a task. The task still runs as the user of the emulator.

    Seen in published output: ``_azbatch`` with ``PoolNonAdmin``, ``_azbatchtask_start`` with
    ``TaskNonAdmin`` for a start task, and the home of ``_azbatchtask_1``. The rest is assumed.

    :param spec: description of the task; without ``userIdentity`` it runs as the pool's non-admin user.
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
