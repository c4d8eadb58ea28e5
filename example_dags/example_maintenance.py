"""
Look after an account once a day: sweep the pools that were left behind, and tell of images that end.

The sweep only tells what it would delete, until the Dag's parameter `delete` is true. Run it with the same
connection as the Dags that make pools; alert on its failures.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Param

from airflow_provider_batchlinux.operators.images import BatchLinuxCheckImagesOperator
from airflow_provider_batchlinux.operators.sweeper import BatchLinuxSweepPoolsOperator

with DAG(
    "example_maintenance",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    params={"delete": Param(False, type="boolean", description="Delete what may go; else only tell.")},
    tags=["azure", "batch", "example"],
    doc_md=__doc__,
) as dag:
    BatchLinuxSweepPoolsOperator(task_id="sweep_pools", delete="{{ params.delete }}", retries=2)
    BatchLinuxCheckImagesOperator(task_id="check_images", warn_before=pendulum.duration(weeks=8))
