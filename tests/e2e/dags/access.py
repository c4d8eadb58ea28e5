"""Dags that give people access to nodes of an existing pool, and end it while nodes are away."""

from __future__ import annotations

import time
from typing import Any

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param

from airflow_provider_batchlinux.client.transport.clock import ServiceClock
from airflow_provider_batchlinux.operators.node_users import (
    BatchLinuxAddNodeUsersOperator,
    BatchLinuxAuditNodeUsersOperator,
    BatchLinuxRemoveNodeUsersOperator,
)
from airflow_provider_batchlinux.operators.node_users_lease import BatchLinuxLeaseNodeUsersOperator

PARAMS: dict[str, Any] = {
    "pool_id": Param("none", type="string"),
    "username": Param("none", type="string"),
    "seconds": Param(3600, type="integer"),
    "until": Param("/dev/null", type="string"),
}
USER: dict[str, Any] = {
    "pool_id": "{{ params.pool_id }}",
    "username": "{{ params.username }}",
    "ssh_public_key": "{{ var.value.batchlinux_public_key }}",
    "expires_in": "{{ params.seconds }}",
}
AHEAD = 600
"""Seconds that the clock of a wrong machine is ahead."""


def set_clock_wrong(_context: Any) -> None:
    """Let the provider read a clock that is ahead, on this worker only."""
    ServiceClock.__init__.__defaults__ = (lambda: time.time() + AHEAD,)


QUICK: dict[str, Any] = {"poll_interval": pendulum.duration(seconds=3)}


def removal(**options: Any) -> BatchLinuxRemoveNodeUsersOperator:
    """Give a removal of the user from one node after the other, which waits for a file."""
    wait = BashOperator(task_id="wait", bash_command="until [ -e {{ params.until }} ]; do sleep 0.3; done")
    remove = BatchLinuxRemoveNodeUsersOperator(
        task_id="remove",
        pool_id="{{ params.pool_id }}",
        username="{{ params.username }}",
        max_concurrency=1,
        **options,
    )
    wait >> remove
    return remove


for dag_id, retries in {"access_leased": 0, "access_leased_and_retried": 1}.items():
    with DAG(
        dag_id,
        schedule=None,
        params=PARAMS,
        default_args={"retries": retries, "retry_delay": pendulum.duration(seconds=20)},
    ):
        # Without retries, the lease stays for nodes that are away; with one, it fails and is tried again.
        limit = pendulum.duration(days=1) if retries == 0 else pendulum.duration(seconds=1)
        BatchLinuxLeaseNodeUsersOperator(
            task_id="lease", address="private", owed_limit=limit, **USER, **QUICK
        )

with DAG("access_leased_and_removed", schedule=None, params=PARAMS, default_args={"retries": 0}):
    BatchLinuxLeaseNodeUsersOperator(task_id="lease", address="private", **USER, **QUICK)
    removal(deferrable=True, **QUICK)

with DAG("access_added_and_removed", schedule=None, params=PARAMS, default_args={"retries": 0}):
    add = BatchLinuxAddNodeUsersOperator(task_id="add", address="private", deferrable=True, **USER)
    removal(deferrable=True, **QUICK) << add

with DAG("access_added", schedule=None, params=PARAMS, default_args={"retries": 0}):
    BatchLinuxAddNodeUsersOperator(task_id="add", address="private", max_concurrency=1, **USER)

with DAG("access_audited", schedule=None, params=PARAMS, default_args={"retries": 0}):
    BatchLinuxAuditNodeUsersOperator(task_id="audit", pool_ids=["{{ params.pool_id }}"], revoke=True)

with DAG("access_by_a_wrong_clock", schedule=None, params=PARAMS, default_args={"retries": 0}):
    options: dict[str, Any] = {"pre_execute": set_clock_wrong, "trigger_rule": "all_done"}
    audit = BatchLinuxAuditNodeUsersOperator(
        task_id="audit", pool_ids=["{{ params.pool_id }}"], revoke=True, **options
    )
    remove = BatchLinuxRemoveNodeUsersOperator(
        task_id="remove", pool_id="{{ params.pool_id }}", username="{{ params.username }}", **options
    )
    take = BatchLinuxAddNodeUsersOperator(task_id="take", address="private", **USER, **options)
    audit >> remove >> take
