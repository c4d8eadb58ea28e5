"""
Dags with one command on an existing pool, for each way to wait for it.

The command writes its job and its process into the file `ledger` when it begins, which of the processes
written down before it still runs, and its job when it has done all its work. It prints a line each second.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG, Param

from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator

COMMAND = """
for earlier in $(sed -n 's/^process //p' {{ params.ledger }}); do
    kill -0 $earlier && echo "met $earlier" >> {{ params.ledger }}
done
echo "process $$" >> {{ params.ledger }}
echo "began $AZ_BATCH_JOB_ID" >> {{ params.ledger }}
echo "Working on $AZ_BATCH_NODE_ID"
for second in $(seq {{ params.seconds }}); do echo "second $second"; sleep 1; done
echo "finished $AZ_BATCH_JOB_ID" >> {{ params.ledger }}
"""

WAYS: dict[str, dict[str, Any]] = {
    "deferred_command": {"deferrable": True},
    "last_try_of_a_command": {"deferrable": True, "retries": 0},
    "blocking_command": {"deferrable": False},
    "overdue_command": {
        "deferrable": True,
        "execution_timeout": pendulum.duration(seconds=12),
        "retries": 0,
    },
}

for dag_id, options in WAYS.items():
    with DAG(
        dag_id,
        schedule=None,
        params={
            "pool_id": Param("none", type="string"),
            "ledger": Param("/dev/null", type="string"),
            "seconds": Param(5, type="integer"),
        },
        default_args={"retries": 1, "retry_delay": pendulum.duration(seconds=1)},
    ):
        BatchLinuxTaskOperator(
            task_id="work",
            pool_id="{{ params.pool_id }}",
            command=COMMAND,
            poll_interval=pendulum.duration(seconds=5),
            **options,
        )
