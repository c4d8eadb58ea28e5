"""Dags whose runs share one pool: each reuses it, works until a file is there, and tears it down."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import DAG, Param

from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor

OPTIONS: dict[str, Any] = {
    "params": {"until": Param("/dev/null", type="string")},
    "default_args": {"retries": 0, "deferrable": True},
}

RETRIED = {**OPTIONS, "default_args": {"retries": 2, "retry_delay": timedelta(seconds=1), "deferrable": True}}


def share(pool_name: str) -> None:
    """Add the tasks of a run."""
    create = BatchLinuxCreatePoolOperator(
        task_id="create_pool",
        pool_id=pool_name,
        image="ubuntu 24.04",
        vm_size="standard_d2s_v5",
        dedicated_nodes=2,
        expires_in=pendulum.duration(hours=1),
    )
    created: Any = create.output
    pool_id = created["pool_id"]
    ready = BatchLinuxNodesIdleSensor(
        task_id="nodes_idle", pool_id=pool_id, poke_interval=5, timeout=600, running_is_ready=True
    )
    work = BatchLinuxTaskOperator(
        task_id="work", pool_id=pool_id, command="until [ -e {{ params.until }} ]; do sleep 0.2; done"
    )
    delete = BatchLinuxDeletePoolOperator(task_id="delete_pool", pool_id=pool_id)
    create >> ready >> work >> delete.as_teardown(setups=create)


with DAG("shared_pool", schedule=None, **OPTIONS):
    share("shared")

# All of its days are past, so that only a backfill runs it. A busy scheduler may lose a deferral (3.3.2).
FIRST, LAST = pendulum.datetime(2026, 1, 1), pendulum.datetime(2026, 1, 31)
with DAG("backfilled", schedule="@daily", start_date=FIRST, end_date=LAST, catchup=False, **RETRIED):
    share("backfilled")
