"""
A pipeline of containers: count the flights of each day in one job, then add up the counts in another.

Each node of the pool pulls the image once. The embedded Batch service runs commands as processes, unless it
is started with --containers docker or podman. Runs unchanged there and on a real account.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_batchlinux.operators.job import BatchLinuxJobOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.specs import ContainerSpec, TaskContainerSpec, TaskSpec
from airflow_provider_batchlinux.task_groups.pool import BatchLinuxPool

FLIGHTS = Path(__file__).parent / "flights"
DAYS = ["2013-01-01.csv", "2013-01-02.csv"]
IMAGE = "python:3.12-slim"

with (
    DAG(
        "example_containers",
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        doc_md=__doc__,
        tags=["batchlinux", "example"],
    ) as dag,
    BatchLinuxPool(
        "linux",
        image="ubuntu-hpc 24.04",
        vm_size="standard_d2s_v5",
        dedicated_nodes=2,
        containers=ContainerSpec(images=[IMAGE]),
        deferrable=True,
    ) as pool,
):
    # [START containers]
    count = BatchLinuxJobOperator(
        task_id="count",
        pool_id=pool.pool_id,
        container=IMAGE,
        command="python3 -c 'print(sum(1 for _ in open(0)) - 1)' < day.csv > rows.json",
        tasks=[TaskSpec(files={"day.csv": str(FLIGHTS / day)}) for day in DAYS],
        result_file="rows.json",
        deferrable=True,
    )
    total = BatchLinuxTaskOperator(
        task_id="total",
        pool_id=pool.pool_id,
        container=TaskContainerSpec(IMAGE, run_options="--read-only --network none"),
        command="python3 -c 'import json, os; print(sum(json.loads(os.environ[\"ROWS\"])))' > total.json",
        # More than about a thousand records are in no XCom: results_to writes them to a file.
        environment={
            "ROWS": "{{ ti.xcom_pull('linux.count')['records'] | map(attribute='result') | list | tojson }}"
        },
        result_file="total.json",
        deferrable=True,
    )
    # [END containers]
    count >> total
