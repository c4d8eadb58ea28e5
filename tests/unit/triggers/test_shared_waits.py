"""Many triggers in one event loop, run by Airflow's own runner, on the embedded service."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from airflow.jobs.triggerer_job_runner import TriggerRunner

from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchLinuxError,
    WaitTimeoutError,
    error_from_payload,
)
from airflow_provider_batchlinux.triggers.nodes import BatchLinuxNodesIdleTrigger
from airflow_provider_batchlinux.triggers.pool import BatchLinuxPoolGoneTrigger, BatchLinuxPoolSteadyTrigger
from tests.airflow_harness import captured_log
from tests.batch_account import BatchAccount
from tests.conftest import set_connection
from tests.delays import NODE_BOOTED, POOL_DELETED, POOL_RESIZED

COMMON: dict[str, Any] = {"batch_linux_conn_id": "azure_batch_linux_default", "poll_interval": 0.2}
WRONG_KEY = "d3Jvbmcga2V5"
LIMIT = 20.0


def nodes_of(pool_id: str, **more: Any) -> BatchLinuxNodesIdleTrigger:
    return BatchLinuxNodesIdleTrigger(pool_id=pool_id, **{**COMMON, **more})


class Runner:
    """Airflow's runner of triggers, without its supervisor."""

    def __init__(self) -> None:
        self.airflow = TriggerRunner()
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, trigger: Any) -> asyncio.Task[None]:
        """Run a trigger as Airflow does."""
        number = len(self.tasks)
        details: Any = {"task": None, "is_watcher": False, "name": "wait", "events": 0}
        self.airflow.triggers[number] = details
        arguments = [number, trigger, None, None][
            : len(inspect.signature(self.airflow.run_trigger).parameters)
        ]
        self.tasks.append(asyncio.ensure_future(self.airflow.run_trigger(*arguments)))
        return self.tasks[-1]

    def payloads(self) -> list[Any]:
        """Give what the triggers have fired."""
        return [getattr(entry, "event", None) or entry[1] for entry in self.airflow.events]

    async def ends(self) -> list[Any]:
        """Wait until all triggers have ended, and give the payloads of their events."""
        await asyncio.wait_for(asyncio.gather(*self.tasks), LIMIT)
        return [event.payload for event in self.payloads()]


