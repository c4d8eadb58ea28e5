"""The request of the operator that runs a command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_batchlinux.core.parameters.kinds import (
    Count,
    Flag,
    RetryCount,
    Seconds,
    Text,
    Variables,
)
from airflow_provider_batchlinux.core.parameters.requests import WaitRequest
from airflow_provider_batchlinux.core.tasks.cleanup import DeleteJob


@dataclass(frozen=True)
class TaskRequest(WaitRequest):
    """
    A command to run on a node of a pool.

    :param command: the command.
    :param environment: its environment variables; ``None`` for none.
    :param files: the paths on the worker of files to copy, by their names on the node; ``None`` for none.
    :param result_file: the JSON file with the result; ``None`` for none.
    :param elevated: whether it runs as root.
    :param time_limit: the seconds that it may run; ``None`` for no limit.
    :param start_limit: the seconds that it may wait for its start; ``None`` for no limit.
    :param max_retries: how often the service retries it; -1 for without limit.
    :param delete_job: when its job is deleted.
    :param rerun_finished: whether a command whose result was not read is run again.
    :param output_limit: how many bytes of output are logged.
    """

    command: Text
    environment: Variables | None
    files: Mapping[str, Text] | None
    result_file: Text | None
    elevated: Flag
    time_limit: Seconds | None
    start_limit: Seconds | None
    max_retries: RetryCount
    delete_job: DeleteJob
    rerun_finished: Flag
    output_limit: Count
