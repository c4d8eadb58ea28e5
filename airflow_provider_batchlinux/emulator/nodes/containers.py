"""Containers of tasks: what fails on a node, and how the container engine of this machine runs them."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from airflow_provider_batchlinux.emulator.nodes.programs import (
    Command,
    Outcome,
    ProgramStarter,
    split_words,
    user_error,
)
from airflow_provider_batchlinux.emulator.state.reaper import kill_group
from airflow_provider_batchlinux.emulator.state.records import Json

LABEL = "batchlinux-emulator"
"""The label of all containers, by which those of a killed emulator are found."""

_IMAGE = re.compile(r"[a-zA-Z0-9][^\s\0]*")
_ROOT = "AZ_BATCH_NODE_ROOT_DIR"
_SOURCES = {
    "Shared": "AZ_BATCH_NODE_SHARED_DIR",
    "Startup": "AZ_BATCH_NODE_STARTUP_DIR",
    "VfsMounts": "AZ_BATCH_NODE_MOUNTS_DIR",
    "Task": "AZ_BATCH_TASK_DIR",
    "JobPrep": "AZ_BATCH_JOB_PREP_DIR",
}
"""The variables with the directories that ``containerHostBatchBindMounts`` names."""

_OF_THE_IMAGE = frozenset({"HOME", "PATH"})
"""Variables that the node sets for processes, and that an image has its own values for."""

_NOT_SUPPORTED = user_error(
    "ContainerPoolNotSupported", "The specified pool does not support container tasks.", {}
)
_NO_SETTINGS = user_error(
    "ContainerTaskSettingsNotFound", "Container-enabled compute node requires task container settings", {}
)


@dataclass(frozen=True)
class ContainerEngine:
    """
    The container engine of this machine, called by its command line.

    :param program: path of ``docker`` or ``podman``.
    """

    program: str

    @asynccontextmanager
    async def held(
        self, settings: Json, registries: Sequence[Json], command: Command, starter: ProgramStarter
    ) -> AsyncIterator[Outcome]:
        """
        Run a command in a container to its end. The container is removed when the block is left.

        :param settings: the ``containerSettings`` of the task.
        :param registries: the registries of the pool, to which the node logs in.
        """
        name = f"{LABEL}-{uuid4().hex}"
        own = [settings["registry"]] if "registry" in settings else []
        try:
            failure = await self._create(name, settings, [*registries, *own], command)
            if failure is not None:
                yield Outcome(failure=failure)
                return
            line = shlex.join([self.program, "start", "--attach", name])
            async with starter.held(replace(command, line=line, environment=os.environ)) as outcome:
                yield outcome
        finally:
            # The engine goes on with a container whose client was killed.
            await self._call(["rm", "--force", name], os.environ)

    async def _create(
        self, name: str, settings: Json, registries: Sequence[Json], command: Command
    ) -> Json | None:
        """Create a container as a node of Azure does, and return the failure, if any."""
        image = settings["imageName"]
        try:
            options, arguments = (
                await split_words(settings.get("containerRunOptions", "")),
                await split_words(command.line),
            )
        except ValueError as error:
            return _invalid_settings(str(error))
        with tempfile.TemporaryDirectory(prefix=f"{LABEL}-") as private:
            failure = await self._pull(image, registries, Path(private))
            if failure is not None:
                return failure
            passed, environment = _variables(command.environment, Path(private) / "variables")
            created = ["create", "--name", name, "--label", LABEL, *passed]
            if settings.get("workingDirectory", "taskWorkingDirectory").lower() == "taskworkingdirectory":
                created += ["--workdir", str(command.directory)]
            created += [f"--volume={mount}" for mount in _mounts(settings, command.environment)]
            code, output = await self._call([*created, *options, image, *arguments], environment)
        return None if code == 0 else _invalid_settings(output)

    async def _pull(self, image: str, registries: Sequence[Json], private: Path) -> Json | None:
        """Pull an image that is not here yet, and return the failure, if any."""
        if not _IMAGE.fullmatch(image):
            return _invalid_image("invalid reference format")
        code, _ = await self._call(["image", "inspect", image], os.environ)
        if code == 0:
            return None
        environment = dict(os.environ)
        for registry in (registry for registry in registries if "username" in registry):
            # The owner's own logins stay as they are. No password is in the list of processes.
            environment |= {"DOCKER_CONFIG": str(private), "REGISTRY_AUTH_FILE": str(private / "auth.json")}
            server = registry.get("registryServer", "docker.io")
            login = ["login", "--username", registry["username"], "--password-stdin", server]
            code, output = await self._call(login, environment, registry.get("password", ""))
            if code != 0:
                return _invalid_image(output)
        code, output = await self._call(["pull", image], environment)
        return None if code == 0 else _invalid_image(output)

    async def _call(
        self, arguments: Sequence[str], environment: Mapping[str, str], given: str = ""
    ) -> tuple[int, str]:
        """
        Call the engine, and return its exit code and output.

        :param given: its standard input.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                self.program,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return 125, str(error)
        try:
            output, _ = await process.communicate(given.encode())
        finally:
            kill_group(process.pid)
        return process.returncode or 0, output.decode(errors="replace").strip()


