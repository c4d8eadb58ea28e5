"""The operator that deletes the pools that were left behind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_batchlinux.exceptions import BatchRequestError
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.operators.sweeper import BatchLinuxSweepPoolsOperator
from tests.airflow_harness import RUN_ID, ExecutionApi, TaskRun, run_task
from tests.batch_account import BatchAccount
from tests.conftest import set_connection


def create(pool_id: str, **options: Any) -> None:
    run = run_task(
        BatchLinuxCreatePoolOperator(
            task_id=options.pop("task_id", "create"),
            pool_id=pool_id,
            image="ubuntu 24.04",
            vm_size="standard_d2s_v5",
            **options,
        )
    )
    assert run.state == "success", run.message


def sweep(*, run_lives: bool = False, **options: Any) -> TaskRun:
    api = ExecutionApi(live_runs=(RUN_ID,) if run_lives else ())
    return run_task(BatchLinuxSweepPoolsOperator(task_id="sweep", **options), api=api)


def names(run: TaskRun) -> list[str]:
    return [pool["pool_id"] for pool in run.result["pools"]]


def test_by_itself_it_only_tells(account: BatchAccount) -> None:
    create("left", dedicated_nodes=2)
    account.wait_for_nodes({"idle": 2}, pool_id="left")

    run = sweep()

    assert names(run) == ["left"]
    assert (run.result["deleted"], run.result["node_hours_saved_per_day"]) == (0, 0)
    assert "nothing is deleted (dry run)" in run.log
    assert account.pools() == ["left"]


@pytest.mark.parametrize("delete", [True, "true", "True "])
def test_a_pool_whose_run_is_over_is_deleted(account: BatchAccount, delete: Any) -> None:
    create("left", dedicated_nodes=2)
    account.wait_for_nodes({"idle": 2}, pool_id="left")

    run = sweep(delete=delete)

    assert (run.result["deleted"], run.result["nodes"], run.result["node_hours_saved_per_day"]) == (1, 2, 48)
    assert account.pools() == []


def test_a_pool_whose_run_goes_on_stays(account: BatchAccount) -> None:
    create("used")

    assert names(sweep(run_lives=True, delete=True)) == []
    assert account.pools() == ["used"]


def test_a_pool_with_an_end_stays_until_then(account: BatchAccount) -> None:
    create("wanted", expires_in=timedelta(hours=1))

    assert names(sweep(delete=True)) == []


def test_a_pool_that_several_tasks_have_taken_stays(account: BatchAccount) -> None:
    create("shared")
    create("shared", task_id="other")

    assert names(sweep(delete=True)) == []


def test_pools_whose_run_is_over_can_be_left_alone(account: BatchAccount) -> None:
    create("left")

    assert names(sweep(ended_runs=False)) == []


def test_pools_of_others_are_not_looked_at(account: BatchAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    account.make_pool("foreign")
    create("ours")
    set_connection(monkeypatch, account.service, id_prefix="prod")

    assert names(sweep(delete=True)) == []
    assert account.pools() == ["foreign", "ours"]


def test_a_pool_that_changes_meanwhile_is_left_alone(account: BatchAccount) -> None:
    create("left")
    account.control.inject(method="DELETE", status=412, code="ConditionNotMet")

    run = sweep(delete=True)

    assert run.result["deleted"] == 0
    assert "Pool 'left' changed meanwhile" in run.log


def test_one_that_cannot_be_deleted_does_not_keep_the_others(account: BatchAccount) -> None:
    create("a")
    create("b", task_id="other")
    account.control.inject(method="DELETE", path="/pools/a", status=403, code="AuthorizationFailure")

    run = sweep(delete=True)

    assert isinstance(run.error, BatchRequestError)
    assert "1 of 2 pools could not be deleted" in run.message
    assert account.pools() == ["a"]


@pytest.mark.usefixtures("account")
def test_a_wrong_word_for_delete_is_refused() -> None:
    assert "delete='perhaps' is neither true nor false" in sweep(delete="perhaps").message
