"""Dags whose processes are killed while the service does what they have asked for."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG, Param

from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor

with DAG(
    "create_with_a_retry",
    schedule=None,
    default_args={"retries": 1, "retry_delay": pendulum.duration(seconds=1)},
):
    create = BatchLinuxCreatePoolOperator(
        task_id="create_pool", image="ubuntu 24.04", vm_size="standard_d2s_v5", dedicated_nodes=1
    )
    created: Any = create.output
    ready = BatchLinuxNodesIdleSensor(
        task_id="nodes_idle", pool_id=created["pool_id"], poke_interval=5, timeout=300, deferrable=True
    )
    delete = BatchLinuxDeletePoolOperator(
        task_id="delete_pool",
        pool_id=created["pool_id"],
        poll_interval=pendulum.duration(seconds=5),
        deferrable=True,
    ).as_teardown(setups=create)
    create >> ready >> delete

with DAG("create_without_a_retry", schedule=None, default_args={"retries": 0}):
    BatchLinuxCreatePoolOperator(
        task_id="create_pool", image="ubuntu 24.04", vm_size="standard_d2s_v5", dedicated_nodes=1
    )

with DAG(
    "wait_with_repair",
    schedule=None,
    params={"pool_id": Param("none", type="string")},
    default_args={"retries": 0},
):
    BatchLinuxNodesIdleSensor(
        task_id="nodes_idle",
        pool_id="{{ params.pool_id }}",
        repair={"replace_unusable": True, "unusable_grace": 1},
        poke_interval=5,
        timeout=300,
        deferrable=True,
    )
