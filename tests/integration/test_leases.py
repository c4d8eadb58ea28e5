"""Leases in a Dag run through Airflow's own code: one that ends by its time, one by the work before it."""

from __future__ import annotations

from typing import Any

import asyncssh
import pendulum
from airflow.sdk import DAG

from airflow_provider_batchlinux.operators.node_users import BatchLinuxAuditNodeUsersOperator
from airflow_provider_batchlinux.operators.node_users_lease import BatchLinuxLeaseNodeUsersOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from tests.airflow_harness import run_dag, xcom_of
from tests.unit.logins import lets_in

PACE: dict[str, Any] = {"pool_id": "etl", "poll_interval": 0.05}


def lease(task_id: str, public_key: str, **options: Any) -> BatchLinuxLeaseNodeUsersOperator:
    options.update(username=task_id, ssh_public_key=public_key)
    return BatchLinuxLeaseNodeUsersOperator(task_id=task_id, **PACE, **options)


def test_leases_end_by_time_and_by_tasks_and_leave_no_user(account):
    key = asyncssh.generate_private_key("ssh-ed25519")
    public_key = key.export_public_key().decode()
    account.idle_pool(2, ssh=True)
    with DAG("leases", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as dag:
        work = BatchLinuxTaskOperator(task_id="work", command="true", **PACE)
        timed = lease("timed", public_key, expires_in=pendulum.duration(seconds=2))
        bound = lease("bound", public_key, expires_in=pendulum.duration(hours=1), until_task_ids=["work"])
        audit = BatchLinuxAuditNodeUsersOperator(task_id="audit")
        work >> [timed, bound] >> audit

    run = run_dag(dag)

    assert str(run.state) == "success"
    [by_time], [by_tasks], [audited] = (xcom_of(run, name) for name in ("timed", "bound", "audit"))
    assert (by_time["ended"], by_tasks["ended"]) == ("expired", "tasks over")
    assert audited == {"users": [], "overdue": 0, "revoked": 0, "owed": [], "open_pools": []}
    assert {name: lets_in(account, name, client_keys=[key]) for name in ("timed", "bound")} == {
        "timed": set(),
        "bound": set(),
    }
