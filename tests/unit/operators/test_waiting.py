"""What all operators and sensors that wait share: their deadlines, and how they end."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from importlib import import_module
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

import airflow_provider_batchlinux.operators
import airflow_provider_batchlinux.sensors
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.users.ledger import entries_in
from airflow_provider_batchlinux.operators._waiting import BatchLinuxWaitingOperator
from airflow_provider_batchlinux.sensors._base import BatchLinuxSensor
from tests.airflow_harness import Deferral, TaskRun, end_deferral, resume_task, run_task, run_trigger
from tests.batch_account import BatchAccount
from tests.unit.waits import ALL_WAITING, every_waiting

LOST = "Trigger failure"


def deferral_of(run: TaskRun) -> Deferral:
    assert run.deferral is not None, run.error
    return run.deferral


def arguments_of(run: TaskRun) -> dict[str, Any]:
    return deferral_of(run).trigger_kwargs


def seconds_until(deadline: float) -> float:
    return deadline - datetime.now(timezone.utc).timestamp()


def test_the_table_has_every_operator_and_sensor_that_waits() -> None:
    packages = (airflow_provider_batchlinux.operators, airflow_provider_batchlinux.sensors)
    names = [
        f"{package.__name__}.{module.name}"
        for package in packages
        for module in pkgutil.iter_modules(package.__path__)
    ]
    public = {
        item
        for name in names
        for item in vars(import_module(name)).values()
        if inspect.isclass(item)
        and issubclass(item, (BatchLinuxWaitingOperator, BatchLinuxSensor))
        and item.__name__ in getattr(import_module(item.__module__), "__all__", ())
    }

    assert {waiting.cls for waiting in ALL_WAITING.values()} == public


class TestExecutionTimeout:
    @every_waiting
    def test_the_nearer_limit_is_the_deadline_of_the_trigger(self, slow_account, waiting):
        waiting.prepare(slow_account)

        run = run_task(waiting.task(execution_timeout=timedelta(minutes=2)))

        assert run.state == "deferred", run.error
        arguments = arguments_of(run)
        assert 100 < seconds_until(arguments["deadline"]) <= 120
        assert arguments["limited_by"] == "execution_timeout"
        assert deferral_of(run).timeout is not None

    @every_waiting
    def test_a_longer_one_leaves_the_own_limit(self, slow_account, waiting):
        waiting.prepare(slow_account)

        run = run_task(waiting.task(execution_timeout=timedelta(days=1)))

        has_own_limit = all(waiting is not ALL_WAITING[name] for name in ("task", "job", "lease"))
        expected = "execution_timeout"
        if has_own_limit:
            expected = "deletion_limit" if waiting is ALL_WAITING["create"] else "timeout"
        assert arguments_of(run)["limited_by"] == expected

    @every_waiting
    def test_reaching_it_while_deferred_fails_as_airflows_own_would_and_is_retried(
        self, slow_account, waiting
    ):
        waiting.prepare(slow_account)
        work = waiting.task(execution_timeout=timedelta(minutes=2))
        run = run_task(work)

        event = run_trigger(deferral_of(run).overdue())
        resumed = resume_task(work, run, event)

        assert isinstance(resumed.error, AirflowTaskTimeout)
        assert "exceeded execution_timeout=120 s. Last status: " in resumed.message
        assert resumed.state == "failed"


NEWER = {"version": 99, "trigger": "a.Trigger", "arguments": {}, "result": {}, "error": None}


def users_of(account: BatchAccount) -> dict[str, Any]:
    body = account.hook.run(lambda client: client.find_pool_body("etl", ["metadata"]))
    return entries_in(metadata_of(body or {}))


def jobs_of(account: BatchAccount) -> list[dict[str, Any]]:
    return [dict(job) for job in account.hook.run(lambda client: client.find_jobs())]


def was_stopped(account: BatchAccount) -> bool:
    return any("/stopresize" in request for request in account.requests())


def was_kept(account: BatchAccount) -> bool:
    return account.pools() == ["etl"] and not was_stopped(account)


ENDED: dict[str, Callable[[BatchAccount], bool]] = {
    "task": lambda account: account.jobs() == [],
    "job": lambda account: all(job["state"] in ("terminating", "completed") for job in jobs_of(account)),
    "add a user": lambda account: users_of(account) == {},
    "lease": lambda account: users_of(account) == {},
    "resize": was_stopped,
}
"""What shows that nothing goes on of what a task had begun; the others have begun nothing that they end."""

ENDINGS = {
    "a lost trigger": lambda waiting, run, tries: end_deferral(waiting.task(), run, LOST, max_tries=tries),
    "Airflow's time-out": lambda waiting, run, tries: end_deferral(
        waiting.task(), run, "Trigger timeout", max_tries=tries
    ),
    "an event of a later release": lambda waiting, run, tries: resume_task(
        waiting.task(), run, NEWER, max_tries=tries
    ),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
class TestDeferralEndedByAirflow:
    @pytest.mark.parametrize("name", ALL_WAITING)
    def test_without_a_try_left_what_the_task_began_is_ended(self, slow_account, name, ending):
        waiting = ALL_WAITING[name]
        waiting.prepare(slow_account)
        run = run_task(waiting.task())
        assert run.state == "deferred", run.error

        ended = ending(waiting, run, 0)

        assert ended.state == "failed"
        assert ENDED.get(name, was_kept)(slow_account)

    @pytest.mark.parametrize("name", ENDED)
    def test_with_a_try_left_it_stays_for_that(self, slow_account, name, ending):
        waiting = ALL_WAITING[name]
        waiting.prepare(slow_account)
        run = run_task(waiting.task())

        ended = ending(waiting, run, 1)

        assert ended.state == "failed"
        assert not ENDED[name](slow_account)


@every_waiting
def test_a_lost_trigger_is_told_with_what_to_check(slow_account, waiting):
    waiting.prepare(slow_account)
    run = run_task(waiting.task())

    ended = end_deferral(waiting.task(), run, LOST)

    assert ended.message.partition(" 1 command until then: ")[0] == (
        "Airflow ended the wait of task 'wait': Trigger failure. Check that a triggerer runs; what its "
        "trigger has logged is above."
    )


@pytest.mark.parametrize("name", [name for name, waiting in ALL_WAITING.items() if waiting.is_sensor])
def test_a_deferred_sensor_polls_at_growing_intervals_if_asked_to(slow_account, name):
    waiting = ALL_WAITING[name]
    waiting.prepare(slow_account)

    run = run_task(waiting.task(exponential_backoff=True, max_wait=timedelta(minutes=5)))

    assert arguments_of(run)["max_poll_interval"] == 300
    assert arguments_of(run_task(waiting.task()))["max_poll_interval"] is None
