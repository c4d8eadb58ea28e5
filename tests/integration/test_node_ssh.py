"""Logins to nodes in a Dag run, from the Dag file to the end."""

from __future__ import annotations

import base64
from typing import Any

import pendulum
from airflow.providers.ssh.operators.ssh import SSHOperator
from airflow.sdk import DAG

from airflow_provider_batchlinux.hooks.node_ssh import BatchLinuxNodeSSHHook
from airflow_provider_batchlinux.operators.node_ssh import BatchLinuxRunOnNodesOperator
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import run_dag, xcom_of


def test_airflows_own_operator_looks_at_what_a_task_did_on_a_node(account):
    with DAG("logins", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as dag:
        create = BatchLinuxCreatePoolOperator(
            task_id="create",
            image="ubuntu 24.04",
            vm_size="standard_d2s_v5",
            dedicated_nodes=1,
            ssh_from=["203.0.113.0/24"],
        )
        output: Any = create.output
        pool_id = output["pool_id"]
        ready = BatchLinuxNodesIdleSensor(task_id="ready", pool_id=pool_id, poke_interval=0.02)
        work = BatchLinuxTaskOperator(
            task_id="work",
            pool_id=pool_id,
            command="echo done > $AZ_BATCH_NODE_SHARED_DIR/report",
            poll_interval=0.02,
        )
        look = SSHOperator(
            task_id="look",
            ssh_hook=BatchLinuxNodeSSHHook(pool_id, "{{ ti.xcom_pull('work')['node_id'] }}"),
            command="cat $AZ_BATCH_NODE_SHARED_DIR/report",
        )
        everywhere = BatchLinuxRunOnNodesOperator(
            task_id="everywhere", pool_id=pool_id, command="cat $AZ_BATCH_NODE_SHARED_DIR/report"
        )
        ready >> work >> look >> everywhere

    run = run_dag(dag)

    assert run.state == "success"
    [said] = xcom_of(run, "look")
    assert base64.b64decode(said) == b"done\n"
    [result] = xcom_of(run, "everywhere")
    assert [node["stdout"] for node in result["nodes"]] == ["done\n"]
