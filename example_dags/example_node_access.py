"""
Give a colleague access to the nodes of a pool for a while: by default for two hours.

Trigger it with the pool, the colleague's public key and the number of hours. The user is on every node of
the pool until then, also on nodes that join later, and off all of them afterwards, or once somebody ends the
task `access`. The last task tells who still has access to the pool.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Param

from airflow_provider_batchlinux.operators.node_users_lease import BatchLinuxLeaseNodeUsersOperator
from airflow_provider_batchlinux.operators.user_audit import BatchLinuxAuditNodeUsersOperator

NOBODYS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPKMUM6BLqw2fqXIZ2BSMbsvVBwif3+DMyFBuwYhrXq1 nobody"

with DAG(
    "example_node_access",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    params={
        "pool_id": Param("etl", type="string", description="The pool, which is there already."),
        "username": Param("colleague", type="string", description="The Linux user's name."),
        "ssh_public_key": Param(NOBODYS_KEY, type="string", description="The colleague's public key."),
        "hours": Param(2, type="number", exclusiveMinimum=0, maximum=12, description="For how long."),
    },
    tags=["azure", "batch", "example"],
    doc_md=__doc__,
) as dag:
    # [START lease]
    access = BatchLinuxLeaseNodeUsersOperator(
        task_id="access",
        pool_id="{{ params.pool_id }}",
        username="{{ params.username }}",
        ssh_public_key="{{ params.ssh_public_key }}",
        expires_at="{{ (dag_run.start_date + macros.timedelta(hours=params.hours)).isoformat() }}",
        address="public",
        retries=2,
    )
    # [END lease]

    # [START audit]
    who = BatchLinuxAuditNodeUsersOperator(
        task_id="who_has_access", pool_ids=["{{ params.pool_id }}"], trigger_rule="all_done"
    )
    # [END audit]

    access >> who
