"""What the sensor tells Airflow's metrics."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_batchlinux import _metrics
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from airflow_provider_batchlinux.sensors.pool import BatchLinuxPoolSteadySensor
from tests.airflow_harness import captured_log, resume_task, run_task, run_to_end, run_trigger
from tests.conftest import set_connection

TIMELINE = {"to_steady": 60.0, "to_first_idle": 90.0, "to_ready": None, "node_hours": 1.5}
TAGS = {"dag_id": "etl", "task_id": "nodes", "pool_state": "steady"}


class Backend:
    """What a metrics backend got."""

    def __init__(self, error: Exception | None = None) -> None:
        self.got: dict[str, Any] = {}
        self.tags: dict[str, Any] = {}
        self.error = error

    def timing(self, name: str, dt: timedelta, *, tags: dict[str, str]) -> None:
        self._take(name, dt, tags)

    def gauge(self, name: str, value: float, *, tags: dict[str, str]) -> None:
        self._take(name, value, tags)

    def incr(self, name: str, count: int = 1, *, tags: dict[str, str]) -> None:
        self._take(name, self.got.get(name, 0) + count, tags)

    def _take(self, name: str, value: Any, tags: dict[str, str]) -> None:
        if self.error is not None:
            raise self.error
        self.got[name], self.tags[name] = value, tags


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Backend]:
    def use(error: Exception | None = None) -> Backend:
        made = Backend(error)
        monkeypatch.setattr(_metrics, "_stats", lambda: made)
        return made

    return use


def test_a_timeline_becomes_metrics_and_what_is_not_known_does_not(backend: Callable[..., Backend]) -> None:
    made = backend()
    _metrics.report_timeline(TIMELINE, TAGS, repairs=2)

    assert made.got == {
        "batchlinux.pool.time_to_steady": timedelta(seconds=60),
        "batchlinux.pool.time_to_first_idle": timedelta(seconds=90),
        "batchlinux.pool.node_hours": 1.5,
        "batchlinux.pool.repairs": 2,
    }
    assert all(tags == TAGS for tags in made.tags.values())


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_sensor_reports_once_its_nodes_are_ready(account, backend, deferrable):
    made = backend()
    account.idle_pool(1)
    run = run_to_end(BatchLinuxNodesIdleSensor(task_id="nodes", pool_id="etl", deferrable=deferrable))

    assert made.got["batchlinux.pool.time_to_ready"].total_seconds() == run.result["timeline"]["to_ready"]
    assert made.tags["batchlinux.pool.time_to_ready"] == {
        "dag_id": "harness",
        "task_id": "nodes",
        "pool_state": "steady",
    }
    assert "batchlinux.pool.waits_failed" not in made.got


def wait(sensor: Any = BatchLinuxNodesIdleSensor, **options: Any) -> Any:
    return sensor(task_id="nodes", pool_id="etl", poke_interval=0.02, **options)


def kinds(made: Backend) -> list[str]:
    """Give the kind of the one failure that was counted, if any."""
    if FAILED not in made.got:
        return []
    assert made.got[FAILED] == 1
    tags = made.tags[FAILED]
    assert (tags.pop("dag_id"), tags.pop("task_id")) == ("harness", "nodes")
    return list(tags.values())


FAILED = "batchlinux.pool.waits_failed"
WAYS = pytest.mark.parametrize("deferrable", [False, True])


@WAYS
@pytest.mark.parametrize("soft", [{}, {"soft_fail": True}])
def test_a_wait_whose_time_is_over_is_counted(slow_account, backend, deferrable, soft):
    made = backend()
    slow_account.make_pool(dedicated=1)

    run = run_to_end(wait(deferrable=deferrable, timeout=0.1, **soft))

    assert run.state == ("skipped" if soft else "failed")
    assert kinds(made) == ["timeout"]


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("sensor", [BatchLinuxNodesIdleSensor, BatchLinuxPoolSteadySensor])
@pytest.mark.parametrize(("options", "state"), [({}, "failed"), ({"never_fail": True}, "skipped")])
@WAYS
def test_a_wait_for_a_pool_that_is_not_there_is_counted(backend, sensor, options, state, deferrable):
    made = backend()

    assert run_task(wait(sensor, deferrable=deferrable, **options)).state == state
    assert kinds(made) == ["not_ready"]


def test_a_failure_that_the_trigger_meets_is_counted(slow_account, backend):
    made = backend()
    slow_account.make_pool(dedicated=1)
    run = run_task(wait(deferrable=True))
    assert run.deferral is not None
    assert kinds(made) == []
    slow_account.hook.delete_pool("etl")

    assert resume_task(wait(deferrable=True), run, run_trigger(run.deferral)).state == "failed"
    assert kinds(made) == ["not_ready"]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        pytest.param(403, "AuthenticationFailed", "authentication", id="who it is"),
        pytest.param(400, "InvalidPropertyValue", "refused", id="what it asks"),
        pytest.param(503, None, "unreachable", id="no answer"),
    ],
)
def test_a_refusal_is_counted_by_its_kind(account, backend, monkeypatch, status, code, kind):
    made = backend()
    set_connection(monkeypatch, account.service, retry_budget=0)
    account.control.inject(times=None, status=status, code=code)

    assert run_task(wait()).state == "failed"
    assert kinds(made) == [kind]


def test_a_wrong_argument_is_counted_as_any_error(account, backend):
    made = backend()

    assert run_task(wait(ready="many")).state == "failed"
    assert kinds(made) == ["error"]


def test_a_wait_that_is_to_be_looked_at_again_is_no_failure(slow_account, backend):
    made = backend()
    slow_account.make_pool(dedicated=1)

    assert run_task(wait(mode="reschedule")).state == "up_for_reschedule"
    assert kinds(made) == []


@pytest.mark.parametrize("error", [socket.gaierror("no such host"), RuntimeError("out of order")])
def test_a_backend_that_fails_does_not_fail_the_task(account, backend, error):
    backend(error)
    account.idle_pool(1)

    run = run_to_end(BatchLinuxNodesIdleSensor(task_id="nodes", pool_id="etl"))

    assert run.state == "success"
    assert f"The metrics could not be sent: {error}" in run.log


def test_this_airflow_takes_the_metrics() -> None:
    with captured_log() as log:
        _metrics.report_timeline(TIMELINE, TAGS, repairs=2)

    assert [line for line in log if "could not be sent" in line] == []
