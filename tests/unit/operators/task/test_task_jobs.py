"""The job of a command: it ends with its command, holds no quota from then on, and is read and adopted."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.core.tasks.job import why_never_starts
from airflow_provider_batchlinux.exceptions import TaskFailedError
from tests.airflow_harness import run_task, run_trigger
from tests.batch_account import BatchAccount, eventually
from tests.unit.commands import Loop, defer, finish, job_of, operator


def job_body(account: BatchAccount, job_id: str) -> dict[str, Any]:
    async def get(client: BatchLinuxClient) -> dict[str, Any]:
        return dict((await client.find_job(job_id)) or {})

    return account.hook.run(get)


def terminate(account: BatchAccount, job_id: str) -> None:
    async def end(client: BatchLinuxClient) -> None:
        reason: Any = {"terminateReason": "not needed"}
        await client.sdk.begin_terminate_job(job_id, reason)

    account.hook.run(end)


@pytest.mark.parametrize("command", ["true", "false"])
def test_a_job_that_is_kept_ends_with_its_command_and_holds_no_quota(
    account: BatchAccount, command: str
) -> None:
    account.idle_pool(1)
    account.control.set_quota(active_jobs=1)

    for number in range(2):
        run_task(operator(command, task_id=f"work-{number}", delete_job="never"))
        eventually(lambda: {job_body(account, job)["state"] for job in account.jobs()} == {"completed"})

    assert len(account.jobs()) == 2


def test_a_retry_reads_the_result_of_a_job_that_has_ended(account: BatchAccount, loop: Loop) -> None:
    account.idle_pool(1)
    deferred = defer(loop.command)
    loop.go.touch()
    assert deferred.deferral is not None
    run_trigger(deferred.deferral)
    eventually(lambda: job_body(account, job_of(deferred))["state"] == "completed")

    second = run_task(operator(loop.command), try_number=2)

    assert second.state == "success"
    assert len(loop.pids()) == 1
    assert "its result was never read, and is read now" in second.log


def test_a_command_whose_job_was_terminated_before_it_began_fails(account: BatchAccount) -> None:
    account.make_pool(until={})
    deferred = defer("true")
    terminate(account, job_of(deferred))

    run = finish(deferred)

    assert isinstance(run.error, TaskFailedError)
    assert "cannot run: job " in run.message
    assert "is completed (terminate reason not needed)." in run.message
    assert run_task(operator("true", start_limit=0.05), try_number=2).message.endswith(
        "it has no nodes and none are requested; resize it."
    )


def test_a_job_that_cannot_be_told_to_end_runs_its_command(account: BatchAccount) -> None:
    account.idle_pool(1)
    account.control.inject("PATCH", "/jobs/", times=None, status=409, code="OperationInvalidForCurrentState")

    run = run_task(operator("true"))

    assert run.state == "success"
    assert "holds quota until it is deleted: it could not be told to end with its command" in run.log


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        ("active", None, None),
        ("disabled", None, None),
        ("terminating", "AllTasksComplete", None),
        ("completed", "AllTasksCompleted", None),
        ("completed", "UserTerminate", "job 'j' is completed (terminate reason UserTerminate)"),
        ("Terminating", None, "job 'j' is terminating"),
        ("deleting", None, "job 'j' is deleting"),
    ],
)
def test_only_a_job_that_others_have_ended_keeps_its_command_from_starting(
    state: str, reason: str | None, said: str | None
) -> None:
    awaiting = {"code": "JobTerminationAwaitingNodeProcessing", "category": "ServerError"}
    job = {"state": state, "executionInfo": {"terminateReason": reason, "schedulingError": awaiting}}

    assert why_never_starts("j", job) == said
