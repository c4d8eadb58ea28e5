"""Triggerers and workers that die, and Dag runs that meet: nothing is made twice, nothing is left behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_batchlinux.operators.nodes import (
    BatchLinuxDeallocateNodesOperator,
    BatchLinuxRebootNodesOperator,
    BatchLinuxReimageNodesOperator,
)
from airflow_provider_batchlinux.operators.pool import BatchLinuxDeletePoolOperator
from airflow_provider_batchlinux.operators.pool_size import BatchLinuxResizePoolOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from tests.airflow_harness import (
    Deferral,
    ExecutionApi,
    TaskRun,
    make_trigger,
    resume_task,
    run_task,
    run_trigger,
)
from tests.batch_account import LIMIT, BatchAccount, eventually
from tests.conftest import set_connection
from tests.delays import EMPTY_POOL_DELETED, POOL_RESIZED, POOL_SETTLED
from tests.faults import meanwhile
from tests.integration.scenarios import (
    come_up,
    create,
    creating,
    nodes_deferral,
    nodes_sensor,
    once_waiting,
    rebooting,
)
from tests.unit.commands import Loop

RUNS = 4


def restart_triggerer(deferral: Deferral, account: BatchAccount, *, asked: str | None = None) -> Deferral:
    """
    Run a trigger until it has looked, end it as a triggerer that stops does, and store it again.

    :param asked: the end of a request that it has to have asked by then; ``None`` for any look.
    """
    trigger = make_trigger(deferral)
    account.control.clear_requests()

    async def begin_and_stop() -> None:
        waiting = asyncio.ensure_future(anext(trigger.run()))
        until = time.monotonic() + LIMIT
        while not _has_looked(await asyncio.to_thread(account.requests), asked):
            assert time.monotonic() < until
            assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        await trigger.cleanup()
        if closing := asyncio.all_tasks() - {asyncio.current_task()}:
            _, left = await asyncio.wait(closing, timeout=LIMIT)
            assert not left, "Something of the wait goes on."

    asyncio.run(begin_and_stop())
    classpath, kwargs = trigger.serialize()
    assert kwargs == deferral.trigger_kwargs
    return Deferral(classpath, kwargs, deferral.timeout, deferral.next_method)


def _has_looked(requests: list[str], asked: str | None) -> bool:
    if asked is None:
        return len(requests) >= 3
    return any(request.endswith(asked) for request in requests)


def finish(operator: Any, deferred: TaskRun, deferral: Deferral) -> TaskRun:
    """Run a trigger to its end, and the rest of its task."""
    return resume_task(operator, deferred, run_trigger(deferral))


def changes(account: BatchAccount) -> list[str]:
    """List the requests that changed something."""
    return [asked for asked in account.requests() if not asked.startswith(("GET", "HEAD"))]


def deferred_by(operator: Any) -> tuple[TaskRun, Deferral]:
    """Run a task until it defers."""
    run = run_task(operator)
    assert run.deferral is not None, run.message
    return run, run.deferral


def test_a_restarted_triggerer_goes_on_to_wait_for_nodes(slow_account: BatchAccount) -> None:
    slow_account.make_pool(dedicated=1)
    sensor = nodes_sensor(deferrable=True)
    deferred, deferral = deferred_by(sensor)

    for _ in range(2):
        deferral = restart_triggerer(deferral, slow_account)
        assert changes(slow_account) == []
    with once_waiting(slow_account, lambda: come_up(slow_account)):
        run = finish(sensor, deferred, deferral)

    assert run.result["nodes"] == {"idle": 1}
    assert changes(slow_account) == []


def test_a_restarted_triggerer_goes_on_to_wait_for_a_deletion(slow_account: BatchAccount) -> None:
    slow_account.make_pool()
    operator = BatchLinuxDeletePoolOperator(
        task_id="delete", pool_id="etl", deferrable=True, poll_interval=0.02
    )
    deferred, deferral = deferred_by(operator)

    deferral = restart_triggerer(deferral, slow_account)
    assert changes(slow_account) == []
    with once_waiting(slow_account, lambda: slow_account.control.advance(EMPTY_POOL_DELETED)):
        run = finish(operator, deferred, deferral)

    assert run.result.items() >= {"pool_id": "etl", "deleted": True}.items()
    assert changes(slow_account) == []


def test_a_restarted_triggerer_does_not_ask_for_a_resize_again(slow_account: BatchAccount) -> None:
    slow_account.make_pool(dedicated=0)
    slow_account.control.advance(POOL_SETTLED)
    operator = BatchLinuxResizePoolOperator(
        task_id="resize", pool_id="etl", dedicated_nodes=2, deferrable=True, poll_interval=0.02
    )
    deferred, deferral = deferred_by(operator)

    deferral = restart_triggerer(deferral, slow_account)
    assert changes(slow_account) == []
    with once_waiting(slow_account, lambda: slow_account.control.advance(POOL_RESIZED)):
        run = finish(operator, deferred, deferral)

    assert run.state == "success", run.message
    assert changes(slow_account) == []
    assert len(slow_account.nodes()) == 2


def test_a_restarted_triggerer_does_not_reboot_nodes_again(slow_account: BatchAccount) -> None:
    slow_account.make_pool(dedicated=2)
    come_up(slow_account)
    slow_account.wait_for_nodes({"idle": 2})
    operator = rebooting()
    deferred, deferral = deferred_by(operator)

    for _ in range(2):
        deferral = restart_triggerer(deferral, slow_account)
        assert changes(slow_account) == []
    with once_waiting(slow_account, lambda: come_up(slow_account)):
        run = finish(operator, deferred, deferral)

    assert run.result == {"pool_id": "etl", "done": 2, "gone": 0}
    assert changes(slow_account) == []


def test_a_restarted_triggerer_goes_on_with_a_repair(account: BatchAccount) -> None:
    create(dedicated_nodes=2)
    account.wait_for_nodes({"idle": 2})
    account.put_node("unusable")
    # The pool does not grow back immediately, so that the restarts fall into the time between.
    account.control.inject("POST", "/resize$", times=20, status=409, code="PoolBeingResized")
    sensor = nodes_sensor(deferrable=True, repair={"replace_unusable": True, "unusable_grace": 0.001})
    account.control.clear_requests()
    deferred, deferral = deferred_by(sensor)
    done = changes(account)

    for _ in range(2):
        deferral = restart_triggerer(deferral, account, asked="/resize")
        done += changes(account)
    account.control.clear_requests()
    run = finish(sensor, deferred, deferral)

    steps = [asked.rpartition("/")[2] for asked in [*done, *changes(account)] if asked.startswith("POST")]
    assert list(dict.fromkeys(steps)) == ["removenodes", "resize"]
    assert steps.count("removenodes") == 1
    assert run.result["nodes"] == {"idle": 2}
    assert run.result["repairs"] == 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"delay": 0.5}, id="before the service removes the node"),
        pytest.param({"hold": 0.5}, id="before the service answers"),
    ],
)
def test_a_triggerer_restarted_during_a_removal_removes_the_node_once_and_grows_the_pool_back(
    account: BatchAccount, fault: Mapping[str, Any]
) -> None:
    create(dedicated_nodes=2)
    account.wait_for_nodes({"idle": 2})
    lost = account.put_node("unusable")
    account.control.inject("POST", "/removenodes$", **fault)
    waiting = {"repair": {"replace_unusable": True, "unusable_grace": 0.001}}
    deferral = nodes_deferral(**waiting)

    deferral = restart_triggerer(deferral, account, asked="/removenodes")
    done = changes(account)
    account.control.clear_requests()
    run = finish(nodes_sensor(**waiting), TaskRun("deferred", None, {}, {}, "", deferral), deferral)

    steps = [asked.rpartition("/")[2] for asked in [*done, *changes(account)] if asked.startswith("POST")]
    assert steps == ["removenodes", "resize"]
    assert run.result["nodes"] == {"idle": 2}
    assert run.result["repairs"] == 1
    assert lost not in {node.node_id for node in account.nodes()}


@pytest.mark.parametrize(
    ("cls", "verb"),
    [
        pytest.param(BatchLinuxRebootNodesOperator, "reboot", id="reboot"),
        pytest.param(BatchLinuxReimageNodesOperator, "reimage", id="reimage"),
        pytest.param(BatchLinuxDeallocateNodesOperator, "deallocate", id="deallocate"),
    ],
)
def test_a_node_that_was_asked_though_the_answer_is_lost_is_waited_for(
    slow_account: BatchAccount, monkeypatch: pytest.MonkeyPatch, cls: Any, verb: str
) -> None:
    set_connection(monkeypatch, slow_account.service, retry_budget=20)
    slow_account.make_pool(dedicated=1)
    come_up(slow_account)
    slow_account.wait_for_nodes({"idle": 1})
    slow_account.control.inject("POST", f"/{verb}$", drop="after")
    operator = cls(task_id="act", pool_id="etl", deferrable=True, poll_interval=0.02)

    deferred, deferral = deferred_by(operator)
    with once_waiting(slow_account, lambda: come_up(slow_account)):
        run = finish(operator, deferred, deferral)

    assert run.result == {"pool_id": "etl", "done": 1, "gone": 0}


def test_a_restarted_triggerer_goes_on_to_wait_for_a_command(account: BatchAccount, tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    account.idle_pool(1)
    operator = BatchLinuxTaskOperator(
        task_id="work", pool_id="etl", command=loop.command, deferrable=True, poll_interval=0.02
    )
    deferred, deferral = deferred_by(operator)
    loop.wait_until_started()

    deferral = restart_triggerer(deferral, account)
    assert changes(account) == []
    assert loop.runs()
    loop.go.touch()
    run = finish(operator, deferred, deferral)

    assert run.state == "success", run.message
    assert len(loop.pids()) == 1
    eventually(lambda: account.jobs() == [])


@pytest.mark.parametrize(
    "request_", [pytest.param({}, id="its own id"), pytest.param({"pool_id": None}, id="a derived id")]
)
def test_a_worker_that_dies_before_the_answer_to_its_create_leaves_one_pool(
    account: BatchAccount, monkeypatch: pytest.MonkeyPatch, request_: Mapping[str, Any]
) -> None:
    set_connection(monkeypatch, account.service, retry_budget=0)
    account.control.inject("POST", "/pools$", drop="after")

    dead = run_task(creating(**request_), api=ExecutionApi(resume={"max_tries": 1}))
    after = account.pools()
    again = run_task(creating(**request_), try_number=2)

    assert dead.state == "failed"
    assert len(after) == 1
    assert again.state == "success", again.message
    assert again.result["created"] is False
    assert account.pools() == after == [again.result["pool_id"]]


def test_a_create_that_the_service_does_after_all_is_recognised(
    account: BatchAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_batchlinux.client.transport.session.READ_TIMEOUT", 0.2)
    set_connection(monkeypatch, account.service, retry_budget=20)
    # The first request is worked on only after its client has given up and asked again.
    account.control.inject("POST", "/pools$", delay=0.5)

    run = create()
    eventually(lambda: account.requests().count("POST /pools") == 2)

    assert run.state == "success", run.message
    assert account.pools() == ["etl"]
    assert len(account.nodes()) == 1


def context_of(run_id: str) -> Any:
    """Give what an operator needs to know of the Dag run it is in."""
    ti = SimpleNamespace(
        dag_id="etl",
        run_id=run_id,
        task_id="create",
        map_index=-1,
        try_number=1,
        max_tries=1,
        xcom_push=lambda **_pushed: None,
    )
    return {"ti": ti, "run_id": run_id}


def create_at_once(numbers: range, **options: Any) -> list[dict[str, Any]]:
    """Create the same pool from several Dag runs at the same moment, and give what each returned."""
    together = Barrier(len(numbers))

    def one(number: int) -> dict[str, Any]:
        operator = creating(expires_in=3600 + number, **options)
        together.wait(LIMIT)
        return operator.execute(context_of(f"run {number}"))

    with ThreadPoolExecutor(len(numbers)) as threads:
        return list(threads.map(one, numbers))


def test_dag_runs_that_create_the_same_pool_at_once_share_one(
    account: BatchAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_connection(monkeypatch, account.service, retry_budget=60)

    results = create_at_once(range(RUNS))

    assert sorted(result["created"] for result in results) == [False] * (RUNS - 1) + [True]
    assert {result["pool_id"] for result in results} == {"etl"}
    assert account.pools() == ["etl"]
    assert len(account.nodes()) == 1


def test_dag_runs_that_want_different_pools_of_one_id_get_one_and_a_refusal(account: BatchAccount) -> None:
    first = create()

    with meanwhile(lambda: create_at_once(range(1))):
        second = create(dedicated_nodes=2)

    assert first.state == "success"
    assert type(second.error).__name__ == "BatchConflictError"
    assert len(account.nodes()) == 1
