"""The trigger of a command, when Airflow tells it that its task was killed: rightly, or not."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseTrigger

from tests.airflow_harness import RUN_ID, TaskRun, make_trigger, run_task
from tests.batch_account import eventually
from tests.unit.commands import Loop, defer, finish_job, job_operator

pytestmark = pytest.mark.skipif(
    not hasattr(BaseTrigger, "on_kill"), reason="This Airflow tells no trigger that its task was killed."
)


@pytest.fixture
def command(account: Any, loop: Loop, request: pytest.FixtureRequest) -> TaskRun:
    """Give a deferred task whose command runs on a node, as the only one of its task or one of many."""
    account.idle_pool(1)
    if getattr(request, "param", "one") == "many":
        options = {"tasks": [loop.command, loop.command], "delete_job": "always"}
        deferred = run_task(job_operator(deferrable=True, **options))
    else:
        deferred = defer(loop.command)
    loop.wait_until_started()
    return deferred


def trigger_of(run: TaskRun, *, map_index: int = -1) -> Any:
    """Make the trigger as the triggerer does, with the task instance it belongs to."""
    assert run.deferral is not None
    trigger = make_trigger(run.deferral)
    trigger.task_instance = TaskInstance(
        id=uuid.uuid4(),
        task_id="work",
        dag_id="harness",
        run_id=RUN_ID,
        try_number=1,
        map_index=map_index,
        dag_version_id=uuid.uuid4(),
    )
    return trigger


@pytest.fixture
def airflow_says(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a way to set what the API server answers for the state of the task instance."""

    def set_states(**states: str | None) -> None:
        def get_task_states(**_asked: Any) -> dict[str, dict[str, str | None]]:
            return {RUN_ID: states} if states else {}

        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(get_task_states))

    return set_states


@pytest.mark.parametrize(
    ("command", "state"),
    [("one", state) for state in ("failed", "success", "skipped", "upstream_failed", "removed")]
    + [("many", "failed")],
    indirect=["command"],
)
def test_a_task_that_is_over_ends_its_command(account, loop, command, airflow_says, state):
    airflow_says(work=state)

    asyncio.run(trigger_of(command).on_kill())

    eventually(lambda: not loop.runs())
    eventually(lambda: account.jobs() == [])


def test_a_task_that_is_not_there_any_more_ends_its_command(loop, command, airflow_says):
    airflow_says()

    asyncio.run(trigger_of(command).on_kill())

    eventually(lambda: not loop.runs())


@pytest.mark.parametrize(
    ("command", "state"),
    [
        ("one", "scheduled"),
        ("one", "queued"),
        ("one", "running"),
        ("one", "deferred"),
        ("many", "deferred"),
        ("one", "restarting"),
        ("one", "up_for_retry"),
        ("one", "up_for_reschedule"),
        ("one", "brand_new"),
        pytest.param("one", None, id="cleared"),
    ],
    indirect=["command"],
)
def test_a_task_that_may_be_alive_keeps_its_command(account, loop, command, airflow_says, state):
    airflow_says(work=state)
    account.control.clear_requests()

    asyncio.run(trigger_of(command).on_kill())

    assert loop.runs()
    assert account.requests() == []


def test_of_a_mapped_task_its_own_instance_counts(loop, command, airflow_says):
    airflow_says(work_0="failed", work_1="deferred")

    asyncio.run(trigger_of(command, map_index=1).on_kill())
    assert loop.runs()

    asyncio.run(trigger_of(command, map_index=0).on_kill())
    eventually(lambda: not loop.runs())


def test_a_trigger_that_has_fired_ends_nothing(account, loop, command, airflow_says):
    airflow_says(work="failed")
    trigger = trigger_of(command)
    loop.go.touch()

    async def fire_and_kill() -> None:
        async for _ in trigger.run():
            account.control.clear_requests()
        await trigger.on_kill()

    asyncio.run(fire_and_kill())

    assert account.requests() == []


def test_a_kill_that_cannot_be_carried_out_is_in_the_log(loop, command, airflow_says, monkeypatch):
    airflow_says(work="failed")
    trigger, said = trigger_of(command), list[str]()
    monkeypatch.delenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT")
    monkeypatch.setattr(trigger.log, "warning", lambda text, *values: said.append(text % values))

    asyncio.run(trigger.on_kill())

    [line] = said
    assert "could not be terminated and may go on: AirflowNotFoundException" in line
    assert loop.runs()


def test_the_command_is_ended_though_airflow_cancels_the_kill(account, loop, command, airflow_says):
    airflow_says(work="failed")
    trigger = trigger_of(command)

    async def kill_and_cancel() -> None:
        kill = asyncio.ensure_future(trigger.on_kill())
        await asyncio.sleep(0)
        kill.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await kill
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    asyncio.run(kill_and_cancel())

    eventually(lambda: not loop.runs())
    eventually(lambda: account.jobs() == [])


@pytest.mark.parametrize("command", ["many"], indirect=True)
def test_a_triggerer_that_is_killed_in_the_wait_leaves_the_job_to_another(account, loop, command):
    account.control.clear_requests()

    def has_polled() -> None:
        eventually(lambda: any("taskcounts" in request for request in account.requests()))

    async def lose() -> None:
        wait = asyncio.ensure_future(anext(make_trigger(command.deferral).run()))
        await asyncio.to_thread(has_polled)
        wait.cancel()
        await asyncio.gather(wait, return_exceptions=True)

    asyncio.run(lose())
    loop.go.touch()
    done = finish_job(command, tasks=[loop.command, loop.command])

    assert (done.state, done.result["succeeded"], len(loop.pids())) == ("success", 2, 2)


def test_cleanup_leaves_the_command_alone(loop, command):
    asyncio.run(trigger_of(command).cleanup())

    assert loop.runs()