def run(scenario: Callable[[Runner], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        runner = Runner()
        result = await scenario(runner)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    with captured_log():
        return asyncio.run(whole())


def errors_of(payloads: list[Any]) -> list[BatchLinuxError | ValueError]:
    return [error_from_payload(payload["error"]) for payload in payloads]


async def asked(account: BatchAccount, times: int, path: str = "/nodecounts") -> None:
    """Wait until the service has been asked so often."""
    while account.requests().count(f"GET {path}") < times:
        await asyncio.to_thread(account.control.now)


def test_waits_on_a_pool_share_every_request(account):
    account.idle_pool(2)
    account.control.clear_requests()

    async def scenario(runner: Runner) -> list[Any]:
        for _ in range(30):
            # A second in which those who begin are gathered is long enough on a busy machine too.
            runner.start(nodes_of("etl", poll_interval=1.0))
        return await runner.ends()

    payloads = run(scenario)

    assert [payload["result"]["nodes"] for payload in payloads] == [{"idle": 2}] * 30
    assert Counter(account.requests()) == {
        "GET /pools/etl": 1,
        "GET /nodecounts": 1,
        "GET /pools/etl/nodes": 1,
    }


def test_waits_of_every_kind_on_many_pools_share_the_polling(slow_account):
    names = [slow_account.make_pool(f"p{number}", dedicated=1) for number in range(12)]
    slow_account.control.advance(POOL_RESIZED)
    slow_account.control.clear_requests()

    async def scenario(runner: Runner) -> list[Any]:
        for name in names:
            runner.start(nodes_of(name))
            runner.start(BatchLinuxPoolSteadyTrigger(pool_id=name, **COMMON))
            runner.start(BatchLinuxPoolGoneTrigger(pool_id=name, **COMMON))
        await asked(slow_account, 3)
        few = Counter(slow_account.requests())
        await asyncio.to_thread(slow_account.control.advance, NODE_BOOTED)
        await asyncio.gather(*(task for number, task in enumerate(runner.tasks) if number % 3 == 0))
        for name in names:
            await asyncio.to_thread(slow_account.hook.delete_pool, name)
        await asyncio.to_thread(slow_account.control.advance, POOL_DELETED)
        return [few, await runner.ends()]

    few, payloads = run(scenario)

    assert set(few) == {"GET /pools", "GET /nodecounts"}
    assert few["GET /pools"] <= few["GET /nodecounts"] + 1
    assert [payload["error"] for payload in payloads] == [None] * 36
    lists = Counter(request for request in slow_account.requests() if request.endswith("/nodes"))
    assert lists == {f"GET /pools/{name}/nodes": 1 for name in names}


def test_a_wait_that_is_cancelled_harms_no_other(slow_account):
    slow_account.make_pool(dedicated=1)

    async def scenario(runner: Runner) -> list[Any]:
        first = runner.start(nodes_of("etl"))
        runner.start(nodes_of("etl"))
        await asked(slow_account, 1, "/pools/etl")
        runner.tasks.remove(first)
        first.cancel()
        await asyncio.wait([first])
        await asyncio.to_thread(slow_account.control.advance, POOL_DELETED)
        return await runner.ends()

    [payload] = run(scenario)

    assert payload["result"]["nodes"] == {"idle": 1}


def test_each_wait_has_a_deadline_of_its_own(slow_account):
    slow_account.make_pool(dedicated=1)

    async def scenario(runner: Runner) -> list[Any]:
        late = runner.start(nodes_of("etl", deadline=1.0))
        patient = runner.start(nodes_of("etl"))
        await asyncio.wait_for(late, LIMIT)
        assert not patient.done()
        await asyncio.to_thread(slow_account.control.advance, POOL_DELETED)
        return await runner.ends()

    late, patient = run(scenario)

    assert isinstance(error_from_payload(late["error"]), WaitTimeoutError)
    assert patient["result"]["nodes"] == {"idle": 1}


def test_a_refusal_of_the_key_ends_all_waits_with_the_cause(account, monkeypatch):
    account.idle_pool(1)
    set_connection(monkeypatch, account.service, key=WRONG_KEY)

    async def scenario(runner: Runner) -> list[Any]:
        for name in ("etl", "etl", "other"):
            runner.start(nodes_of(name))
        return await runner.ends()

    errors = errors_of(run(scenario))

    assert [type(error) for error in errors] == [BatchAuthenticationError] * 3
    assert all("AuthenticationFailed" in str(error) and WRONG_KEY not in str(error) for error in errors)


def test_a_key_that_was_renewed_meanwhile_is_taken_up(account, monkeypatch):
    account.idle_pool(1)
    set_connection(monkeypatch, account.service, key=WRONG_KEY)
    account.control.clear_requests()

    class Renewing(BatchLinuxNodesIdleTrigger):
        def wait(self, client: Any) -> Any:
            set_connection(monkeypatch, account.service)  # the connection has been read already
            return super().wait(client)

        def serialize(self) -> tuple[str, dict[str, Any]]:
            return "renewing", {}

    async def scenario(runner: Runner) -> list[Any]:
        runner.start(Renewing(pool_id="etl", **COMMON))
        return await runner.ends()

    [payload] = run(scenario)

    assert payload["error"] is None
    assert [request["status"] for request in account.control.requests()] == [403, 200, 200, 200]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 429}, id="throttled"),
        pytest.param({"status": 429, "retry_after": 0.1}, id="throttled with a time"),
        pytest.param({"status": 503}, id="busy"),
        pytest.param({"drop": "before"}, id="connections cut"),
    ],
)
def test_faults_that_pass_are_borne_by_all_waits(account, monkeypatch, fault):
    account.idle_pool(1)
    set_connection(monkeypatch, account.service, retry_budget=20)
    account.control.inject("GET", times=2, **fault)

    async def scenario(runner: Runner) -> list[Any]:
        for _ in range(5):
            runner.start(nodes_of("etl"))
        return await runner.ends()

    assert [payload["error"] for payload in run(scenario)] == [None] * 5


def test_a_pool_that_vanishes_ends_its_waits_with_the_cause(slow_account):
    for name in ("etl", "other"):
        slow_account.make_pool(name, dedicated=1)

    async def scenario(runner: Runner) -> list[Any]:
        ends = runner.start(nodes_of("etl"))
        goes_on = runner.start(nodes_of("other"))
        await asked(slow_account, 1, "/pools")
        await asyncio.to_thread(slow_account.hook.delete_pool, "etl")
        await asyncio.to_thread(slow_account.control.advance, 10)
        await asyncio.wait_for(ends, LIMIT)
        assert not goes_on.done()
        await asyncio.to_thread(slow_account.control.advance, POOL_DELETED)
        return await runner.ends()

    gone, ready = run(scenario)

    assert "Pool 'etl'" in str(error_from_payload(gone["error"]))
    assert ready["result"]["nodes"] == {"idle": 1}
