"""The metrics of a pool that formulas can use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from airflow_provider_batchlinux.emulator.state.records import USABLE_NODE_STATES, Pool
from airflow_provider_batchlinux.emulator.state.store import Store

_UNMEASURED = (
    "$WallClockSeconds",
    "$MemoryBytes",
    "$DiskBytes",
    "$DiskReadBytes",
    "$DiskWriteBytes",
    "$DiskReadOps",
    "$DiskWriteOps",
    "$NetworkInBytes",
    "$NetworkOutBytes",
)
"""Always 0: all nodes share one machine, so their usage is unknown."""

MEASURED = (
    "$ActiveTasks",
    "$RunningTasks",
    "$PendingTasks",
    "$SucceededTasks",
    "$FailedTasks",
    "$CurrentDedicatedNodes",
    "$CurrentLowPriorityNodes",
    "$PreemptedNodeCount",
    "$UsableNodeCount",
    "$SampleNodeCount",
    "$TaskSlotsPerNode",
    "$CPUPercent",
    *_UNMEASURED,
)
"""The names of all metrics."""


def measure(store: Store, pool: Pool) -> Mapping[str, float]:
    """
    Return the current value of every metric of a pool.

    Assumed: a task in preparation counts as running, the CPU usage is the share of task slots in use, and
    succeeded and failed tasks are counted over all existing jobs.
    """
    metrics = {**_tasks(store, pool), **_nodes(store, pool), **dict.fromkeys(_UNMEASURED, 0)}
    return {name: float(value) for name, value in metrics.items()}


def _tasks(store: Store, pool: Pool) -> Mapping[str, float]:
    counts: Counter[Any] = Counter()
    for job in store.jobs:
        if job.pool_id.lower() == pool.id.lower():
            for (state, result, *_), number in store.tasks(job.id).counts.items():
                counts[result if state == "completed" else state] += number
    running = counts["running"] + counts["preparing"]
    return {
        "$ActiveTasks": counts["active"],
        "$RunningTasks": running,
        "$PendingTasks": counts["active"] + running,
        "$SucceededTasks": counts["success"],
        "$FailedTasks": counts["failure"],
    }


def _nodes(store: Store, pool: Pool) -> Mapping[str, float]:
    nodes = store.nodes(pool.id)
    slots = pool.spec["taskSlotsPerNode"]
    dedicated = store.count_nodes(pool.id, is_dedicated=True)
    usable = sum(number for (_, state), number in nodes.counts.items() if state in USABLE_NODE_STATES)
    busy = sum(node.running_slots for node in nodes)
    return {
        "$CurrentDedicatedNodes": dedicated,
        "$CurrentLowPriorityNodes": len(nodes) - dedicated,
        "$PreemptedNodeCount": nodes.counts[False, "preempted"],
        "$UsableNodeCount": usable,
        "$SampleNodeCount": len(nodes),
        "$TaskSlotsPerNode": slots,
        "$CPUPercent": 100 * busy / (usable * slots) if usable else 0,
    }
