"""Dags whose pools are live, broken and left behind."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG

from airflow_provider_batchlinux.operators.node_users import BatchLinuxAddNodeUsersOperator
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor

HOUR = pendulum.duration(hours=1)
SOON = pendulum.duration(seconds=2)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL2l0X4yW3nZp4DIWbIXlTR3KyQjVf1rMCuPWQg8sZxo nora"
MACHINE: dict[str, Any] = {"image": "ubuntu 24.04", "vm_size": "standard_d2s_v5"}

with DAG("nightly_etl", schedule=None):
    create = BatchLinuxCreatePoolOperator(
        task_id="create",
        pool_id="nightly-etl",
        dedicated_nodes=12,
        start_task="echo installing; echo tools are ready",
        **MACHINE,
    )
    wait = BatchLinuxNodesIdleSensor(task_id="wait", pool_id="nightly-etl", poke_interval=SOON)
    user = BatchLinuxAddNodeUsersOperator(
        task_id="user", pool_id="nightly-etl", username="nora", ssh_public_key=KEY, expires_in=HOUR
    )
    work = BatchLinuxTaskOperator(
        task_id="work",
        pool_id="nightly-etl",
        command="for i in $(seq 1 60000); do echo line $i of the transformation; sleep 0.2; done",
        deferrable=True,
    )
    create >> wait >> user >> work

with DAG("broken_start", schedule=None):
    BatchLinuxCreatePoolOperator(
        task_id="create",
        pool_id="broken-start",
        dedicated_nodes=4,
        start_task="echo fetching packages; echo no such package: nosuch >&2; exit 100",
        **MACHINE,
    ) >> BatchLinuxNodesIdleSensor(task_id="wait", pool_id="broken-start", poke_interval=SOON, timeout=3600)

with DAG("forgotten", schedule=None):
    BatchLinuxCreatePoolOperator(task_id="create", pool_id="forgotten", dedicated_nodes=3, **MACHINE)
