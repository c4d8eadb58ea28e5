"""
Count the flights of each airport on two Linux nodes, and all flights in a command that waits for the others.

The job prepares each node before its first command: it puts the data where all commands on the node find it.
Runs unchanged on the embedded Batch service and on a real account.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_batchlinux.operators.job import BatchLinuxJobOperator
from airflow_provider_batchlinux.specs import TaskSpec
from airflow_provider_batchlinux.task_groups.pool import BatchLinuxPool

FLIGHTS = Path(__file__).parent / "flights"
DATA = "$AZ_BATCH_JOB_PREP_WORKING_DIR/flights.csv"

with (
    DAG(
        "example_job",
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        doc_md=__doc__,
        tags=["batchlinux", "example"],
    ) as dag,
    BatchLinuxPool(
        "linux", image="ubuntu 24.04", vm_size="standard_d2s_v5", dedicated_nodes=2, deferrable=True
    ) as pool,
):
    # [START job]
    count = BatchLinuxJobOperator(
        task_id="count",
        pool_id=pool.pool_id,
        preparation=TaskSpec(
            "tail -q -n +2 2013-*.csv > flights.csv",
            files={f"2013-01-0{day}.csv": str(FLIGHTS / f"2013-01-0{day}.csv") for day in (1, 2)},
        ),
        tasks=[
            TaskSpec(f"grep -c ,EWR, {DATA} > count.json", id="newark"),
            TaskSpec(f"grep -c ,JFK, {DATA} > count.json", id="kennedy"),
            TaskSpec(f"grep -c ,LGA, {DATA} > count.json", id="la-guardia"),
            TaskSpec(
                f"wc -l < {DATA} > count.json",
                id="all",
                depends_on=["newark", "kennedy", "la-guardia"],
            ),
        ],
        result_file="count.json",
        deferrable=True,
    )
    # [END job]
