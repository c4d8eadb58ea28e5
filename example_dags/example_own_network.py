"""
Run a packaged program on nodes in a virtual network of your own, made from an image of your own.

The nodes have no public IP address, so the network needs another way to Batch: a private endpoint
`nodeManagement` of the account, or a NAT gateway. The pool installs the application package `tools`; one
command also uses version 2 of it. Needs a connection with an Entra identity, and three Airflow Variables with
ARM ids: `batch_subnet_id`, `batch_image_id` (a managed image, or a version in a Compute Gallery) and
`batch_tools_id` (an application of the Batch account whose packages `1` and `2` have a program `bin/report`).
Runs unchanged on the embedded Batch service with `--tls` and on a real account.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.specs import ApplicationPackageSpec, NetworkSpec, SoftwareSpec
from airflow_provider_batchlinux.task_groups.pool import BatchLinuxPool

with (
    DAG(
        "example_own_network",
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        doc_md=__doc__,
        tags=["batchlinux", "example"],
    ) as dag,
    BatchLinuxPool(
        "private",
        image={"id": "{{ var.value.batch_image_id }}", "node_agent_sku": "batch.node.ubuntu 24.04"},
        vm_size="standard_d2s_v5",
        dedicated_nodes=2,
        network=NetworkSpec(subnet_id="{{ var.value.batch_subnet_id }}", public_ips="nopublicipaddresses"),
        software=SoftwareSpec(
            application_packages=[ApplicationPackageSpec("{{ var.value.batch_tools_id }}", version="1")]
        ),
        expires_in=pendulum.duration(hours=2),
        deferrable=True,
        timeout=1800,
    ) as pool,
):
    report = BatchLinuxTaskOperator(
        task_id="report",
        pool_id=pool.pool_id,
        command="$AZ_BATCH_APP_PACKAGE_tools_1/bin/report > report.json",
        result_file="report.json",
        deferrable=True,
    )
    newer = BatchLinuxTaskOperator(
        task_id="newer_report",
        pool_id=pool.pool_id,
        command="$AZ_BATCH_APP_PACKAGE_tools_2/bin/report > report.json",
        application_packages=[ApplicationPackageSpec("{{ var.value.batch_tools_id }}", version="2")],
        result_file="report.json",
        deferrable=True,
    )
    report >> newer
