"""Dags that add users to an existing pool, with secrets that must not be shown anywhere."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Param

from airflow_provider_batchlinux.operators.node_users import BatchLinuxAddNodeUsersOperator

with DAG(
    "secret_users",
    schedule=None,
    params={"pool_id": Param("none", type="string")},
    default_args={"retries": 0, "expires_in": pendulum.duration(hours=1)},
):
    BatchLinuxAddNodeUsersOperator(
        task_id="with_password",
        pool_id="{{ params.pool_id }}",
        username="guest",
        password="{{ conn.node_user.password }}",
    )
    BatchLinuxAddNodeUsersOperator(
        task_id="with_private_key",
        pool_id="{{ params.pool_id }}",
        username="guest",
        ssh_public_key="{{ var.value.mistaken_key }}",
    )
