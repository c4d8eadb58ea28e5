"""The records of many commands, when the Airflow task fails for another reason than its commands."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout

from airflow_provider_batchlinux.exceptions import BatchRequestError, TaskFailedError
from airflow_provider_batchlinux.specs import TaskSpec
from tests.airflow_harness import TaskRun, end_deferral, resume_task, run_task, run_trigger
from tests.batch_account import eventually
from tests.unit.commands import Loop, counts_of, job_of, job_operator, state_of
from tests.unit.operators.pool.test_pool_taken_back import killed_at
from tests.unit.storage import Storage

PLACE: dict[str, Any] = {"results_to": "abfs://logs/records.jsonl"}


def work(loop: Loop, **options: Any) -> Any:
    tasks = [
        TaskSpec("echo 7 > r.json", id="well", result_file="r.json"),
        TaskSpec("echo no such table >&2; exit 3", id="load"),
        TaskSpec(loop.command, id="long"),
    ]
    return job_operator(**{"tasks": tasks, "deferrable": True, **PLACE, **options})


def wait_for_two(storage: Storage, job_id: str) -> None:
    eventually(lambda: counts_of(storage.account, job_id).ended == 2)


def resumed(run: TaskRun, loop: Loop, **options: Any) -> TaskRun:
    assert run.deferral is not None
    return resume_task(work(loop, **options), run, run_trigger(run.deferral))


def when_the_time_is_over(storage: Storage, run: TaskRun, loop: Loop) -> TaskRun:
    assert run.deferral is not None
    late = {"deadline": time.time(), "limited_by": "execution_timeout"}
    arguments = {**run.deferral.trigger_kwargs, **late}
    run = replace(run, deferral=replace(run.deferral, trigger_kwargs=arguments))
    return resumed(run, loop, execution_timeout=timedelta(hours=1))


def when_the_pool_is_lost(storage: Storage, run: TaskRun, loop: Loop) -> TaskRun:
    storage.account.delete_pool()
    return resumed(run, loop)


def when_the_service_refuses(storage: Storage, run: TaskRun, loop: Loop) -> TaskRun:
    storage.account.control.inject("GET", "/taskcounts$", times=1, status=403, code="AuthorizationFailure")
    return resumed(run, loop)


def when_airflow_loses_the_trigger(storage: Storage, run: TaskRun, loop: Loop) -> TaskRun:
    return end_deferral(work(loop), run, "Trigger failure")


EXCEEDED = "Task 'work' exceeded execution_timeout=3600 s. Last status: "


@pytest.mark.parametrize(
    ("end", "delete_job", "kind", "cause"),
    [
        (when_the_time_is_over, "always", AirflowTaskTimeout, EXCEEDED),
        (when_the_pool_is_lost, "on_success", TaskFailedError, "cannot run: pool 'etl' does not exist."),
        (when_the_service_refuses, "always", BatchRequestError, "AuthorizationFailure"),
        (when_airflow_loses_the_trigger, "always", AirflowException, "Airflow ended the wait of task 'work'"),
    ],
    ids=lambda given: getattr(given, "__name__", None),
)
def test_a_wait_that_fails_keeps_the_records_of_what_has_ended(
    storage: Storage,
    loop: Loop,
    end: Callable[[Storage, TaskRun, Loop], TaskRun],
    delete_job: str,
    kind: type[BaseException],
    cause: str,
) -> None:
    logs = storage.container("logs")
    first = run_task(work(loop, delete_job=delete_job))
    wait_for_two(storage, job_of(first))

    done = end(storage, first, loop)

    assert isinstance(done.error, kind)
    before, _, after = done.message.partition(" 3 commands until then: ")
    assert cause in before
    assert "- 'load' in job " in after
    rows = {row["id"]: row for row in done.result["records"]}
    # The files of a lost pool are lost with it.
    well = ("failed", None) if end is when_the_pool_is_lost else ("succeeded", 7)
    assert (rows["well"]["outcome"], rows["well"]["result"]) == well
    assert (rows["load"]["outcome"], rows["load"]["exit_code"]) == ("failed", 3)
    assert rows["long"]["outcome"] in ("failed", "not_run")
    assert [json.loads(line) for line in logs.get("records.jsonl").decode().splitlines()] == [*rows.values()]
    eventually(lambda: not loop.runs())
    if end is when_the_pool_is_lost:
        # A retry finds no success whose result is lost.
        [left] = storage.account.jobs()
        read = storage.account.hook.run(lambda client: client.read_tasks(left, lambda body: body["id"]))
        assert sorted(read) == ["load", "long"]
    else:
        assert "no such table" in after
        expected = [] if delete_job == "always" else ["completed"]
        eventually(lambda: [state_of(storage.account, job) for job in storage.account.jobs()] == expected)


def test_the_end_of_the_time_on_a_worker_keeps_them_too(storage: Storage, loop: Loop) -> None:
    storage.container("logs")

    # In a line of the log: asyncio drops what a signal raises in one of its callbacks.
    with killed_at("2 of 3 done", signal.SIGALRM):
        done = run_task(work(loop, deferrable=False, execution_timeout=timedelta(hours=1)))

    assert isinstance(done.error, AirflowTaskTimeout)
    assert done.message.startswith("Task 'work' exceeded execution_timeout=3600 s.")
    shown, _, _ = done.log.partition("2 of 3 done, 1 failed")
    assert "Task 'load' of job " in shown, "The first failures are in the log as soon as they are counted."
    assert "no such table" in shown
    assert "3 commands until then: 1 succeeded, " in done.message
    assert done.result["records"][0]["result"] == 7
    assert done.result["records_file"].endswith("/logs/records.jsonl")
    eventually(lambda: not loop.runs())


def test_what_is_lost_with_a_job_that_was_deleted_by_hand_is_told(storage: Storage, loop: Loop) -> None:
    logs = storage.container("logs")
    first = run_task(work(loop))
    storage.account.hook.delete_job(job_of(first))

    done = resumed(first, loop)

    assert isinstance(done.error, TaskFailedError)
    assert done.message == (
        f"Job {job_of(first)!r} does not exist any more: it was deleted. 3 commands until then: 3 not run."
    )
    assert (done.result["job_id"], done.result["not_run"]) == (job_of(first), 3)
    assert logs.names() == ["records.jsonl"]


def test_a_result_that_cannot_be_read_leaves_the_other_records_and_the_job(storage: Storage) -> None:
    storage.container("logs")
    tasks = [TaskSpec("echo 7 > r.json", id=name, result_file="r.json") for name in ("a", "b")]
    storage.account.control.inject("HEAD", "/files/", times=None, status=403, code="AuthorizationFailure")

    done = run_task(job_operator(tasks=tasks, delete_job="always", **PLACE))

    assert isinstance(done.error, BatchRequestError)
    assert "2 commands until then: 2 succeeded." in done.message
    assert all("its result was not read: " in record["error"] for record in done.result["records"])
    assert len(storage.account.jobs()) == 1


def test_records_that_storage_refuses_are_in_the_xcom_of_the_task_that_fails(storage: Storage) -> None:
    done = run_task(job_operator(tasks=["true"], delete_job="always", **PLACE))

    assert done.state == "failed"
    assert "logs" in done.message
    assert (done.result["succeeded"], done.result["records_file"]) == (1, None)
    assert len(storage.account.jobs()) == 1


def test_a_submission_that_fails_tells_what_earlier_tries_have_done(storage: Storage) -> None:
    logs = storage.container("logs")
    tasks = [TaskSpec("true", id="well"), TaskSpec("exit 3", id="load")]
    run_task(job_operator(tasks=tasks))
    storage.account.control.inject("POST", "/jobs$", times=None, status=400, code="InvalidPropertyValue")

    done = run_task(job_operator(tasks=tasks, **PLACE), try_number=2)

    assert isinstance(done.error, BatchRequestError)
    assert "2 commands until then: 1 succeeded, 1 failed. - 'load' in job " in done.message
    assert len(logs.get("records.jsonl").splitlines()) == 2
