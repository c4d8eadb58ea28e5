"""A full quota of jobs or pools is waited for, on the worker and deferred, until its limit."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_batchlinux.decorators.batch_linux import batch_linux_cmd_task, batch_linux_task
from airflow_provider_batchlinux.exceptions import BatchQuotaError
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.triggers.room import BatchLinuxRoomTrigger
from tests.airflow_harness import (
    TaskRun,
    captured_log,
    make_trigger,
    resume_task,
    run_task,
    run_trigger,
)
from tests.batch_account import BatchAccount, eventually
from tests.unit.commands import job_operator, operator
from tests.unit.triggers.test_shared_waits import Runner, run

either_way = pytest.mark.parametrize(
    "deferrable", [pytest.param(False, id="worker"), pytest.param(True, id="triggerer")]
)


def create(**options: Any) -> BatchLinuxCreatePoolOperator:
    return BatchLinuxCreatePoolOperator(
        task_id="create",
        pool_id="new",
        image="ubuntu 24.04",
        vm_size="standard_d2s_v5",
        poll_interval=0.02,
        **options,
    )


def full_of_jobs(account: BatchAccount) -> Callable[[], object]:
    """Use up the quota of active jobs, and return what frees it."""
    account.idle_pool(1)
    account.hook.run(lambda client: client.create_job({"id": "other", "poolInfo": {"poolId": "etl"}}))
    account.control.set_quota(active_jobs=1)
    return lambda: account.hook.delete_job("other")


def full_of_pools(account: BatchAccount) -> Callable[[], object]:
    """Use up the quota of pools, and return what frees it."""
    account.make_pool("other")
    account.control.set_quota(pools=1)
    return lambda: account.hook.delete_pool("other")


KINDS = pytest.mark.parametrize(
    ("fill", "make"),
    [
        pytest.param(full_of_jobs, lambda **options: operator("true", **options), id="command"),
        pytest.param(full_of_jobs, lambda **options: job_operator(tasks=["true"], **options), id="job"),
        pytest.param(full_of_pools, create, id="pool"),
    ],
)


@contextmanager
def freed_after(asked: str, account: BatchAccount, free: Callable[[], object]) -> Iterator[None]:
    """Free the quota once the service has been asked twice for what uses it."""

    def wait_and_free() -> None:
        eventually(lambda: Counter(account.requests())[asked] >= 2)
        free()

    account.control.clear_requests()
    helper = threading.Thread(target=wait_and_free)
    helper.start()
    try:
        yield
    finally:
        helper.join()


def to_end(task: Callable[[], Any]) -> TaskRun:
    """Run a task, and each of its triggers, to its end."""
    done = run_task(task())
    while done.deferral is not None:
        done = resume_task(task(), done, run_trigger(done.deferral))
    return done


@either_way
@KINDS
def test_a_create_goes_on_when_the_quota_has_room(
    account: BatchAccount, fill: Any, make: Any, deferrable: bool
) -> None:
    free = fill(account)
    listed = "GET /jobs" if fill is full_of_jobs else "GET /pools"

    with freed_after(listed, account, free):
        done = to_end(lambda: make(deferrable=deferrable))

    assert done.state == "success"


@pytest.mark.parametrize(("fill", "make"), [KINDS.args[1][0].values, KINDS.args[1][1].values])
def test_the_log_of_the_worker_tells_what_the_deferral_for_room_told(
    account: BatchAccount, fill: Any, make: Any
) -> None:
    """Airflow 3.3.2 replaces the log of a deferral by that of the next one in the same try."""
    free = fill(account)
    waiting = run_task(make(deferrable=True))
    assert waiting.deferral is not None

    with captured_log() as replaced, freed_after("GET /jobs", account, free):
        event = run_trigger(waiting.deferral)
    submitted = resume_task(make(deferrable=True), waiting, event)

    assert [line for line in replaced if "quota" in line] == [
        "The quota of active jobs of the account is full; waiting for room."
    ]
    assert "The quota of active jobs is full; waiting for room for up to 3600 s." in waiting.log
    assert "The quota of active jobs has room again" in submitted.log
    # The command may be over already.
    assert submitted.state in ("deferred", "success"), submitted.error
    assert "on pool 'etl'." in submitted.log


@KINDS
def test_a_kill_in_the_wait_for_room_asks_nothing_of_the_service_and_a_clear_runs_the_task(
    account: BatchAccount, fill: Any, make: Any
) -> None:
    free = fill(account)
    waiting = run_task(make(deferrable=True))
    assert waiting.deferral is not None
    account.control.clear_requests()

    asyncio.run(make_trigger(waiting.deferral).on_kill())

    assert account.requests() == []
    free()
    assert to_end(lambda: make(deferrable=True)).state == "success"


def run_of(run_id: Any = None) -> Any:
    return run_id


def echo_run(run_id: Any = None) -> str:
    return f"test -n '{run_id or ''}'"


@pytest.mark.parametrize(
    ("decorator", "function"), [(batch_linux_task, run_of), (batch_linux_cmd_task, echo_run)]
)
def test_a_function_that_waited_for_room_has_its_arguments(
    account: BatchAccount, decorator: Any, function: Any
) -> None:
    free = full_of_jobs(account)
    with DAG("rooms", schedule=None):
        task = decorator(pool_id="etl", poll_interval=0.05, deferrable=True)(function)().operator

    with freed_after("GET /jobs", account, free):
        done = to_end(lambda: task)

    assert done.state == "success", done.error
    assert done.result


@either_way
@KINDS
def test_after_its_limit_the_task_fails_with_the_remedy(
    account: BatchAccount, fill: Any, make: Any, deferrable: bool
) -> None:
    fill(account)

    done = to_end(lambda: make(deferrable=deferrable, quota_limit=0.2))

    assert isinstance(done.error, BatchQuotaError)
    assert "of the account stayed full for quota_limit. " in done.message
    assert "or ask for a higher " in done.message


@KINDS
def test_without_a_limit_it_fails_at_the_first_refusal(account: BatchAccount, fill: Any, make: Any) -> None:
    fill(account)

    done = run_task(make(deferrable=True, quota_limit=None))

    assert isinstance(done.error, BatchQuotaError)


def test_the_deadline_of_the_command_is_its_own_after_a_wait_for_room(account: BatchAccount) -> None:
    free = full_of_jobs(account)
    waiting = run_task(operator("sleep 600", deferrable=True))
    assert waiting.deferral is not None
    assert waiting.deferral.trigger_kwargs["limited_by"] == "quota_limit"
    free()
    eventually(lambda: account.jobs() == [])
    account.control.set_quota(active_jobs=2)

    async def fire() -> Any:
        trigger = BatchLinuxRoomTrigger(**waiting.deferral.trigger_kwargs)  # type: ignore[union-attr]
        return {
            "version": trigger.version,
            "trigger": trigger.serialize()[0],
            "arguments": trigger.serialize()[1],
            "result": {"room": "jobs"},
            "error": None,
        }

    running = resume_task(operator("sleep 600", deferrable=True), waiting, asyncio.run(fire()))

    assert running.deferral is not None
    assert running.deferral.trigger_kwargs["deadline"] is None


def test_waits_for_room_share_one_request_and_only_as_many_go_on_as_there_is_room(
    account: BatchAccount,
) -> None:
    full_of_jobs(account)
    account.control.clear_requests()

    async def scenario(runner: Runner) -> int:
        for _ in range(30):
            runner.start(
                BatchLinuxRoomTrigger(
                    kind="jobs", batch_linux_conn_id="azure_batch_linux_default", poll_interval=0.5
                )
            )
        while account.requests().count("GET /jobs") < 2:
            await asyncio.to_thread(account.control.now)
        await asyncio.to_thread(account.hook.delete_job, "other")
        await asyncio.wait(runner.tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in runner.tasks:
            task.cancel()
        await asyncio.gather(*runner.tasks, return_exceptions=True)
        return len(runner.payloads())

    assert run(scenario) == 1
    assert account.requests().count("GET /jobs") <= 6
