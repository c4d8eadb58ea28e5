"""Mapped tasks whose parameters hold secrets, from Variables, Connections and XComs, at all depths."""

from __future__ import annotations

import secrets
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_batchlinux.operators.node_users import BatchLinuxAddNodeUsersOperator
from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.specs import ExtensionSpec, SoftwareSpec, StartTaskSpec, UserAccountSpec

PASSWORD = "{{ conn.node_user.password }}"
DEEP = {"a": {"b": [{"c": {"d": [{"e": {"f": PASSWORD}}]}}]}}

with DAG("mapped_secrets", schedule=None):

    @task(show_return_value_in_logs=False)
    def tell() -> str:
        return f"Pw-{secrets.token_urlsafe(18)}-2"

    told: Any = tell()
    create = BatchLinuxCreatePoolOperator.partial(
        task_id="create",
        image="ubuntu 24.04",
        vm_size="standard_d2s_v5",
        start_task=StartTaskSpec("true", environment={"TOKEN": "{{ conn.short.password }}"}),
        user_accounts=[
            UserAccountSpec("etl", PASSWORD),
            UserAccountSpec("rendered", "{{ ti.xcom_pull(task_ids='tell') }}"),
            UserAccountSpec("resolved", told),
        ],
        software=SoftwareSpec(extensions=[ExtensionSpec("n", "p", "t", protected_settings=DEEP)]),
    ).expand(pool_id=["mapped-1", "mapped-2"])
    delete = BatchLinuxDeletePoolOperator.partial(task_id="delete").expand(pool_id=["mapped-1", "mapped-2"])
    add = BatchLinuxAddNodeUsersOperator.partial(
        task_id="add", username="etl", expires_in=3600, ssh_public_key="{{ var.value.mistaken_key }}"
    ).expand(pool_id=["mapped-1", "mapped-2"])
    told >> create >> add >> delete.as_teardown()
