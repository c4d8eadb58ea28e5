"""The operator that takes a pool away, waiting on the worker or on the triggerer."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.core.pool_metadata import PoolMarks
from airflow_provider_batchlinux.emulator import EmulatorOptions, run_emulator
from airflow_provider_batchlinux.exceptions import BatchRequestError, WaitTimeoutError
from airflow_provider_batchlinux.operators.pool import BatchLinuxDeletePoolOperator
from tests.airflow_harness import ExecutionApi, resume_task, run_task, run_to_end, run_trigger
from tests.batch_account import BatchAccount, eventually
from tests.conftest import set_connection
from tests.delays import EMPTY_POOL_DELETED
from tests.unit.commands import defer, operator


def delete(**options: Any) -> BatchLinuxDeletePoolOperator:
    defaults = {"task_id": "delete", "pool_id": "etl", "poll_interval": 0.02}
    return BatchLinuxDeletePoolOperator(**{**defaults, **options})


@pytest.fixture
def deleting_account(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give an account in which the deletion of a pool takes a tenth of a second."""
    with run_emulator(EmulatorOptions(profile="realistic", speed=50)) as emulator:
        set_connection(monkeypatch, emulator)
        yield BatchAccount(emulator)


@pytest.mark.parametrize("deferrable", [pytest.param(False, id="worker"), pytest.param(True, id="triggerer")])
def test_the_task_ends_when_the_service_knows_the_pool_no_more(deleting_account, deferrable):
    deleting_account.make_pool()

    run = run_to_end(delete(deferrable=deferrable))

    assert run.result.items() >= {"pool_id": "etl", "deleted": True}.items()
    assert deleting_account.pools() == []


@pytest.mark.parametrize("deferrable", [pytest.param(False, id="worker"), pytest.param(True, id="triggerer")])
def test_a_pool_that_is_not_there_is_fine(account, deferrable):
    run = run_to_end(delete(deferrable=deferrable))

    assert run.result == {"pool_id": "etl", "deleted": False}


def test_without_waiting_the_task_ends_when_the_service_has_taken_the_request(slow_account):
    slow_account.make_pool()

    run = run_task(delete(wait=False))

    assert run.result.items() >= {"pool_id": "etl", "deleted": True}.items()
    assert slow_account.hook.find_pool("etl").state == "deleting"


def test_a_deletion_under_way_is_waited_for(slow_account):
    slow_account.make_pool()
    slow_account.hook.delete_pool("etl")

    run = run_task(delete(deferrable=True))
    slow_account.control.advance(EMPTY_POOL_DELETED)

    assert run.deferral is not None
    resumed = resume_task(delete(deferrable=True), run, run_trigger(run.deferral))
    assert resumed.result.items() >= {"pool_id": "etl", "deleted": True}.items()


@pytest.mark.parametrize("deferrable", [pytest.param(False, id="worker"), pytest.param(True, id="triggerer")])
def test_a_deletion_over_its_time_fails_and_goes_on_at_the_service(slow_account, deferrable):
    slow_account.make_pool()

    run = run_to_end(delete(deferrable=deferrable, timeout=0.05))

    assert isinstance(run.error, WaitTimeoutError)
    assert "Pool 'etl' is deleting; a resource lock can hold this up." in run.message
    slow_account.control.advance(EMPTY_POOL_DELETED)
    assert slow_account.pools() == []


def test_a_retry_of_the_deletion_is_fine(slow_account):
    slow_account.make_pool()

    states = [run_task(delete(wait=False), try_number=number).state for number in (1, 2)]

    assert states == ["success", "success"]


def test_an_illegal_pool_id_is_refused_before_any_request(account):
    run = run_task(delete(pool_id=""))

    assert "pool_id='' is not an id" in run.message
    assert account.requests() == []


def test_a_refused_deletion_fails_with_the_services_code(account):
    account.idle_pool()
    account.control.inject("DELETE", "/pools/etl", status=409, code="OperationInvalidForCurrentState")

    run = run_task(delete())

    assert isinstance(run.error, BatchRequestError)
    assert run.message.startswith("Could not delete pool 'etl': ")
    assert account.pools() == ["etl"]


def test_an_abandoned_command_is_deleted_with_its_pool(account, loop):
    account.idle_pool(1)
    defer(loop.command)
    loop.wait_until_started()

    run_task(delete())

    assert account.jobs() == []
    eventually(lambda: not loop.runs())


def test_a_job_that_is_over_or_on_another_pool_stays(account, loop):
    account.idle_pool(1)
    account.idle_pool(1, pool_id="other")
    run_task(operator("true", delete_job="never"))
    defer(loop.command, pool_id="other", task_id="elsewhere")
    kept = account.jobs()

    run_task(delete())

    assert len(kept) == 2
    assert account.jobs() == kept


@pytest.mark.parametrize("failed", [True, False])
@pytest.mark.parametrize("hours", [None, 2], ids=["deleted anyway", "kept for two hours"])
def test_a_pool_is_kept_after_a_failure_for_as_long_as_was_asked(account, hours, failed):
    account.make_pool()
    api = ExecutionApi(task_states={"work": "failed" if failed else "success", "delete": "running"})
    kept = failed and hours is not None

    run = run_task(delete(keep_on_failure=hours and timedelta(hours=hours)), api=api)

    assert run.result["deleted"] is not kept
    assert account.pools() == (["etl"] if kept else [])
    assert ("have failed: 'work'" in run.log) is kept


def test_a_pool_that_is_kept_has_an_end_and_says_so(account: BatchAccount):
    account.make_pool()
    api = ExecutionApi(task_states={"work": "upstream_failed"})

    run = run_task(delete(keep_on_failure=2 * 3600), api=api)

    body = account.hook.run(lambda client: client.find_pool_body("etl"))
    assert body is not None
    until = PoolMarks.of(body).expires_at
    assert until is not None
    assert timedelta(hours=1, minutes=59) < until - datetime.now(timezone.utc) <= timedelta(hours=2)
    assert run.result["reason"] == f"it is kept until {until:%Y-%m-%d %H:%M} UTC"


def test_a_kept_pool_that_is_gone_is_fine(account: BatchAccount):
    api = ExecutionApi(task_states={"work": "failed"})

    assert run_task(delete(keep_on_failure=60), api=api).result["deleted"] is False
