"""Dags that use the operators together: passing on ids, mapping, and taking the pool away after a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pendulum
import pytest
from airflow.models import Connection
from airflow.sdk import DAG
from airflow.utils.session import create_session
from sqlalchemy import delete

from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import migrated_database, run_dag, xcom_of
from tests.batch_account import eventually

PACE: dict[str, Any] = {"poll_interval": 0.05}


def create_pool(**options: Any) -> BatchLinuxCreatePoolOperator:
    defaults = {"image": "ubuntu 24.04", "vm_size": "standard_d2s_v5", "dedicated_nodes": 1}
    return BatchLinuxCreatePoolOperator(**{"task_id": "create", **defaults, **options})


def id_of(create: BatchLinuxCreatePoolOperator) -> Any:
    output: Any = create.output
    return output["pool_id"]


def new_dag(dag_id: str) -> DAG:
    return DAG(dag_id, schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"))


def states(run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


@pytest.fixture
def stored_connection(connection: str) -> Iterator[str]:
    """Give a connection that is in Airflow's database, and not in the environment."""
    migrated_database()
    value = os.environ[f"AIRFLOW_CONN_{connection.upper()}"]
    with create_session() as session:
        session.add(Connection.from_json(value, conn_id="stored"))
    yield "stored"
    with create_session() as session:
        session.execute(delete(Connection).where(Connection.conn_id == "stored"))


@pytest.mark.parametrize("deferrable", [pytest.param(False, id="worker"), pytest.param(True, id="triggerer")])
def test_a_pool_is_taken_away_after_a_failure_in_the_middle(account, stored_connection, deferrable):
    ours = {"batch_linux_conn_id": stored_connection}
    with DAG(f"failing_{deferrable}", schedule=None, default_args=ours) as dag:
        create = create_pool()
        pool_id = id_of(create)
        ready = BatchLinuxNodesIdleSensor(
            task_id="ready", pool_id=pool_id, poke_interval=0.05, deferrable=deferrable
        )
        work = BatchLinuxTaskOperator(
            task_id="work", pool_id=pool_id, command="exit 3", deferrable=deferrable, **PACE
        )
        more = BatchLinuxTaskOperator(task_id="more", pool_id=pool_id, command="true", **PACE)
        gone = BatchLinuxDeletePoolOperator(
            task_id="delete", pool_id=pool_id, deferrable=deferrable, **PACE
        ).as_teardown(setups=create)
        create >> ready >> work >> more >> gone

    run = run_dag(dag)

    assert str(run.state) == "failed"
    assert states(run) == {
        "create": "success",
        "ready": "success",
        "work": "failed",
        "more": "upstream_failed",
        "delete": "success",
    }
    assert account.pools() == []
    eventually(lambda: account.jobs() == [])


def test_commands_are_mapped_over_a_list(account):
    with new_dag("mapped") as dag:
        create = create_pool(dedicated_nodes=2)
        work = BatchLinuxTaskOperator.partial(
            task_id="work", pool_id=id_of(create), result_file="r.json", **PACE
        ).expand(command=[f"echo {number} > r.json" for number in range(3)])
        create >> work

    run = run_dag(dag)

    results = xcom_of(run, "work")
    assert [result["result"] for result in results] == [0, 1, 2]
    assert len({result["job_id"] for result in results}) == 3


def test_pools_are_mapped_over_a_list(account):
    with new_dag("mapped_pools") as dag:
        BatchLinuxCreatePoolOperator.partial(task_id="create", image="ubuntu 24.04").expand(
            vm_size=["standard_d2s_v5", "standard_d4s_v5"]
        )

    run = run_dag(dag)

    assert sorted(xcom_of(run, "create", "pool_id")) == sorted(account.pools())
    assert len(account.pools()) == 2
