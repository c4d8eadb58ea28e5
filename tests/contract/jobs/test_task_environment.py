"""The environment variables of a task, as documented for Azure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from azure.batch import BatchClient

from airflow_provider_batchlinux.emulator import RunningEmulator

_EVERY_TASK = {
    "AZ_BATCH_ACCOUNT_NAME",
    "AZ_BATCH_ACCOUNT_URL",
    "AZ_BATCH_CERTIFICATES_DIR",
    "AZ_BATCH_JOB_ID",
    "AZ_BATCH_NODE_ID",
    "AZ_BATCH_NODE_IS_DEDICATED",
    "AZ_BATCH_NODE_MOUNTS_DIR",
    "AZ_BATCH_NODE_ROOT_DIR",
    "AZ_BATCH_NODE_SHARED_DIR",
    "AZ_BATCH_NODE_STARTUP_DIR",
    "AZ_BATCH_POOL_ID",
    "AZ_BATCH_TASK_DIR",
    "AZ_BATCH_TASK_ID",
    "AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES",
    "AZ_BATCH_TASK_WORKING_DIR",
}
"""All that are documented for every task of a job."""


def test_a_task_has_all_documented_environment_variables(
    client: BatchClient, run_task: Callable[..., Any], batch_emulator: RunningEmulator
) -> None:
    task = run_task("/usr/bin/env")

    lines = b"".join(client.download_task_file("job", "task", "stdout.txt")).decode().splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    assert set(variables) >= _EVERY_TASK
    root = variables["AZ_BATCH_NODE_ROOT_DIR"]
    assert {name: variables[name].removeprefix(root) for name in variables if name.endswith("_DIR")} == {
        "AZ_BATCH_CERTIFICATES_DIR": "/workitems/job/job-1/task/certs",
        "AZ_BATCH_NODE_MOUNTS_DIR": "/fsmounts",
        "AZ_BATCH_NODE_ROOT_DIR": "",
        "AZ_BATCH_NODE_SHARED_DIR": "/shared",
        "AZ_BATCH_NODE_STARTUP_DIR": "/startup",
        "AZ_BATCH_NODE_STARTUP_WORKING_DIR": "/startup/wd",
        "AZ_BATCH_TASK_DIR": "/workitems/job/job-1/task",
        "AZ_BATCH_TASK_WORKING_DIR": "/workitems/job/job-1/task/wd",
    }
    assert variables["AZ_BATCH_ACCOUNT_NAME"] == batch_emulator.account
    ids = [variables[f"AZ_BATCH_{name}_ID"] for name in ("POOL", "NODE", "JOB", "TASK")]
    assert ids == ["workers", task.node_info.node_id, "job", "task"]
    assert variables["AZ_BATCH_NODE_IS_DEDICATED"] == "true"
