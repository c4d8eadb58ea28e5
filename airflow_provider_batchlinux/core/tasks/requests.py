"""The request of the operator that runs a command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_batchlinux.core.parameters.kinds import (
    Count,
    Flag,
    PositiveCount,
    Priority,
    RetryCount,
    Seconds,
    SecretText,
    ServiceId,
    Text,
    Variables,
)
from airflow_provider_batchlinux.core.parameters.requests import WaitRequest
from airflow_provider_batchlinux.core.pools.spec.containers import TaskContainerSpec
from airflow_provider_batchlinux.core.storage.locations import Location
from airflow_provider_batchlinux.core.tasks.cleanup import DeleteJob
from airflow_provider_batchlinux.core.tasks.exit_codes import ExitCodes
from airflow_provider_batchlinux.core.tasks.spec.data import InputSpec, OutputSpec
from airflow_provider_batchlinux.core.tasks.spec.identity import AutoUserSpec
from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec
from airflow_provider_batchlinux.core.tasks.task import JobSpec


@dataclass(frozen=True)
class TaskRequest(WaitRequest):
    """
    A command to run on a node of a pool.

    :param command: the command.
    :param environment: its environment variables; ``None`` for none.
    :param files: the paths on the worker of files to copy, by their names on the node; ``None`` for none.
    :param secret_environment: variables that are no part of the job; ``None`` for none.
    :param secret_files: contents of files that are no part of the job, by paths; ``None`` for none.
    :param secret_storage: where the blob with the secrets is put; ``None`` without secrets.
    :param inputs: what the node downloads first, by paths; ``None`` for nothing.
    :param outputs: what the node uploads at the end, by patterns; ``None`` for nothing.
    :param storage_conn_id: the connection to the storage account.
    :param storage_identity: the identity of the pool that is used instead of a SAS; ``None`` for a SAS.
    :param container: the container to run it in, or its image; ``None`` for none.
    :param result_file: the JSON file with the result; ``None`` for none.
    :param elevated: whether it runs as root.
    :param run_as: the user account or automatic user that it runs as; ``None`` for the default.
    :param required_slots: the task slots that it occupies.
    :param priority: the priority of its job.
    :param affinity: the node on which it is preferred to run; ``None`` for any.
    :param time_limit: the seconds that it may run; ``None`` for no limit.
    :param start_limit: the seconds that it may wait for its start; ``None`` for no limit.
    :param max_retries: how often the service retries it; -1 for without limit.
    :param delete_job: when its job is deleted.
    :param rerun_finished: whether a command whose result was not read is run again.
    :param quota_limit: the seconds to wait for room in a full quota of jobs; ``None`` does not wait.
    :param exit_codes: what exit codes mean for the Airflow task; ``None`` for the usual.
    :param output_limit: how many bytes of output are logged.
    """

    command: Text
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
    elevated: Flag
    run_as: AutoUserSpec | Text | None
    required_slots: PositiveCount
    priority: Priority
    affinity: ServiceId | None
    time_limit: Seconds | None
    start_limit: Seconds | None
    max_retries: RetryCount
    delete_job: DeleteJob
    rerun_finished: Flag
    exit_codes: ExitCodes | None
    quota_limit: Seconds | None
    output_limit: Count

    def problems(self) -> list[str]:
        """List the parameters that cannot be combined."""
        found = []
        if self.elevated and self.run_as is not None:
            found.append("elevated and run_as both name a user; give elevation in run_as instead.")
        codes = [code for code, ending in (self.exit_codes or {}).items() if code and ending == "success"]
        for path, given in (self.outputs or {}).items() if codes else ():
            spec = given if isinstance(given, OutputSpec) else OutputSpec(given)
            if spec.upload_on == "success" or (spec.upload_on == "completion" and not spec.optional):
                found.append(
                    f"exit_codes makes {codes[0]} a success, but outputs[{path!r}] is uploaded, or looked "
                    "for, after 0 only: give OutputSpec(..., upload_on='completion', optional=True), or end "
                    "the command with 0."
                )
        return found

    def job(self, packed_files: str | None) -> JobSpec:
        """
        Return the job that runs the command.

        :param packed_files: the files, packed by ``pack_files``; ``None`` for none.
        """
        image = self.container
        task = TaskSpec(
            command=self.command,
            environment=self.environment or {},
            secret_environment=self.secret_environment or {},
            secret_files=self.secret_files or {},
            secret_storage=self.secret_storage,
            inputs=self.inputs or {},
            outputs=self.outputs or {},
            storage_conn_id=self.storage_conn_id,
            storage_identity=self.storage_identity,
            container=TaskContainerSpec(image) if isinstance(image, str) else image,
            run_as=AutoUserSpec(elevation="admin") if self.elevated else self.run_as,
            required_slots=self.required_slots,
            affinity=self.affinity,
            time_limit=self.time_limit,
            max_retries=self.max_retries,
        )
        return JobSpec(self.pool_id, task, packed_files, self.priority, self.start_limit)
