"""A job: its commands, and what it does before, after and around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, lru_cache
from graphlib import TopologicalSorter
from typing import Any

from airflow_provider_batchlinux.core.ids import fingerprint, id_problems
from airflow_provider_batchlinux.core.storage.grants import Grant, sas_lifetime
from airflow_provider_batchlinux.core.tasks.spec.exit_codes import ENDS_WELL
from airflow_provider_batchlinux.core.tasks.spec.files import digest_of_packed
from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec

MANAGER_ID = "jobmanager"
"""The task of a job that its description names as its manager."""

OWN_IDS = {"preparation": "jobpreparation", "release": "jobrelease", "manager": MANAGER_ID}
"""The ids of the tasks that a job has beside its commands."""

_COMMON = ("id", "commandLine", "containerSettings", "resourceFiles", "environmentSettings", "userIdentity")
_OWN_FIELDS = {
    "preparation": (*_COMMON, "constraints"),
    "release": _COMMON,
    "manager": (*_COMMON, "constraints", "outputFiles", "requiredSlots"),
}
_MEANINGLESS = ("depends_on", "result_file", "exit_codes", "instances", "coordination_command", "id")
_REFUSED = {
    "preparation": ("outputs", "required_slots", "affinity", *_MEANINGLESS),
    "release": ("outputs", "required_slots", "affinity", "max_retries", *_MEANINGLESS),
    "manager": ("affinity", *_MEANINGLESS),
}
_NAMES = {
    "preparation": "jobPreparationTask",
    "release": "jobReleaseTask",
    "manager": "jobManagerTask",
}


@dataclass(frozen=True)
class Command:
    """
    A command that is ready to be sent.

    :param packed_files: files for the working directory, packed by ``pack_files``; ``None`` for none.
    :param files_digest: what these mean; ``None`` digests their contents.
    """

    task: TaskSpec
    packed_files: str | None = field(default=None, repr=False)
    files_digest: str | None = None

    def meaning(self) -> dict[str, Any]:
        """Return what was asked for, without secrets, for a fingerprint."""
        digest = self.files_digest or _digest_of(self.packed_files)
        return {"task": self.task.meaning(), "packed_files": digest}

    def digest(self) -> str:
        """Digest what makes another run of the command necessary if it changes."""
        return fingerprint(self.meaning())


@lru_cache(maxsize=16)
def _digest_of(packed_files: str | None) -> str | None:
    # Thousands of commands may have the same.
    return digest_of_packed(packed_files) if packed_files is not None else None


@dataclass(frozen=True)
class JobSpec:
    """
    A job with one command or many.

    :param pool_id: the pool whose nodes may run them.
    :param commands: the commands by the ids of their tasks.
    :param priority: from -1000 to 1000; the service starts the tasks of a job of higher priority first.
    :param start_limit: the seconds that a command may wait for its start; ``None`` for no limit.
    :param own: the ``preparation``, ``release`` and ``manager`` task of the job, as far as it has them.
    :param max_parallel: how many commands run concurrently at most; ``None`` for no limit.
    :param ends_with_failure: whether the first command that fails ends the job.
    :param is_many: whether it may have more than one command, also if it has only one now.
    """

    pool_id: str
    commands: Mapping[str, Command]
    priority: int = 0
    start_limit: float | None = None
    own: Mapping[str, Command] = field(default_factory=dict)
    max_parallel: int | None = None
    ends_with_failure: bool = False
    is_many: bool = False

    @cached_property
    def lifetime(self) -> timedelta:
        """How long after its submission a command may need storage."""
        limits = {(command.task.time_limit, command.task.max_retries or 0) for command in self._all.values()}
        if len(self.commands) == 1 and not self.is_many:
            return max(sas_lifetime(self.start_limit, *limit) for limit in limits)
        # The last one may start long after the first. What is limited to more than that asks for it.
        given = [
            sas_lifetime(self.start_limit or 0, time_limit, retries)
            for time_limit, retries in limits
            if time_limit is not None and retries >= 0
        ]
        return max([sas_lifetime(None, None, 0), *given])

    @cached_property
    def digests(self) -> dict[str, str]:
        """
        The digests of the commands, by the ids of their tasks.

        A command has to run again when what prepares its node has become another, or one that it waits for.
        """
        around: dict[str, Any] = {}
        if "preparation" in self.own:
            around["preparation"] = self.own["preparation"].digest()
        found = dict[str, str]()
        waits = {task_id: command.task.depends_on for task_id, command in self.commands.items()}
        for task_id in TopologicalSorter(waits).static_order():
            own, before = self.commands[task_id].digest(), {other: found[other] for other in waits[task_id]}
            more = {**around, "before": before} if before else around
            found[task_id] = fingerprint({"own": own, **more}) if more else own
        return {task_id: found[task_id] for task_id in self.commands}

    @cached_property
    def has_dependencies(self) -> bool:
        """Whether a command waits for others."""
        return any(command.task.depends_on for command in self.commands.values())

    def problems(self) -> list[str]:
        """List all that the service would refuse, in the job and in the only command."""
        found = id_problems("pool_id", self.pool_id)
        return found + [problem for command in self.commands.values() for problem in command.task.problems()]

    def fingerprint(self, *, with_commands: bool = True) -> str:
        """
        Digest what was asked for, so that a retry knows its own work.

        :param with_commands: whether other commands make another fingerprint.
        """
        asked = {
            "pool_id": self.pool_id,
            "priority": self.priority,
            "own": {name: command.meaning() for name, command in self.own.items()},
            "max_parallel": self.max_parallel,
            "ends_with_failure": self.ends_with_failure,
            "has_dependencies": self.has_dependencies,
        }
        commands = {key: command.meaning() for key, command in self.commands.items()} if with_commands else {}
        return fingerprint({**asked, "commands": commands})

    def secrets(self, name: str) -> dict[str, Grant]:
        """
        Return the blobs that carry the secrets to the nodes, by the ids of the tasks.

        Commands with the same secrets share a blob.

        :param name: a name that no other job has.
        """
        blobs: dict[str, Grant] = {}
        known: dict[tuple[bytes, Grant], Grant] = {}
        numbers = Counter[Grant]()
        for key, command in self._all.items():
            first = command.task.secrets_blob(name)
            if first is not None:
                same = (command.task.secrets(), first)
                if same not in known:
                    number = f"-{numbers[first]}" if numbers[first] else ""
                    known[same] = command.task.secrets_blob(f"{name}{number}") or first
                    numbers[first] += 1
                blobs[key] = known[same]
        return blobs

    def secrets_content(self, task_id: str) -> bytes:
        """Return the content of the blob that carries the secrets of a task."""
        return self._all[task_id].task.secrets()

    def own_grants(self) -> list[Grant]:
        """Return what the nodes may do with storage for the tasks of the job itself."""
        return [grant for command in self.own.values() for grant in command.task.grants()]

    def job_rest(
        self,
        job_id: str,
        metadata: Mapping[str, str],
        urls: Mapping[Grant, str] | None = None,
        blobs: Mapping[str, Grant] | None = None,
    ) -> dict[str, Any]:
        """
        Build the body of the job, without its commands.

        :param urls: the URLs for the nodes of all :meth:`own_grants` and of the secrets.
        :param blobs: what :meth:`secrets` has returned.
        """
        body: dict[str, Any] = {
            "id": job_id,
            "poolInfo": {"poolId": self.pool_id},
            "metadata": [{"name": name, "value": value} for name, value in metadata.items()],
        }
        if self.priority:
            body["priority"] = self.priority
        if self.max_parallel is not None:
            body["maxParallelTasks"] = self.max_parallel
        if self.has_dependencies:
            body["usesTaskDependencies"] = True
        if self.ends_with_failure:
            body["onTaskFailure"] = "performexitoptionsjobaction"
        for name, command in self.own.items():
            own_id = OWN_IDS[name]
            whole = command.task.task_rest(own_id, command.packed_files, urls, (blobs or {}).get(own_id))
            part = {key: value for key, value in whole.items() if key in _OWN_FIELDS[name]}
            limit = whole["constraints"].get("maxWallClockTime")
            if name == "release" and limit is not None:
                part["maxWallClockTime"] = limit
            if name == "manager":
                # The commands go on when it has ended, and beside it.
                part |= {"killJobOnCompletion": False, "runExclusive": False}
            body[_NAMES[name]] = part
        return body

    def task_rest(
        self,
        task_id: str,
        urls: Mapping[Grant, str] | None = None,
        secrets_blob: Grant | None = None,
        done: Collection[str] = (),
    ) -> dict[str, Any]:
        """
        Build the body of the task of a command; see :meth:`TaskSpec.task_rest`.

        :param done: the commands that need not be waited for any more.
        """
        command = self.commands[task_id]
        task = command.task
        body = task.task_rest(task_id, command.packed_files, urls, secrets_blob)
        if waits := [other for other in task.depends_on if other not in done]:
            body["dependsOn"] = {"taskIds": waits}
        options: dict[str, Any] = {"dependencyAction": "satisfy"} if self.has_dependencies else {}
        options |= {"jobAction": "none"} if self.ends_with_failure else {}
        codes = [code for code, ending in (task.exit_codes or {}).items() if code and ending in ENDS_WELL]
        conditions: dict[str, Any] = {}
        if options and codes:
            conditions["exitCodes"] = [{"code": code, "exitOptions": options} for code in codes]
        if self.ends_with_failure:
            block = {"dependencyAction": "block"} if self.has_dependencies else {}
            conditions["default"] = {"jobAction": "terminate", **block}
        return {**body, "exitConditions": conditions} if conditions else body

    @cached_property
    def _all(self) -> dict[str, Command]:
        return {**{OWN_IDS[name]: command for name, command in self.own.items()}, **self.commands}


def own_task_problems(name: str, task: TaskSpec) -> list[str]:
    """
    List what is wrong with the preparation, release or manager task of a job.

    :param name: the parameter.
    """
    found = [f"{name}: {problem}" for problem in task.problems()]
    given = task.to_dict()
    found += [f"{name}.{field} has no meaning there." for field in _REFUSED[name] if field in given]
    if name == "release":
        found += [
            f"{name}.{field} cannot be had: secrets are deleted from storage when the commands have ended, "
            "and this task runs after that. Let the preparation leave on the node what it needs."
            for field in ("secret_environment", "secret_files")
            if field in given
        ]
    return found
