"""Telling Airflow's metrics how a pool's nodes came to be; a metric never fails a task."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from typing import Any

__all__ = ["NODE_HOURS", "REPAIRS", "TIMINGS", "report_timeline"]

log = logging.getLogger(__name__)

TIMINGS = {
    "to_steady": "batchlinux.pool.time_to_steady",
    "to_first_idle": "batchlinux.pool.time_to_first_idle",
    "to_ready": "batchlinux.pool.time_to_ready",
}
"""The metric of each span of a timeline."""

NODE_HOURS = "batchlinux.pool.node_hours"
REPAIRS = "batchlinux.pool.repairs"


def report_timeline(timeline: Mapping[str, float | None], repairs: int | None = None) -> None:
    """
    Send a timeline to the backend that ``[metrics]`` in Airflow's configuration names.

    :param repairs: how many repairs the pool has had; ``None`` where nobody repairs it.
    """
    try:
        stats = _stats()
        for name, metric in TIMINGS.items():
            seconds = timeline.get(name)
            if seconds is not None:
                stats.timing(metric, timedelta(seconds=seconds))
        stats.gauge(NODE_HOURS, timeline.get("node_hours") or 0.0)
        if repairs is not None:
            stats.gauge(REPAIRS, repairs)
    except Exception as error:  # the backend is anybody's code, and the nodes are ready whatever it does
        log.warning("The pool's metrics could not be sent: %s", error)


def _stats() -> Any:
    try:
        return import_module("airflow.sdk.observability.stats").Stats
    except ImportError:  # Airflow 3.1
        return import_module("airflow.stats").Stats
