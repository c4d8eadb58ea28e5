"""
Train a model with 500 sets of parameters on two Linux nodes, as one job, and find the best.

One Airflow task submits all commands in a few requests and waits for them; a retry runs only those that have
failed or never ran. Runs unchanged on the embedded Batch service and on a real account.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pendulum
from airflow.sdk import DAG, task

from airflow_provider_batchlinux.operators.job import BatchLinuxJobOperator
from airflow_provider_batchlinux.task_groups.pool import BatchLinuxPool

with DAG(
    "example_parameter_sweep",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    doc_md=__doc__,
    tags=["batchlinux", "example"],
) as dag:
    # [START sweep]
    with BatchLinuxPool(
        "linux",
        image="ubuntu 24.04",
        vm_size="standard_d2s_v5",
        dedicated_nodes=2,
        task_slots_per_node=8,
        deferrable=True,
    ) as pool:
        sweep = BatchLinuxJobOperator(
            task_id="sweep",
            pool_id=pool.pool_id,
            # A stand-in for "python3 train.py --rate {item.rate} --depth {item.depth}".
            command="echo $(( ({item.rate} - 17) ** 2 + ({item.depth} - 4) ** 2 )) > loss.json",
            items=[{"rate": rate, "depth": depth} for rate, depth in product(range(50), range(10))],
            result_file="loss.json",
            deferrable=True,
        )
    # [END sweep]

    @task
    def best(swept: dict[str, Any]) -> str:
        """Return the id of the command with the smallest loss, which names its parameters."""
        return min(swept["records"], key=lambda record: record["result"])["id"]

    best(sweep.output)
