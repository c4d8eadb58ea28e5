"""
Sum a week of flights on three Linux nodes, one task for each day, and check the totals.

Each task sends one CSV file to a node, runs `transform.py` there, and returns the file that it writes through
XCom. Runs unchanged on the embedded Batch service and on a real account.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, task

from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.task_groups.pool import BatchLinuxPool

FLIGHTS = Path(__file__).parent / "flights"


@task
def extract() -> list[dict[str, str]]:
    """Return, for each day, the files that its task needs: the data and the program."""
    program = str(FLIGHTS / "transform.py")
    days = sorted(FLIGHTS.glob("*.csv"))
    return [{"flights.csv": str(day), "transform.py": program} for day in days]


@task
def load(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum the results of all days, and compare the totals with the input files."""
    totals: Counter[str] = Counter()
    nodes = set()
    for result in results:
        nodes.add(result["node_id"])
        for carrier in result["result"].values():
            totals.update(carrier)
    rows = [row for day in FLIGHTS.glob("*.csv") for row in csv.DictReader(day.open(newline=""))]
    expected = {
        "flights": len(rows),
        "miles": sum(int(r["distance"]) for r in rows if r["air_time"] != "NA"),
    }
    found = {name: totals[name] for name in expected}
    if found != expected:
        msg = f"The nodes counted {found}; the files hold {expected}."
        raise ValueError(msg)
    return {**totals, "days": len(results), "nodes": len(nodes)}


with (
    DAG(
        "example_etl",
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        default_args={"retries": 2, "retry_delay": pendulum.duration(seconds=10)},
        doc_md=__doc__,
        tags=["batchlinux", "example"],
    ) as dag,
    BatchLinuxPool(
        "linux",
        image="ubuntu 24.04",
        vm_size="standard_d2s_v5",
        dedicated_nodes=1,
        spot_nodes=2,
        expires_in=pendulum.duration(hours=2),
        deferrable=True,
        timeout=1800,
    ) as pool,
):
    # [START mapped_task]
    transform = BatchLinuxTaskOperator.partial(
        task_id="transform",
        pool_id=pool.pool_id,
        command="python3 transform.py flights.csv totals.json",
        result_file="totals.json",
        map_index_template="{{ task.files['flights.csv'].split('/') | last }}",
        poll_interval=pendulum.duration(seconds=5),
        deferrable=True,
    ).expand(files=extract())
    # [END mapped_task]
    load(transform.output)
