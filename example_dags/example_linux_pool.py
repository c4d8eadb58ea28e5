"""
Create a pool of two dedicated nodes and a Spot node, add a user, run a command, and delete the pool.

Runs unchanged on the embedded Batch service and on a real account; only the connection differs. To log in,
set the Airflow variable `batchlinux_public_key` to your public key. The example key below has no private key.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_batchlinux.operators.node_users import (
    BatchLinuxAddNodeUsersOperator,
    BatchLinuxRemoveNodeUsersOperator,
)
from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor

EXAMPLE_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPKMUM6BLqw2fqXIZ2BSMbsvVBwif3+DMyFBuwYhrXq1 example"

with DAG(
    "example_linux_pool",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 2, "retry_delay": pendulum.duration(seconds=10)},
    doc_md=__doc__,
    tags=["batchlinux", "example"],
) as dag:
    # [START create_pool]
    create = BatchLinuxCreatePoolOperator(
        task_id="create_pool",
        image="ubuntu 24.04",
        vm_size="standard_d2s_v5",
        dedicated_nodes=2,
        spot_nodes=1,
        start_task='python3 --version && mkdir -p "$AZ_BATCH_NODE_SHARED_DIR/cache"',
        ssh_from=["203.0.113.0/24"],
        expires_in=pendulum.duration(hours=6),
    )
    # [END create_pool]
    pool_id = create.output["pool_id"]

    # [START nodes_idle]
    ready = BatchLinuxNodesIdleSensor(
        task_id="nodes_idle", pool_id=pool_id, deferrable=True, poke_interval=5, timeout=1800
    )
    # [END nodes_idle]

    # [START node_users]
    add_users = BatchLinuxAddNodeUsersOperator(
        task_id="add_users",
        pool_id=pool_id,
        username="etl",
        ssh_public_key="{{ var.value.get('batchlinux_public_key', params.example_key) }}",
        expires_in=pendulum.duration(hours=6),
        params={"example_key": EXAMPLE_KEY},
    )
    remove_users = BatchLinuxRemoveNodeUsersOperator(
        task_id="remove_users", pool_id=pool_id, username="etl"
    ).as_teardown(setups=add_users)
    # [END node_users]

    # [START task]
    work = BatchLinuxTaskOperator(
        task_id="work",
        pool_id=pool_id,
        command="""
            echo "Node $AZ_BATCH_NODE_ID of run {{ run_id }}"
            for step in 1 2 3 4 5; do echo "step $step of 5"; sleep 1; done
        """,
        poll_interval=pendulum.duration(seconds=5),
        deferrable=True,
    )
    # [END task]

    # [START delete_pool]
    delete = BatchLinuxDeletePoolOperator(
        task_id="delete_pool",
        pool_id=pool_id,
        poll_interval=pendulum.duration(seconds=5),
        deferrable=True,
    ).as_teardown(setups=create)
    # [END delete_pool]

    create >> ready >> add_users >> work >> remove_users >> delete
