"""A command as a Batch job and task, and what its state means; imports only the standard library."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

from airflow_provider_batchlinux.core.commands import (
    MAX_COMMAND_SIZE,
    command_line,
    environment_problems,
    environment_settings,
)
from airflow_provider_batchlinux.core.ids import fingerprint, id_problems
from airflow_provider_batchlinux.core.instants import iso8601_duration, parse_instant
from airflow_provider_batchlinux.core.snapshots import ServiceError

TASK_ID = "main"
"""The one task of a job that the task operator makes."""

TASK_FIELDS = ("id", "state", "executionInfo", "nodeInfo")
"""What a wait asks of a task."""

FILES_VARIABLE = "AIRFLOW_BATCHLINUX_FILES"

MAX_PACKED_SIZE = 96 * 1024
"""
Bytes of packed text that one task carries.

Linux takes at most 128 KiB in one environment variable. The service documents no limit of its own
below its 1 MiB for a whole request; should it refuse, it says so and the task fails before it runs.
"""


class TaskOutcome(str, Enum):
    """What a task's state means."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STILL_RUNNING = "still_running"


@dataclass(frozen=True)
class TaskSpec:
    """
    A command to run on a node of a pool.

    :param pool_id: the pool whose nodes may run it.
    :param command: a bash command.
    :param environment: environment variables for the command; they may hold secrets, so they are not shown.
        One whose value is ``None`` is left out.
    :param elevated: run as root instead of as an ordinary user.
    :param packed_files: files for the working directory, packed by ``pack_files``; ``None`` for none.
    :param time_limit: seconds after which the service ends the command; ``None`` for no limit.
    :param max_retries: further tries by the service after a non-zero exit code.
    """

    pool_id: str
    command: str
    environment: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    elevated: bool = False
    packed_files: str | None = field(default=None, repr=False)
    time_limit: float | None = None
    max_retries: int = 0

    def problems(self) -> list[str]:
        """List all that the service would refuse."""
        found = id_problems("pool_id", self.pool_id)
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

    def fingerprint(self) -> str:
        """Digest what was asked for, so that a retry knows its own work."""
        return fingerprint(asdict(self))

    def job_rest(self, job_id: str, metadata: Mapping[str, str]) -> dict[str, Any]:
        """Build the body of the job that holds the task."""
        return {
            "id": job_id,
            "poolInfo": {"poolId": self.pool_id},
            "metadata": [{"name": name, "value": value} for name, value in metadata.items()],
        }

    def task_rest(self) -> dict[str, Any]:
        """Build the body of the task."""
        line, carried = command_line(self._command())
        settings = dict(self.environment)
        if self.packed_files is not None:
            settings[FILES_VARIABLE] = self.packed_files
        constraints: dict[str, Any] = {"maxTaskRetryCount": self.max_retries}
        if self.time_limit is not None:
            constraints["maxWallClockTime"] = iso8601_duration(self.time_limit)
        level = "admin" if self.elevated else "nonadmin"
        return {
            "id": TASK_ID,
            "commandLine": line,
            "environmentSettings": environment_settings({**settings, **carried}),
            "constraints": constraints,
            "userIdentity": {"autoUser": {"scope": "pool", "elevationLevel": level}},
        }

    def _command(self) -> str:
        if self.packed_files is None:
            return self.command
        return f"{unpacking()}\n{self.command}"


@dataclass(frozen=True)
class TaskSnapshot:
    """A task at one moment; what has not happened yet is ``None``."""

    state: str
    result: str | None = None
    exit_code: int | None = None
    failure: ServiceError | None = None
    failure_category: str | None = None
    node_id: str | None = None
    pool_id: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    requeues: int = 0

    @classmethod
    def from_rest(cls, body: Mapping[str, Any]) -> TaskSnapshot:
        """Read a task with at least :data:`TASK_FIELDS`."""
        run = body.get("executionInfo") or {}
        failure = run.get("failureInfo")
        return cls(
            state=str(body.get("state") or "").lower(),
            result=str(run["result"]).lower() if run.get("result") else None,
            exit_code=run.get("exitCode"),
            failure=ServiceError.from_rest(failure) if failure else None,
            failure_category=str(failure["category"]).lower()
            if failure and failure.get("category")
            else None,
            node_id=(body.get("nodeInfo") or {}).get("nodeId"),
            pool_id=(body.get("nodeInfo") or {}).get("poolId"),
            started_at=parse_instant(run.get("startTime")),
            ended_at=parse_instant(run.get("endTime")),
            requeues=int(run.get("requeueCount") or 0),
        )

    @property
    def seconds(self) -> float | None:
        """Give how long the command ran, ``None`` when it did not start or has not ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return round((self.ended_at - self.started_at).total_seconds(), 3)

    def why_failed(self) -> str:
        """Say how the command ended, in a few words."""
        ended = f"exit code {self.exit_code}" if self.exit_code is not None else "no exit code"
        where = f" on node {self.node_id!r}" if self.node_id else ""
        after = f" after {self.seconds:g} s" if self.seconds is not None else ""
        cause = f"; {self.failure}" if self.failure and not self.failure.is_exit_code else ""
        return f"{ended}{where}{after}{cause}"


def task_outcome(task: TaskSnapshot) -> TaskOutcome:
    """
    Decide what a task's state means.

    Only a completed task with exit code 0 and no failure has succeeded; a completed task that says
    neither is taken as failed.
    """
    if task.state != "completed":
        return TaskOutcome.STILL_RUNNING
    if task.exit_code == 0 and task.result in (None, "success") and task.failure is None:
        return TaskOutcome.SUCCEEDED
    return TaskOutcome.FAILED


def pack_files(files: Mapping[str, bytes]) -> str:
    """
    Pack files into one text that fits an environment variable; the same text whatever their order.

    :param files: contents by path, relative to the task's working directory; all become executable.
    :raises ValueError: a path leaves the working directory or names no file, or the files are too large.
    """
    problems = [problem for name in files for problem in _name_problems(name)]
    if problems:
        raise ValueError("\n".join(problems))
    packed = base64.b64encode(_archive(files)).decode("ascii")
    if len(packed) > MAX_PACKED_SIZE:
        sizes = ", ".join(f"{name} ({len(content)} bytes)" for name, content in files.items())
        msg = (
            f"files are {len(packed)} bytes when packed; at most {MAX_PACKED_SIZE} travel with a task. "
            f"Put large data into storage that the node can reach. Given: {sizes}."
        )
        raise ValueError(msg)
    return packed


def unpacking() -> str:
    """Give the bash command that unpacks the files and then forgets them."""
    return f'printf %s "${FILES_VARIABLE}" | base64 -d | tar xz || exit 125; unset {FILES_VARIABLE}'


def _name_problems(name: str) -> list[str]:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return [f"files names {name!r}, which leaves the task's directory."]
    if not path.name or name.endswith(("/", "/.")):
        return [f"files names {name!r}, which is a directory and not a file."]
    return []


def _archive(files: Mapping[str, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)