@dataclass(frozen=True)
class NodeContainers:
    """
    How a node runs the commands of tasks, in containers or as plain processes.

    :param starter: starts programs.
    :param configuration: the ``containerConfiguration`` of its pool; ``None`` if it has none.
    :param engine: the container engine; ``None`` runs the commands of containers as plain processes.
    """

    starter: ProgramStarter
    configuration: Json | None = None
    engine: ContainerEngine | None = None

    def failure(self, spec: Json, *, is_required: bool = False) -> Json | None:
        """
        Return the failure of a task that does not fit the pool; ``None`` if it fits.

        :param is_required: whether a pool with containers takes it in a container only. Documented: so it is
            with tasks and job manager tasks, but not with start, job preparation and release tasks.
        """
        if self.configuration is None:
            return _NOT_SUPPORTED if "containerSettings" in spec else None
        return _NO_SETTINGS if is_required and "containerSettings" not in spec else None

    def held(self, spec: Json, command: Command) -> AbstractAsyncContextManager[Outcome]:
        """Run the command of a task to its end. What it started runs until the block is left."""
        if self.engine is None or "containerSettings" not in spec:
            return self.starter.held(command)
        given = {setting["name"] for setting in spec.get("environmentSettings", ())}
        variables = {
            name: value
            for name, value in command.environment.items()
            if name in given or name not in _OF_THE_IMAGE
        }
        registries = (self.configuration or {}).get("containerRegistries", ())
        return self.engine.held(
            spec["containerSettings"], registries, replace(command, environment=variables), self.starter
        )


def _variables(environment: Mapping[str, str], file: Path) -> tuple[list[str], dict[str, str]]:
    """
    Return options that pass variables to a container, and the environment of the engine for them.

    Their values are often secret, so they are passed in a file, not in the list of processes. Such a file has
    no lines in values: what has them is taken from the environment.
    """
    lines = {name: value for name, value in environment.items() if "\n" not in value}
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as sink:
        sink.writelines(f"{name}={value}\n" for name, value in lines.items())
    others = {name: value for name, value in environment.items() if name not in lines}
    named = [f"--env={name}" for name in others]
    return [f"--env-file={file}", *named], {**os.environ, **others}


def _mounts(settings: Json, environment: Mapping[str, str]) -> list[str]:
    """
    Return the directories of the node that a container gets, in the form of the engine.

    Documented: all of the node's, unless the settings name some.
    """
    root = environment[_ROOT]
    if settings.get("containerHostBatchBindMounts") is None:
        return [f"{root}:{root}"]
    mounts = []
    for entry in settings["containerHostBatchBindMounts"]:
        source = entry.get("source", "Task")
        path = environment.get(_SOURCES.get(source, ""), f"{root}/{source.lower()}")
        mounts.append(f"{path}:{path}:ro" if entry.get("isReadOnly") else f"{path}:{path}")
    return mounts


def _invalid_settings(message: str) -> Json:
    """Return the failure of settings that the engine refuses, as seen in Azure/Batch#4."""
    sentence = "At least one value of specified task container settings is invalid"
    return user_error("ContainerInvalidSettings", sentence, {"Message": message})


def _invalid_image(message: str) -> Json:
    """Return the failure of an image that cannot be pulled. Its code is known, its sentence is assumed."""
    sentence = "At least one specified container image is invalid"
    return user_error("ContainerInvalidImage", sentence, {"Message": message})
