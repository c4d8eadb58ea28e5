"""Dags that lease a user beside the work that needs it, and end the lease in different ways."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG, Param

from airflow_provider_batchlinux.operators.node_users import BatchLinuxRemoveNodeUsersOperator
from airflow_provider_batchlinux.operators.node_users_lease import BatchLinuxLeaseNodeUsersOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator

ENDS: dict[str, dict[str, Any]] = {
    "lease_until_tasks": {"until_task_ids": ["work"]},
    "lease_until_removed": {},
}

for dag_id, options in ENDS.items():
    with DAG(
        dag_id,
        schedule=None,
        params={
            "pool_id": Param("none", type="string"),
            "username": Param("none", type="string"),
            "seconds": Param(5, type="integer"),
        },
        default_args={"retries": 0},
    ):
        lease = BatchLinuxLeaseNodeUsersOperator(
            task_id="lease",
            pool_id="{{ params.pool_id }}",
            username="{{ params.username }}",
            ssh_public_key="{{ var.value.batchlinux_public_key }}",
            expires_in=pendulum.duration(hours=1),
            poll_interval=pendulum.duration(seconds=5),
            address="private",
            **options,
        )
        work = BatchLinuxTaskOperator(
            task_id="work",
            pool_id="{{ params.pool_id }}",
            command="for second in $(seq {{ params.seconds }}); do sleep 1; done",
            poll_interval=pendulum.duration(seconds=5),
            deferrable=True,
        )
        if dag_id == "lease_until_removed":
            remove = BatchLinuxRemoveNodeUsersOperator(
                task_id="remove", pool_id="{{ params.pool_id }}", username="{{ params.username }}"
            )
            work >> remove.as_teardown(setups=work)
