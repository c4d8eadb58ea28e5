"""Dags that fail as most Dags do: one failing task in each, in the place where people look first."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG

from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor

ARGS: dict[str, Any] = {"retries": 0}
POOL: dict[str, Any] = {"image": "ubuntu 24.04", "vm_size": "standard_d2s_v5", "dedicated_nodes": 1}
WAIT: dict[str, Any] = {"poke_interval": pendulum.duration(seconds=2), "timeout": 600, "deferrable": True}
START_TASK = "echo 'reading the list of packages'; echo 'E: Unable to locate package nosuch' >&2; exit 100"
COMMAND = "echo reading day 1; echo reading day 2; python3 -c 'import json; json.loads(\"{\")'"

with DAG("fails_in_start_task", schedule=None, default_args=ARGS):
    (
        BatchLinuxCreatePoolOperator(task_id="create", pool_id="no-package", start_task=START_TASK, **POOL)
        >> BatchLinuxNodesIdleSensor(task_id="failing", pool_id="no-package", **WAIT)
    )

with DAG("fails_without_image", schedule=None, default_args=ARGS):
    BatchLinuxCreatePoolOperator(task_id="failing", **{**POOL, "image": "ubuntu 99.04"})

with DAG("fails_at_the_quota", schedule=None, default_args=ARGS):
    (
        BatchLinuxCreatePoolOperator(task_id="create", pool_id="large", **{**POOL, "dedicated_nodes": 60})
        >> BatchLinuxNodesIdleSensor(task_id="failing", pool_id="large", **WAIT)
    )

with DAG("fails_with_a_wrong_key", schedule=None, default_args=ARGS):
    BatchLinuxCreatePoolOperator(task_id="failing", batch_linux_conn_id="wrong_key", **POOL)

with DAG("fails_in_the_command", schedule=None, default_args=ARGS):
    BatchLinuxTaskOperator(task_id="failing", pool_id="nightly-etl", deferrable=True, command=COMMAND)

with DAG("fails_without_connection", schedule=None, default_args=ARGS):
    BatchLinuxTaskOperator(
        task_id="failing", pool_id="nightly-etl", batch_linux_conn_id="nowhere", command="true"
    )
