"""
Give a colleague access to the nodes of a pool for a limited time, by default two hours.

Trigger it with the pool id, the colleague's public key and the number of hours. Until then the user exists on
every node of the pool, including nodes that join later. Afterwards, or when you end the task `access`, the
user is removed from all nodes. The last task reports who still has access to the pool.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Param

from airflow_provider_batchlinux.operators.node_users import BatchLinuxAuditNodeUsersOperator
from airflow_provider_batchlinux.operators.node_users_lease import BatchLinuxLeaseNodeUsersOperator

EXAMPLE_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPKMUM6BLqw2fqXIZ2BSMbsvVBwif3+DMyFBuwYhrXq1 example"

with DAG(
    "example_node_access",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    params={
        "pool_id": Param("etl", type="string", description="An existing pool."),
        "username": Param("colleague", type="string", description="Name of the Linux user."),
        "ssh_public_key": Param(EXAMPLE_KEY, type="string", description="The colleague's public key."),
        "hours": Param(
            2, type="number", exclusiveMinimum=0, maximum=12, description="Duration of the access."
        ),
    },
    tags=["batchlinux", "example"],
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
