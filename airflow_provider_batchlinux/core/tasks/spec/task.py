"""A command with its parts: container, user, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_batchlinux.core.commands import (
    MAX_COMMAND_SIZE,
    command_line,
    environment_problems,
    environment_settings,
)
from airflow_provider_batchlinux.core.instants import iso8601_duration
from airflow_provider_batchlinux.core.parameters.kinds import (
    Environment,
    PositiveCount,
    RetryCount,
    Seconds,
    ServiceId,
    Text,
)
from airflow_provider_batchlinux.core.parameters.spec import Spec
from airflow_provider_batchlinux.core.pools.spec.containers import TaskContainerSpec
from airflow_provider_batchlinux.core.tasks.spec.files import FILES_VARIABLE, unpacking
from airflow_provider_batchlinux.core.tasks.spec.identity import AutoUserSpec


@dataclass(frozen=True)
class TaskSpec(Spec):
    """
    A command to run on a node of a pool.

    :param command: a bash command.
    :param environment: environment variables for the command; not shown, because they may contain secrets.
        One whose value is ``None`` is left out.
    :param container: the container to run it in; ``None`` runs it on the node itself.
    :param run_as: the name of a user account of the pool, or an automatic user; ``None`` is an automatic
        user of the pool that is not root.
    :param required_slots: the task slots of its node that it occupies.
    :param affinity: the id of the node on which it is preferred to run; ``None`` for any.
    :param time_limit: seconds after which the service ends the command; ``None`` for no limit.
    :param max_retries: further tries by the service after a non-zero exit code.
    """

    command: Text
    environment: Environment = field(default_factory=dict, repr=False)
    container: TaskContainerSpec | None = None
    run_as: AutoUserSpec | Text | None = None
    required_slots: PositiveCount = 1
    affinity: ServiceId | None = None
    time_limit: Seconds | None = None
    max_retries: RetryCount = 0

    REST: ClassVar[Mapping[str, str]] = {"container": "containerSettings"}
    PARTS: ClassVar[Mapping[str, tuple[type[Spec], ...]]] = {"container": (TaskContainerSpec,)}

    def problems(self) -> list[str]:
        """List all that the service would refuse."""
        found = []
        if not self.command.strip():
            found.append("command is empty.")
        if len(self.command.encode()) > MAX_COMMAND_SIZE:
            found.append(f"command is longer than {MAX_COMMAND_SIZE} bytes; put the program into files.")
        if "\0" in self.command:
            found.append("command contains NUL, which no command can hold.")
        found += environment_problems("environment", self.environment)
        if self.max_retries < -1:
            found.append(f"max_retries={self.max_retries} is less than -1 (for ever).")
        return found

    def task_rest(self, task_id: str, packed_files: str | None = None) -> dict[str, Any]:
        """
        Build the body of the task.

        :param packed_files: files for the working directory, packed by ``pack_files``; ``None`` for none.
        """
        unpack = "" if packed_files is None else f"{unpacking()}\n"
        line, carried = command_line(f"{unpack}{self.command}")
        settings = dict(self.environment)
        if packed_files is not None:
            settings[FILES_VARIABLE] = packed_files
        constraints: dict[str, Any] = {"maxTaskRetryCount": self.max_retries}
        if self.time_limit is not None:
            constraints["maxWallClockTime"] = iso8601_duration(self.time_limit)
        user = self.run_as or AutoUserSpec()
        body = {
            "id": task_id,
            "commandLine": line,
            "environmentSettings": environment_settings({**settings, **carried}),
            "constraints": constraints,
            "userIdentity": {"username": user} if isinstance(user, str) else user.to_rest(),
            **self.to_rest(),
        }
        if self.required_slots != 1:
            body["requiredSlots"] = self.required_slots
        if self.affinity is not None:
            # The service gives each node this affinity id.
            body["affinityInfo"] = {"affinityId": f"TVM:{self.affinity}"}
        return body
