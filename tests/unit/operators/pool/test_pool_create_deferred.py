"""The operator that makes a pool, while another is in the way and no worker is to be held."""

from __future__ import annotations

from typing import Any

from airflow_provider_batchlinux.exceptions import WaitTimeoutError
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from tests.airflow_harness import TaskRun, resume_task, run_task, run_trigger
from tests.batch_account import BatchAccount
from tests.faults import meanwhile


def creating(**options: Any) -> BatchLinuxCreatePoolOperator:
    request: dict[str, Any] = {"pool_id": "etl", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5"}
    request |= {"deferrable": True, "poll_interval": 0.02}
    return BatchLinuxCreatePoolOperator(task_id="create", **{**request, **options})


def finish(operator: BatchLinuxCreatePoolOperator, account: BatchAccount, *, seconds: float) -> TaskRun:
    """Run a task that defers, let time pass while its trigger waits, and run the rest of it."""
    deferred = run_task(operator)
    assert deferred.deferral is not None, deferred.message
    with meanwhile(lambda: account.control.advance(seconds)):
        payload = run_trigger(deferred.deferral)
    return resume_task(operator, deferred, payload)


def test_a_pool_that_is_not_in_the_way_of_another_is_made_at_once(account: BatchAccount) -> None:
    run = run_task(creating())

    assert run.result["created"] is True


def test_a_deletion_is_waited_out_on_the_triggerer(slow_account: BatchAccount) -> None:
    slow_account.make_pool()
    slow_account.hook.delete_pool("etl")

    run = finish(creating(), slow_account, seconds=60)

    assert run.state == "success", run.message
    assert run.result["created"] is True
    assert slow_account.pools() == ["etl"]


def test_a_pool_to_recreate_is_deleted_on_the_triggerer(slow_account: BatchAccount) -> None:
    run_task(creating())

    run = finish(creating(dedicated_nodes=2, if_exists="recreate"), slow_account, seconds=60)

    assert run.result["created"] is True
    assert slow_account.hook.find_pool("etl").target == 2  # type: ignore[union-attr]


def test_a_resize_is_waited_out_on_the_triggerer_before_the_next(slow_account: BatchAccount) -> None:
    run_task(creating(dedicated_nodes=1))

    run = finish(creating(dedicated_nodes=2, if_exists="resize"), slow_account, seconds=35)

    assert run.result["changed"] == ["targetDedicatedNodes"]
    assert slow_account.hook.find_pool("etl").target == 2  # type: ignore[union-attr]


def test_a_deletion_beyond_the_limit_fails_with_what_may_hold_it_up(slow_account: BatchAccount) -> None:
    slow_account.make_pool()
    slow_account.hook.delete_pool("etl")
    operator = creating(deletion_limit=0.05)

    deferred = run_task(operator)
    assert deferred.deferral is not None
    run = resume_task(operator, deferred, run_trigger(deferred.deferral))

    assert isinstance(run.error, WaitTimeoutError)
    assert "Pool 'etl' is deleting; a resource lock can hold this up." in run.message
    assert slow_account.pools() == ["etl"]


def test_no_secret_of_the_pool_is_in_the_trigger(slow_account: BatchAccount) -> None:
    slow_account.make_pool()
    slow_account.hook.delete_pool("etl")

    deferred = run_task(creating(user_accounts=[{"name": "etl", "password": "c0rrect-h0rse"}]))

    assert deferred.deferral is not None
    assert set(deferred.deferral.trigger_kwargs) == {
        "pool_id",
        "batch_linux_conn_id",
        "poll_interval",
        "max_poll_interval",
        "deadline",
        "limited_by",
        "usage",
        "version",
    }
    assert "c0rrect-h0rse" not in deferred.everything_said
