"""A mapped task that writes a report for each region, and a Dag that runs when all of them are there."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator

REGIONS = [Asset(f"abfs://reports/{region}.txt") for region in ("north", "south")]

with DAG("reports", schedule=None):
    BatchLinuxTaskOperator.partial(
        task_id="write",
        pool_id="workbench",
        command="echo done > report.txt",
        deferrable=True,
    ).expand(outputs=[{"report.txt": region} for region in REGIONS])

with DAG("all_reports", schedule=REGIONS):

    @task
    def read(**context: Any) -> list[str]:
        """Return the reports that this run was started by."""
        return sorted(asset.uri for asset in context["triggering_asset_events"])

    read()
