"""
Sum meter readings from blob to blob: one command writes them, the next one reads them and writes the totals.

Node and storage speak directly; Airflow sees only the names of the blobs. Both blobs are Assets, so that
other Dags can be scheduled by them (`schedule=[TOTALS]`). Needs the extra `storage`, a connection
`wasb_default` to a storage account, and a container `airflow-example` there. Runs unchanged on the embedded
Batch service and on a real account.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, task

from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.specs import OutputSpec
from airflow_provider_batchlinux.task_groups.pool import BatchLinuxPool

READINGS = Asset("abfs://airflow-example/raw/readings.csv")
TOTALS = Asset("abfs://airflow-example/clean/totals.csv")

WRITE = """
python3 - <<'END'
import csv

with open("readings.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["meter", "hour", "watt_hours"])
    rows.writerows([f"meter-{n % 250:03}", n // 250, n * 7919 % 4001] for n in range(200_000))
END
"""

SUM = """
python3 - <<'END'
import csv
import json
from collections import Counter

totals = Counter()
with open("readings.csv", newline="") as file:
    for number, row in enumerate(csv.DictReader(file), 1):
        totals[row["meter"]] += int(row["watt_hours"])
with open("totals.csv", "w", newline="") as file:
    csv.writer(file).writerows([["meter", "watt_hours"], *sorted(totals.items())])
with open("counts.json", "w") as file:
    json.dump({"readings": number, "meters": len(totals), "watt_hours": totals.total()}, file)
END
"""


@task
def check(result: dict[str, Any]) -> dict[str, int]:
    """Compare what the nodes counted with what the readings must give."""
    counts: dict[str, int] = result["result"]
    expected = sum(n * 7919 % 4001 for n in range(200_000))
    if counts != {"readings": 200_000, "meters": 250, "watt_hours": expected}:
        msg = f"The nodes counted {counts}; the readings have {expected} watt-hours."
        raise ValueError(msg)
    return counts


with (
    DAG(
        "example_blobs",
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        doc_md=__doc__,
        tags=["batchlinux", "example"],
    ) as dag,
    BatchLinuxPool(
        "linux",
        image="ubuntu 24.04",
        vm_size="standard_d2s_v5",
        dedicated_nodes=1,
        expires_in=pendulum.duration(hours=2),
        deferrable=True,
        timeout=1800,
    ) as pool,
):
    # [START blobs]
    write = BatchLinuxTaskOperator(
        task_id="write",
        pool_id=pool.pool_id,
        command=WRITE,
        outputs={"readings.csv": READINGS},
        time_limit=pendulum.duration(minutes=10),
        deferrable=True,
    )
    summed = BatchLinuxTaskOperator(
        task_id="sum",
        pool_id=pool.pool_id,
        command=SUM,
        inputs={"readings.csv": READINGS},
        outputs={
            "totals.csv": TOTALS,
            "../std*.txt": OutputSpec("abfs://airflow-example/logs/", upload_on="completion"),
        },
        result_file="counts.json",
        time_limit=pendulum.duration(minutes=10),
        deferrable=True,
    )
    # [END blobs]
    write >> summed
    check(summed.output)
