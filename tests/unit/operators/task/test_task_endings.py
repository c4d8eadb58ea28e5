"""How a command's end becomes its Airflow task's end: one table for the worker, the triggerer and a retry."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_batchlinux.core.snapshots import ServiceError
from airflow_provider_batchlinux.core.tasks.spec.exit_codes import Ending
from airflow_provider_batchlinux.core.tasks.task import TaskSnapshot, ending_of
from airflow_provider_batchlinux.exceptions import TaskFailedError, TaskFailedForGoodError
from tests.airflow_harness import run_task, run_to_end, run_trigger
from tests.batch_account import BatchAccount, eventually
from tests.unit.commands import Loop, defer, operator

CODES: dict[Any, str] = {3: "success", "4": "skip", 5: "fail", 6: "retry"}
BY_EXIT_CODE = ServiceError("FailureExitCode", "The task exited with an exit code")
BY_LIMIT = ServiceError("TaskEnded", "The task was ended")

CASES = [
    pytest.param(0, "success", None, id="0"),
    pytest.param(3, "success", None, id="success"),
    pytest.param(4, "skipped", AirflowSkipException, id="skip"),
    pytest.param(5, "failed", TaskFailedForGoodError, id="fail"),
    pytest.param(6, "failed", TaskFailedError, id="retry"),
    pytest.param(7, "failed", TaskFailedError, id="not named"),
]


@pytest.mark.parametrize("deferrable", [pytest.param(False, id="worker"), pytest.param(True, id="triggerer")])
@pytest.mark.parametrize(("code", "state", "kind"), CASES)
def test_the_exit_code_decides_how_the_task_ends(
    account: BatchAccount, code: int, state: str, kind: type[Exception] | None, deferrable: bool
) -> None:
    account.idle_pool(1)

    run = run_to_end(
        operator(f"echo 7 > r; exit {code}", exit_codes=CODES, deferrable=deferrable, result_file="r")
    )

    assert run.state == state
    assert isinstance(run.error, AirflowFailException) is (kind is TaskFailedForGoodError)
    if kind is None:
        assert (run.result["exit_code"], run.result["result"]) == (code, 7)
    elif kind is not AirflowSkipException:
        assert type(run.error) is kind
    eventually(lambda: account.jobs() == [])


@pytest.mark.parametrize(
    ("task", "ending"),
    [
        (TaskSnapshot("completed", "success", 0), "success"),
        (TaskSnapshot("completed", "failure", 3, BY_EXIT_CODE), "skip"),
        (TaskSnapshot("completed", "failure", 4, BY_EXIT_CODE), "retry"),
        (TaskSnapshot("completed", "failure", 3, BY_LIMIT), "retry"),
        (TaskSnapshot("completed", "failure", None, BY_LIMIT), "retry"),
    ],
)
def test_only_a_code_that_the_command_returned_is_looked_up(task: TaskSnapshot, ending: Ending) -> None:
    assert ending_of(task, {3: "skip"}) == ending


@pytest.mark.parametrize("codes", [{"x": "skip"}, {256: "skip"}, {3: "ignore"}, "99", [99]])
def test_exit_codes_that_mean_nothing_are_refused_before_any_request(
    account: BatchAccount, codes: Any
) -> None:
    run = run_task(operator("true", exit_codes=codes))

    assert "is not a mapping of exit codes from 0 to 255 to success, skip, fail or retry" in run.message
    assert account.requests() == []


def test_a_retry_reads_a_command_that_has_ended_well_by_its_exit_code(
    account: BatchAccount, loop: Loop
) -> None:
    account.idle_pool(1)
    command = f"{loop.command}; echo 7 > r; exit 3"
    deferred = defer(command, exit_codes=CODES)
    loop.go.touch()
    assert deferred.deferral is not None
    run_trigger(deferred.deferral)

    second = run_task(operator(command, exit_codes=CODES, result_file="r"), try_number=2)

    assert second.result["result"] == 7
    assert len(loop.pids()) == 1


def test_a_preempted_command_goes_on_in_the_same_try(account: BatchAccount, loop: Loop) -> None:
    account.idle_pool(2)
    deferred = defer(loop.command)
    loop.wait_until_started()
    [busy] = [node.node_id for node in account.nodes() if node.state == "running"]
    account.control.set_node("etl", busy, "preempted")
    loop.wait_until_started(2)

    second = defer(loop.command, try_number=2)

    assert second.deferral is not None
    assert deferred.deferral is not None
    assert second.deferral.trigger_kwargs["job_id"] == deferred.deferral.trigger_kwargs["job_id"]
    assert "(run again after 1 lost node)" in second.log
