"""
Once a day, remove what is no longer used, and report images that are about to reach end of support.

A pool is removed after its expiry, or without one when the Dag runs that use it have ended. Jobs are removed
when their Dag run has ended, and users of nodes after their time.

The sweep is a dry run unless the Dag's parameter `delete` is true. Use the same connection as the Dags that
create the pools, and set up an alert for failures of this Dag.
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
    params={
        "delete": Param(False, type="boolean", description="Remove what is unused; otherwise only report it.")
    },
    tags=["batchlinux", "example"],
    doc_md=__doc__,
) as dag:
    # [START maintenance]
    BatchLinuxSweepPoolsOperator(task_id="sweep_pools", delete="{{ params.delete }}", retries=2)
    BatchLinuxCheckImagesOperator(task_id="check_images", warn_before=pendulum.duration(weeks=8))
    # [END maintenance]
