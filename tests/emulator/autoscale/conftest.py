"""What tests of formulas stand on: a scene at a fixed time, measured every 30 seconds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_batchlinux.emulator.autoscale import Scene
from airflow_provider_batchlinux.emulator.autoscale.metrics import Sample

MONDAY_MORNING = datetime(2026, 11, 23, 9, 30, 5, 250_000, tzinfo=timezone.utc)
METRICS = (
    "$PendingTasks",
    "$ActiveTasks",
    "$RunningTasks",
    "$CurrentDedicatedNodes",
    "$CurrentLowPriorityNodes",
    "$PreemptedNodeCount",
    "$UsableNodeCount",
    "$TaskSlotsPerNode",
    "$CPUPercent",
)

MakeScene = Callable[..., Scene]


@pytest.fixture
def scene() -> MakeScene:
    """Give a function that makes a scene; metrics are named without their dollar."""

    def make(
        samples: int = 0,
        now: datetime = MONDAY_MORNING,
        dedicated: int = 0,
        spot: int = 0,
        **metrics: float,
    ) -> Scene:
        values = dict.fromkeys(METRICS, 0.0) | {f"${name}": float(value) for name, value in metrics.items()}
        taken = [now - timedelta(seconds=30 * back) for back in reversed(range(samples))]
        history = [Sample(instant, values) for instant in taken]
        return Scene(now, dedicated, spot, values, history, lambda: 0.25)

    return make
