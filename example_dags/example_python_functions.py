"""
Estimate pi by Python functions on two Linux nodes, one call for each seed, and average the estimates.

The functions need no Airflow and no package on the nodes. Runs unchanged on the embedded Batch service and on
a real account.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, task

from airflow_provider_batchlinux.task_groups.pool import BatchLinuxPool

with DAG(
    "example_python_functions",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    doc_md=__doc__,
    tags=["batchlinux", "example"],
) as dag:
    # [START python_function]
    with BatchLinuxPool(
        "linux", image="ubuntu 24.04", vm_size="standard_d2s_v5", dedicated_nodes=2, deferrable=True
    ) as pool:

        @task.batch_linux(
            pool_id=pool.pool_id, deferrable=True, map_index_template="seed {{ task.op_kwargs['seed'] }}"
        )
        def estimate(seed: int, points: int) -> float:
            """Return an estimate of pi, from points that are drawn at random."""
            import random

            draw = random.Random(seed).random
            inside = sum(draw() ** 2 + draw() ** 2 < 1 for _ in range(points))
            print(f"seed {seed}: {inside} of {points} points are inside the circle")
            return 4 * inside / points

        estimates = estimate.partial(points=20_000).expand(seed=[1, 2, 3, 4])
    # [END python_function]

    @task
    def average(values: list[float]) -> float:
        """Return the mean of all estimates."""
        numbers = list(values)
        return sum(numbers) / len(numbers)

    average(estimates)
