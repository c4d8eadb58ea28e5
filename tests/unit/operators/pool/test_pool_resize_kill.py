"""A resize whose task is killed: what it has asked for is stopped, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time.xcom import XCom

from airflow_provider_batchlinux.client.pools import resize as pool_resize
from airflow_provider_batchlinux.core.snapshots import PoolSnapshot
from airflow_provider_batchlinux.operators.pool_size import BatchLinuxResizePoolOperator
from tests.airflow_harness import RUN_ID, TaskRun, captured_log, end_deferral, make_trigger, run_task
from tests.batch_account import BatchAccount


def resize(**options: Any) -> BatchLinuxResizePoolOperator:
    defaults = {"task_id": "resize", "pool_id": "etl", "poll_interval": 0.02, "timeout": 20}
    return BatchLinuxResizePoolOperator(**{**defaults, "dedicated_nodes": 3, **options})


@pytest.fixture
def pool(slow_account: BatchAccount) -> BatchAccount:
    """Give an account with a steady pool of one node, which takes a minute for each resize."""
    slow_account.make_pool(dedicated=1)
    slow_account.control.advance(60)
    return slow_account


def found(account: BatchAccount) -> PoolSnapshot:
    pool = account.hook.find_pool("etl")
    assert pool is not None
    return pool


def stops(account: BatchAccount) -> int:
    return sum(request.endswith("/stopresize") for request in account.requests())


class _KillAt(logging.Handler):
    def __init__(self, text: str, after: Callable[[], object]) -> None:
        super().__init__()
        self._text = text
        self._after = after

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            logging.getLogger().removeHandler(self)
            os.kill(os.getpid(), signal.SIGTERM)
            # Airflow would end the process now. Here it goes on, so time does too.
            self._after()


def killed_while_resizing(account: BatchAccount, *, to: int = 3, **options: Any) -> TaskRun:
    """Run the task, and send the signal that Airflow kills a worker with once the pool resizes."""
    handler = _KillAt(f"is resizing: 1 of {to} nodes", lambda: account.control.advance(60))
    logging.getLogger().addHandler(handler)
    try:
        return run_task(resize(**options))
    finally:
        logging.getLogger().removeHandler(handler)


def deferred_trigger(**options: Any) -> Any:
    """Leave the resize to the triggerer, and give the trigger as that makes it."""
    run = run_task(resize(deferrable=True, **options))
    assert run.deferral is not None, run.message
    trigger = make_trigger(run.deferral)
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="resize", run_id=RUN_ID, map_index=-1)
    return trigger


def kill(trigger: Any) -> str:
    """Tell a trigger that its task was killed, and give the log."""
    with captured_log() as log:
        asyncio.run(trigger.on_kill())
    return "\n".join(log)


class TestOnTheWorker:
    def test_a_kill_stops_the_resize_and_keeps_the_nodes(self, pool):
        run = killed_while_resizing(pool)

        assert stops(pool) == 1
        assert "Pool 'etl': its resize is stopped at 1 of 3 nodes." in run.log
        assert (found(pool).allocation_state, found(pool).current) == ("steady", 1)
        assert "ResizeStopped" in run.message

    def test_a_kill_leaves_the_resize_where_that_is_said(self, pool):
        run = killed_while_resizing(pool, stop_on_kill=False)

        assert run.state == "success"
        assert stops(pool) == 0

    def test_a_task_that_has_not_asked_yet_stops_nothing(self, pool):
        run_task(resize(wait=False, dedicated_nodes=2))

        killed_while_resizing(pool, to=2, timeout=0.2)

        assert stops(pool) == 0

    def test_a_refusal_of_the_service_is_logged(self, pool):
        pool.control.inject("POST", "/stopresize$", status=409, code="OperationInvalidForCurrentState")

        run = killed_while_resizing(pool)

        assert "Pool 'etl': its resize could not be stopped and may go on: Could not stop" in run.log
        assert found(pool).current == 3

    def test_a_service_that_does_not_answer_does_not_block_the_kill(self, pool, monkeypatch):
        monkeypatch.setattr(pool_resize, "_STOP_LIMIT", 0.1)
        pool.control.inject("POST", "/stopresize$", times=None, drop="before")

        run = killed_while_resizing(pool)

        assert "could not be stopped and may go on" in run.log


class TestOnTheTriggerer:
    def test_a_kill_stops_the_resize_and_keeps_the_nodes(self, pool, tasks_are):
        trigger = deferred_trigger()
        tasks_are(resize="failed")

        log = kill(trigger)

        assert "Pool 'etl': its resize is stopped at 1 of 3 nodes." in log
        pool.control.advance(60)
        assert (found(pool).allocation_state, found(pool).current, found(pool).target) == ("steady", 1, 3)

    def test_a_task_that_is_alive_keeps_its_resize(self, pool, tasks_are):
        trigger = deferred_trigger()
        tasks_are(resize="deferred")
        pool.control.clear_requests()

        kill(trigger)

        assert pool.requests() == []

    def test_a_task_that_is_marked_as_a_success_leaves_the_resize_to_go_on(self, pool, tasks_are):
        trigger = deferred_trigger()
        tasks_are(resize="success")

        kill(trigger)

        assert stops(pool) == 0

    def test_a_kill_leaves_the_resize_where_that_is_said(self, pool, tasks_are):
        trigger = deferred_trigger(stop_on_kill=False)
        tasks_are(resize="failed")
        pool.control.clear_requests()

        kill(trigger)

        assert pool.requests() == []

    def test_a_resize_that_the_trigger_itself_asked_for_is_stopped(self, pool, tasks_are):
        run_task(resize(wait=False, dedicated_nodes=2))
        trigger = deferred_trigger()
        tasks_are(resize="failed")
        assert not trigger.asked
        pool.control.advance(60)

        assert pool.hook.run(lambda client: trigger.run_on_worker(client, block=False)) is None
        kill(trigger)

        assert trigger.serialize()[1]["requested_at"] is not None
        assert stops(pool) == 1

    def test_a_resize_that_a_lost_trigger_asked_for_is_stopped_by_its_task(self, pool, monkeypatch):
        run_task(resize(wait=False, dedicated_nodes=2))
        deferred = run_task(resize(deferrable=True))
        assert deferred.deferral is not None
        trigger = make_trigger(deferred.deferral)
        trigger.task_instance = SimpleNamespace(dag_id="d", task_id="resize", run_id=RUN_ID, map_index=-1)
        monkeypatch.setattr(XCom, "set", lambda key, value, **_whose: deferred.xcoms.update({key: value}))
        pool.control.advance(60)
        assert pool.hook.run(lambda client: trigger.run_on_worker(client, block=False)) is None

        ended = end_deferral(resize(deferrable=True), deferred, "Trigger failure")

        assert ended.state == "failed"
        assert stops(pool) == 1

    def test_a_trigger_that_has_not_asked_yet_stops_nothing(self, pool, tasks_are):
        run_task(resize(wait=False, dedicated_nodes=2))
        trigger = deferred_trigger()
        tasks_are(resize="failed")
        pool.control.clear_requests()

        kill(trigger)

        assert pool.requests() == []

    def test_a_resize_that_is_over_is_nothing_to_stop(self, pool, tasks_are):
        trigger = deferred_trigger()
        tasks_are(resize="failed")
        pool.control.advance(60)

        log = kill(trigger)

        assert "no longer running, so nothing is stopped" in log
        assert stops(pool) == 0

    @pytest.mark.parametrize("dedicated", [pytest.param(5, id="other"), pytest.param(3, id="the same")])
    def test_a_later_resize_of_another_client_continues(self, pool, tasks_are, dedicated):
        trigger = deferred_trigger()
        tasks_are(resize="failed")
        pool.hook.run(lambda client: client.stop_resize("etl"))
        pool.control.advance(60)
        run_task(resize(wait=False, dedicated_nodes=dedicated))
        pool.control.clear_requests()

        kill(trigger)

        assert stops(pool) == 0
        assert found(pool).allocation_state == "resizing"

    def test_a_pool_that_is_gone_is_nothing_to_stop(self, pool, tasks_are):
        trigger = deferred_trigger()
        tasks_are(resize="failed")
        pool.hook.delete_pool("etl")
        pool.control.advance(60)

        assert "nothing is stopped" in kill(trigger)
