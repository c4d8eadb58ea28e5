"""The calls that faults are tried on, each through Airflow: two ways to wait, and what changes a pool."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from airflow_provider_batchlinux.operators.nodes import BatchLinuxRebootNodesOperator
from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.operators.pool_size import BatchLinuxResizePoolOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import Deferral, TaskRun, resume_task, run_task, run_to_end, run_trigger
from tests.batch_account import BatchAccount, eventually
from tests.delays import NODE_REBOOTED, NODE_REIMAGED, NODES_IDLE
from tests.faults import meanwhile

Call = Callable[..., TaskRun]

PATIENCE = 60.0
"""Seconds of real time after which a wait of a test gives up; none comes near it."""


def nodes_sensor(**options: Any) -> BatchLinuxNodesIdleSensor:
    """Make the sensor of the pool ``etl``."""
    given = {"pool_id": "etl", "poke_interval": 0.02, "timeout": PATIENCE, **options}
    return BatchLinuxNodesIdleSensor(task_id="nodes", **given)


def poke(**options: Any) -> TaskRun:
    """Wait for the nodes on the worker."""
    return run_to_end(nodes_sensor(**options))


def nodes_deferral(**options: Any) -> Deferral:
    """Give what the deferred sensor leaves for the triggerer."""
    sensor = nodes_sensor(**options)
    trigger = sensor.trigger(time.time() + sensor.timeout)
    return Deferral(*trigger.serialize(), timeout=None, next_method="execute_complete")


def defer(**options: Any) -> TaskRun:
    """Wait for the nodes on the triggerer, with no look on the worker before."""
    deferral = nodes_deferral(**options)
    deferred = TaskRun("deferred", None, {}, {}, "", deferral)
    return resume_task(nodes_sensor(**options), deferred, run_trigger(deferral))


def creating(**options: Any) -> BatchLinuxCreatePoolOperator:
    """Make the operator that creates the pool ``etl`` with one node."""
    request = {"pool_id": "etl", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5", "dedicated_nodes": 1}
    return BatchLinuxCreatePoolOperator(task_id="create", **{**request, **options})


def create(**options: Any) -> TaskRun:
    """Create the pool."""
    return run_task(creating(**options))


def delete() -> TaskRun:
    """Delete the pool, and wait on the triggerer until it is gone."""
    delete = BatchLinuxDeletePoolOperator(
        task_id="delete", pool_id="etl", poll_interval=0.02, timeout=PATIENCE, deferrable=True
    )
    return run_to_end(delete)


def resizing(**options: Any) -> BatchLinuxResizePoolOperator:
    """Make the operator that gives the pool ``etl`` two nodes."""
    given = {"dedicated_nodes": 2, "poll_interval": 0.02, "timeout": PATIENCE, "deferrable": True}
    return BatchLinuxResizePoolOperator(task_id="resize", pool_id="etl", **{**given, **options})


def resize() -> TaskRun:
    """Resize the pool, and wait on the triggerer until it has its nodes."""
    return run_to_end(resizing())


def rebooting(**options: Any) -> BatchLinuxRebootNodesOperator:
    """Make the operator that reboots the nodes of the pool ``etl``."""
    given = {"poll_interval": 0.02, "timeout": PATIENCE, "deferrable": True}
    return BatchLinuxRebootNodesOperator(task_id="reboot", pool_id="etl", **{**given, **options})


def reboot() -> TaskRun:
    """Reboot the pool's nodes, and wait on the triggerer until they are back."""
    return run_to_end(rebooting())


WAITS = [pytest.param(poke, id="poking"), pytest.param(defer, id="deferred")]
CALLS = [
    *WAITS,
    # The deletion comes last: one that the service does late must not meet the pool of the next.
    *(pytest.param(call, id=call.__name__) for call in (create, resize, reboot, delete)),
]


def prepare(call: Call, account: BatchAccount) -> None:
    """Make what a call needs to be there."""
    if call is not create:
        account.idle_pool(1)
    account.control.clear_requests()


def assert_done(call: Call, run: TaskRun, account: BatchAccount) -> None:
    """Assert that a call did all that it was to do, once."""
    assert run.state == "success", run.message
    assert account.pools() == ([] if call is delete else ["etl"])
    if call is create:
        assert len(account.nodes()) == 1
    if call is resize:
        assert len(account.nodes()) == 2
    if call is reboot:
        assert run.result == {"pool_id": "etl", "done": 1, "gone": 0}


@contextmanager
def once_waiting(account: BatchAccount, *events: Callable[[], object]) -> Iterator[None]:
    """Let things happen while the block waits, each after a few more looks of the wait."""
    account.control.clear_requests()

    def happen() -> None:
        for event in events:
            enough = len(account.requests()) + _LOOKED
            eventually(partial(has_looked, enough))
            event()

    def has_looked(enough: int) -> bool:
        return len(account.requests()) >= enough

    with meanwhile(happen):
        yield


_LOOKED = 4
"""Requests by which a wait has surely looked more than once."""


def come_up(account: BatchAccount) -> None:
    """Let the time pass in which nodes that were requested, rebooted or reimaged become idle."""
    account.control.advance(max(NODES_IDLE, NODE_REBOOTED, NODE_REIMAGED))
