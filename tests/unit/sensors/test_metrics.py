"""What the sensor tells Airflow's metrics."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_batchlinux.sensors import _metrics
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import captured_log, run_to_end

TIMELINE = {"to_steady": 60.0, "to_first_idle": 90.0, "to_ready": None, "node_hours": 1.5}


class Backend:
    """What a metrics backend got."""

    def __init__(self, error: Exception | None = None) -> None:
        self.got: dict[str, Any] = {}
        self.error = error

    def timing(self, name: str, dt: timedelta) -> None:
        if self.error is not None:
            raise self.error
        self.got[name] = dt

    def gauge(self, name: str, value: float) -> None:
        self.got[name] = value


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Backend]:
    def use(error: Exception | None = None) -> Backend:
        made = Backend(error)
        monkeypatch.setattr(_metrics, "_stats", lambda: made)
        return made

    return use


def test_a_timeline_becomes_metrics_and_what_is_not_known_does_not(backend: Callable[..., Backend]) -> None:
    made = backend()
    _metrics.report_timeline(TIMELINE, repairs=2)

    assert made.got == {
        "batchlinux.pool.time_to_steady": timedelta(seconds=60),
        "batchlinux.pool.time_to_first_idle": timedelta(seconds=90),
        "batchlinux.pool.node_hours": 1.5,
        "batchlinux.pool.repairs": 2,
    }


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_sensor_reports_once_its_nodes_are_ready(account, backend, deferrable):
    made = backend()
    account.idle_pool(1)
    run = run_to_end(BatchLinuxNodesIdleSensor(task_id="nodes", pool_id="etl", deferrable=deferrable))

    assert made.got["batchlinux.pool.time_to_ready"].total_seconds() == run.result["timeline"]["to_ready"]


@pytest.mark.parametrize("error", [socket.gaierror("no such host"), RuntimeError("out of order")])
def test_a_backend_that_fails_does_not_fail_the_task(account, backend, error):
    backend(error)
    account.idle_pool(1)

    run = run_to_end(BatchLinuxNodesIdleSensor(task_id="nodes", pool_id="etl"))

    assert run.state == "success"
    assert f"The pool's metrics could not be sent: {error}" in run.log


def test_this_airflow_takes_the_metrics() -> None:
    with captured_log() as log:
        _metrics.report_timeline(TIMELINE, repairs=2)

    assert [line for line in log if "could not be sent" in line] == []
