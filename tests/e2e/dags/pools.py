"""Dags whose pool does not become what it should: its start task fails, or the account's key is wrong."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG

from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor

START_TASK = (
    'for number in 1 2 3; do echo "mounting disk $number"; done; echo "disk 3 is not there" >&2; exit 7'
)

for dag_id, conn_id in {
    "failing_start_task": "azure_batch_linux_default",
    "wrong_key": "wrong_key",
}.items():
    with DAG(dag_id, schedule=None, default_args={"retries": 0}):
        create = BatchLinuxCreatePoolOperator(
            task_id="create_pool",
            image="ubuntu 24.04",
            vm_size="standard_d2s_v5",
            dedicated_nodes=1,
            start_task=START_TASK,
            batch_linux_conn_id=conn_id,
        )
        created: Any = create.output
        pool_id = created["pool_id"]
        ready = BatchLinuxNodesIdleSensor(
            task_id="nodes_idle",
            pool_id=pool_id,
            poke_interval=5,
            timeout=600,
            deferrable=True,
            batch_linux_conn_id=conn_id,
        )
        work = BatchLinuxTaskOperator(
            task_id="work",
            pool_id=pool_id,
            command="true",
            deferrable=True,
            batch_linux_conn_id=conn_id,
        )
        delete = BatchLinuxDeletePoolOperator(
            task_id="delete_pool",
            pool_id=pool_id,
            poll_interval=pendulum.duration(seconds=5),
            deferrable=True,
            batch_linux_conn_id=conn_id,
        ).as_teardown(setups=create)
        create >> ready >> work >> delete
