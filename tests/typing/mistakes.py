"""
Mistakes in a Dag that type checkers see before Airflow does; nothing runs this.

An ignored error that is none is an error itself, so each line here proves that its mistake is seen.
"""

from __future__ import annotations

from airflow_provider_batchlinux.decorators.batch_linux import batch_linux_cmd_task, batch_linux_task
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor

BatchLinuxCreatePoolOperator(task_id="a", image="ubuntu", vm_size="d2", network="vnet")  # type: ignore[arg-type]
BatchLinuxCreatePoolOperator(task_id="a", image="ubuntu", vm_size="d2", ssh_from="10.0.0.0/8")  # type: ignore[arg-type]
BatchLinuxNodesIdleSensor(task_id="a", pool_id=None)  # type: ignore[arg-type]
BatchLinuxNodesIdleSensor(task_id="a", pool_id="p", on_timeout="panic")  # type: ignore[arg-type]
BatchLinuxTaskOperator(task_id="a", pool_id="p", command=["ls", "-l"])  # type: ignore[arg-type]
BatchLinuxTaskOperator(task_id="a", pool_id="p", command="ls", delete_job="sometimes")  # type: ignore[arg-type]


@batch_linux_task(pool_id="p")
def double(number: int) -> int:
    return 2 * number


double("two")  # type: ignore[arg-type]
batch_linux_cmd_task(pool_id="p")(double.function)  # type: ignore[arg-type]
