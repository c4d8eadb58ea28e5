"""What the tries of a task that runs commands leave to each other, and at the end of the last one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.transport.http import ServiceTransport
from airflow_provider_batchlinux.emulator import airflow_connection
from airflow_provider_batchlinux.exceptions import TaskFailedError
from airflow_provider_batchlinux.operators.job import BatchLinuxJobOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from tests.airflow_harness import ExecutionApi, make_trigger, resume_task, run_task, run_trigger
from tests.batch_account import BatchAccount, eventually
from tests.chaos import Fault, Script, chaos_proxy
from tests.conftest import set_connection
from tests.unit.commands import Loop, Runs, finish_job, job_of, job_operator, operator, state_of
from tests.unit.operators.task.test_task_killed import Killed

Make = Callable[..., "BatchLinuxTaskOperator | BatchLinuxJobOperator"]


def job_with_one(command: str, **options: Any) -> BatchLinuxJobOperator:
    return job_operator(tasks=[command], **options)


both = pytest.mark.parametrize(
    "make", [pytest.param(operator, id="command"), pytest.param(job_with_one, id="job")]
)


def cleared_after(number: int) -> ExecutionApi:
    return ExecutionApi(resume={"max_tries": number})


@both
def test_a_clear_after_a_success_runs_all_again_although_the_job_could_not_be_deleted(
    account: BatchAccount, runs: Runs, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    service = account.service
    account.idle_pool(1)
    work = make(runs.of("a"))
    gone = Script(Fault("reset", None, "before", "reset"), method="DELETE", times=None)
    with chaos_proxy(service.endpoint, gone) as proxy:
        connection = airflow_connection(proxy.url, service.account, service.key, None, retry_budget=0)
        with monkeypatch.context() as patch:
            patch.setenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", connection)
            assert run_task(work).state == "success"
    assert len(account.jobs()) == 1

    done = run_task(work, try_number=2, api=cleared_after(1))

    assert (done.state, runs.seen()) == ("success", ["a", "a"]), done.error
    eventually(lambda: account.jobs() == [])


@both
def test_tries_of_a_deleted_run_do_not_count_in_a_new_one_of_the_same_id(
    account: BatchAccount, loop: Loop, runs: Runs, make: Make
) -> None:
    account.idle_pool(1)
    works = runs.of("a", f"{loop.command}; test ! -e {runs.fixed}")
    # The worker of its third try was lost when the command had succeeded.
    deferred = run_task(make(works, deferrable=True), try_number=3)
    assert deferred.deferral is not None
    loop.go.touch()
    run_trigger(deferred.deferral)
    runs.forget()
    runs.fixed.touch()

    first = run_task(make(works))
    second = run_task(make(works), try_number=2)

    assert isinstance(first.error, TaskFailedError), first.log
    assert (second.state, runs.seen()) == ("failed", ["a", "a"])


@both
def test_a_resumed_task_needs_no_files(account: BatchAccount, loop: Loop, tmp_path: Path, make: Make) -> None:
    account.idle_pool(1)
    (tmp_path / "a.txt").write_text("7")
    command, files = f"{loop.command}; cp a.txt r.json", {"a.txt": str(tmp_path / "a.txt")}
    work = make(command, files=files, result_file="r.json", deferrable=True)
    first = run_task(work)
    assert first.deferral is not None
    (tmp_path / "a.txt").unlink()
    loop.go.touch()

    done = resume_task(work, first, run_trigger(first.deferral))

    assert done.state == "success", done.error
    record = done.result["records"][0] if "records" in done.result else done.result
    assert record["result"] == 7


@both
def test_a_file_that_is_missing_on_the_last_try_ends_what_an_earlier_one_left(
    account: BatchAccount, loop: Loop, tmp_path: Path, make: Make
) -> None:
    account.idle_pool(1)
    run_task(make(loop.command, deferrable=True), api=cleared_after(1))
    loop.wait_until_started()

    done = run_task(make(loop.command, files={"a": str(tmp_path / "none")}), try_number=2)

    assert "which is not a file on this worker" in done.message
    eventually(lambda: not loop.runs())


@both
def test_a_kill_at_the_first_request_of_a_retry_ends_what_an_earlier_one_left(
    account: BatchAccount, loop: Loop, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    account.idle_pool(1)
    run_task(make(loop.command, deferrable=True))
    loop.wait_until_started()
    killed: list[str] = []
    send = ServiceTransport.send

    async def kill(transport: ServiceTransport, request: Any, **options: Any) -> Any:
        if not killed:
            killed.append(request.url)
            os.kill(os.getpid(), signal.SIGTERM)  # what it has to end is ended before the next line
            raise Killed
        return await send(transport, request, **options)

    monkeypatch.setattr(ServiceTransport, "send", kill)
    run_task(make(loop.command, deferrable=True), try_number=2, api=cleared_after(3))

    assert killed
    eventually(lambda: not loop.runs())


@both
def test_a_last_try_whose_create_gets_no_answer_leaves_nothing(
    account: BatchAccount, loop: Loop, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    set_connection(monkeypatch, account.service, retry_budget=0)
    account.idle_pool(1)
    account.control.inject("POST", "/(tasks|addtaskcollection)$", drop="after")

    done = run_task(make(loop.command))

    assert done.state == "failed"
    eventually(lambda: not any(state_of(account, job_id) == "active" for job_id in account.jobs()))
    eventually(lambda: not loop.runs())


@pytest.mark.parametrize("kind", ["manager", "tasks"])
def test_a_job_that_was_deleted_before_its_records_were_read_is_no_success(
    account: BatchAccount, loop: Loop, kind: str
) -> None:
    account.idle_pool(1)
    options: Any = {"manager": loop.command} if kind == "manager" else {"tasks": [loop.command]}
    first = run_task(job_operator(deferrable=True, **options))
    assert first.deferral is not None
    loop.go.touch()
    event = run_trigger(first.deferral)
    account.hook.run(lambda client: client.delete_job(job_of(first)))
    eventually(lambda: account.jobs() == [])

    done = resume_task(job_operator(deferrable=True, **options), first, event)

    assert isinstance(done.error, TaskFailedError)
    assert "was deleted before its records were read" in done.message


@both
def test_a_job_that_was_disabled_is_told_and_does_not_run_beside_the_next(
    account: BatchAccount, make: Make
) -> None:
    account.make_pool()
    first = run_task(make("true", deferrable=True))
    assert first.deferral is not None
    trigger = make_trigger(first.deferral)

    async def status(client: BatchLinuxClient) -> str:
        body: Any = {"disableTasks": "requeue"}
        await client.sdk.begin_disable_job(job_of(first), body)
        wait = trigger.wait(client)
        await wait.poll()
        return str(wait.status)

    assert "and starts nothing until it is enabled" in account.hook.run(status)
    run_task(make("echo other", deferrable=True, delete_job="never"), try_number=2)
    eventually(lambda: state_of(account, job_of(first)) == "completed")


@both
def test_a_retry_keeps_the_failed_job_that_is_to_be_kept(
    account: BatchAccount, runs: Runs, make: Make
) -> None:
    account.idle_pool(1)
    work = make(runs.of("a", f"test -e {runs.fixed}"), delete_job="on_success")
    run_task(work)
    [failed] = account.jobs()
    runs.fixed.touch()

    done = run_task(work, try_number=2)

    assert (done.state, runs.seen()) == ("success", ["a", "a"])
    eventually(lambda: account.jobs() == [failed])


def test_without_its_list_a_job_with_a_manager_is_read_by_what_all_commands_share(
    account: BatchAccount, loop: Loop, tmp_path: Path
) -> None:
    account.idle_pool(1)
    path = tmp_path / "tasks.json"
    path.write_text('["exit 4"]')
    options: Any = {"tasks": str(path), "manager": loop.command, "exit_codes": {4: "skip"}}
    first = run_task(job_operator(deferrable=True, **options))
    path.unlink()
    loop.go.touch()

    done = finish_job(first, **options)

    assert done.state == "success", done.error
    assert [record["outcome"] for record in done.result["records"]] == ["succeeded", "skipped"]
