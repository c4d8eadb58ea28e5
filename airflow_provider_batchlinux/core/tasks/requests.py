"""The requests of the operators that run one command, or many."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypeAlias

from airflow_provider_batchlinux.core.parameters.kinds import (
    Count,
    CountOrShare,
    Flag,
    Kind,
    PositiveCount,
    Priority,
    RetryCount,
    Seconds,
    SecretText,
    ServiceId,
    Text,
    Variables,
)
from airflow_provider_batchlinux.core.parameters.requests import SensorRequest, WaitRequest
from airflow_provider_batchlinux.core.pools.spec.containers import TaskContainerSpec
from airflow_provider_batchlinux.core.pools.spec.software import ApplicationPackageSpec
from airflow_provider_batchlinux.core.storage.locations import Location
from airflow_provider_batchlinux.core.tasks.job import DeleteJob
from airflow_provider_batchlinux.core.tasks.spec.data import InputSpec, OutputSpec
from airflow_provider_batchlinux.core.tasks.spec.exit_codes import ExitCodes
from airflow_provider_batchlinux.core.tasks.spec.identity import AutoUserSpec
from airflow_provider_batchlinux.core.tasks.spec.job import OWN_IDS, own_task_problems
from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec


def _item_of(value: object) -> object:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError):
        return None
    return value


Item: TypeAlias = Annotated[object, Kind("a value that JSON can hold", _item_of)]
"""A value for which a command runs."""

OnTaskFailure: TypeAlias = Literal["continue", "end"]
"""What a failed command does to the other commands of its job."""


@dataclass(frozen=True)
class CommandRequest(WaitRequest):
    """
    The parts that one command has, or many share.

    :param environment: their environment variables; ``None`` for none.
    :param files: the paths on the worker of files to copy, by their names on the node; ``None`` for none.
    :param secret_environment: variables that are no part of the job; ``None`` for none.
    :param secret_files: contents of files that are no part of the job, by paths; ``None`` for none.
    :param secret_storage: where the blob with the secrets is put; ``None`` without secrets.
    :param inputs: what the node downloads first, by paths; ``None`` for nothing.
    :param outputs: what the node uploads at the end, by patterns; ``None`` for nothing.
    :param storage_conn_id: the connection to the storage account.
    :param storage_identity: the identity of the pool that is used instead of a SAS; ``None`` for a SAS.
    :param container: the container to run in, or its image; ``None`` for none.
    :param result_file: the JSON file with the result; ``None`` for none.
    :param run_as: the user account or automatic user to run as; ``None`` for the default.
    :param required_slots: the task slots that a command occupies.
    :param priority: the priority of the job.
    :param time_limit: the seconds that a command may run; ``None`` for no limit.
    :param start_limit: the seconds that the first command may wait for its start; ``None`` for no limit.
    :param max_retries: how often the service retries a command; -1 for without limit.
    :param delete_job: when the job is deleted.
    :param exit_codes: what exit codes mean; ``None`` for the usual.
    :param quota_limit: the seconds to wait for room in a full quota of jobs; ``None`` does not wait.
    """

    environment: Variables | None
    files: Mapping[str, Text] | None
    secret_environment: Mapping[str, SecretText] | None
    secret_files: Mapping[str, SecretText] | None
    secret_storage: Location | None
    inputs: Mapping[str, InputSpec | Location] | None
    outputs: Mapping[str, OutputSpec | Location] | None
    storage_conn_id: Text
    storage_identity: Text | None
    container: TaskContainerSpec | Text | None
    result_file: Text | None
    run_as: AutoUserSpec | Text | None
    required_slots: PositiveCount
    priority: Priority
    time_limit: Seconds | None
    start_limit: Seconds | None
    max_retries: RetryCount
    delete_job: DeleteJob
    exit_codes: ExitCodes | None
    quota_limit: Seconds | None

    def parts(self, command: str | None) -> TaskSpec:
        """Return a command with these parts."""
        image = self.container
        return TaskSpec(
            command=command,
            environment=self.environment or {},
            secret_environment=self.secret_environment or {},
            secret_files=self.secret_files or {},
            secret_storage=self.secret_storage,
            inputs=self.inputs or {},
            outputs=self.outputs or {},
            storage_conn_id=self.storage_conn_id,
            storage_identity=self.storage_identity,
            container=TaskContainerSpec(image) if isinstance(image, str) else image,
            run_as=self.run_as,
            required_slots=self.required_slots,
            time_limit=self.time_limit,
            max_retries=self.max_retries,
            files=self.files or {},
            result_file=self.result_file,
            exit_codes=self.exit_codes,
        )


@dataclass(frozen=True)
class TaskRequest(CommandRequest):
    """
    A command to run on a node of a pool.

    :param command: the command.
    :param application_packages: the packages that the node installs first; ``None`` for none.
    :param elevated: whether to run as root.
    :param affinity: the node on which it is preferred to run; ``None`` for any.
    :param rerun_finished: whether a command whose result was not read is run again.
    :param output_limit: how many bytes of output are logged.
    """

    command: Text
    application_packages: tuple[ApplicationPackageSpec, ...] | None
    elevated: Flag
    affinity: ServiceId | None
    rerun_finished: Flag
    output_limit: Count

    def problems(self) -> list[str]:
        """List the parameters that cannot be combined."""
        found = self.task().exit_code_problems()
        if self.elevated and self.run_as is not None:
            found.append("elevated and run_as both name a user; give elevation in run_as instead.")
        return found

    def task(self) -> TaskSpec:
        """Return the command with its parts."""
        packages = self.application_packages or ()
        task = replace(self.parts(self.command), affinity=self.affinity, application_packages=packages)
        return replace(task, run_as=AutoUserSpec(elevation="admin")) if self.elevated else task


@dataclass(frozen=True)
class JobRequest(CommandRequest):
    """
    Many commands to run as one job.

    :param tasks: the commands, or the path or URL of a file with them; ``None`` with ``items``.
    :param command: the command of all that have none of their own; ``None`` if all have one.
    :param items: the values for which the command runs, or the path or URL of a file with them; ``None`` with
        ``tasks``.
    :param preparation: the command that runs on each node before its first command; ``None`` for none.
    :param release: the command that runs on each of these nodes when the job has ended; ``None`` for none.
    :param manager: the command that runs first and may add others to the job; ``None`` for none.
    :param max_parallel: how many commands run concurrently at most; ``None`` for no limit.
    :param on_task_failure: what a failed command does to the others.
    :param max_failed: the number or share of commands that may fail.
    :param results_to: where the records are written; ``None`` for no file.
    :param allow_empty: whether there may be no command.
    """

    tasks: tuple[TaskSpec | Text, ...] | Text | None
    command: Text | None
    items: tuple[Item, ...] | Text | None
    preparation: TaskSpec | Text | None
    release: TaskSpec | Text | None
    manager: TaskSpec | Text | None
    max_parallel: PositiveCount | None
    on_task_failure: OnTaskFailure
    max_failed: CountOrShare
    results_to: Location | None
    allow_empty: Flag

    def problems(self) -> list[str]:
        """List the parameters that cannot be combined."""
        found = super().problems()
        if self.tasks is not None and self.items is not None:
            found.append("tasks and items both say what to run; give one of them.")
        if self.tasks is None and self.items is None and self.manager is None:
            found.append("tasks is missing: give the commands as tasks, or a command and its items.")
        if self.items is not None and self.command is None:
            found.append("command is missing: with items, it is run for each of them.")
        if self.on_task_failure == "end" and str(self.max_failed).strip("0.% "):
            found.append("max_failed allows failures, but on_task_failure='end' ends the job with the first.")
        return found + [
            problem for name, task in self.own_tasks().items() for problem in own_task_problems(name, task)
        ]

    def own_tasks(self) -> dict[str, TaskSpec]:
        """Return the tasks that the job has beside its commands."""
        given = {name: getattr(self, name) for name in OWN_IDS}
        return {
            name: TaskSpec(task) if isinstance(task, str) else task
            for name, task in given.items()
            if task is not None
        }


@dataclass(frozen=True)
class JobSensorRequest(SensorRequest):
    """
    A wait for a job that was made elsewhere.

    :param job_id: the job.
    :param batch_task_id: the task of it to wait for; ``None`` for all.
    :param max_failed: the number or share of tasks that may fail.
    :param allow_empty: whether the job may end without a task.
    """

    job_id: ServiceId
    batch_task_id: ServiceId | None
    max_failed: CountOrShare
    allow_empty: Flag

    def problems(self) -> list[str]:
        """List the parameters that cannot be combined."""
        if self.batch_task_id is None:
            return []
        given = {"max_failed": bool(str(self.max_failed).strip("0.% ")), "allow_empty": self.allow_empty}
        return [
            f"{name} is about all tasks of the job; it has no effect with batch_task_id."
            for name, is_given in given.items()
            if is_given
        ]
