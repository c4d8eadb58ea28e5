"""What a person sees of a failure: Airflow's last record has the cause and the remedy, and nothing below."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_batchlinux.emulator import airflow_connection
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchQuotaError,
    BatchUnreachableError,
    PoolNotReadyError,
    TaskFailedError,
)
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import AIRFLOW, TaskRun, resume_task, run_task, run_trigger
from tests.batch_account import BatchAccount
from tests.conftest import set_connection
from tests.unit.commands import operator

WRONG_KEY = "d3Jvbmcga2V5"
NOWHERE = "http://127.0.0.1:9"
CONNECTION = "AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT"

Break = Callable[[BatchAccount, pytest.MonkeyPatch], None]


def creating(**options: Any) -> BatchLinuxCreatePoolOperator:
    given = {"pool_id": "new", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5", **options}
    return BatchLinuxCreatePoolOperator(task_id="create", **given)


def waiting(**options: Any) -> BatchLinuxNodesIdleSensor:
    return BatchLinuxNodesIdleSensor(task_id="wait", pool_id="etl", poke_interval=0.02, **options)


def broken_start_task(account: BatchAccount, _patch: pytest.MonkeyPatch) -> None:
    account.make_pool(
        dedicated=3,
        start_task="echo to stdout; echo no such package >&2; exit 3",
        until={"starttaskfailed": 3},
    )


def quota(account: BatchAccount, _patch: pytest.MonkeyPatch) -> None:
    account.control.inject("POST", "/pools$", status=409, code="AccountCoreQuotaReached")


def idle(account: BatchAccount, _patch: pytest.MonkeyPatch) -> None:
    account.idle_pool()


def wrong_key(account: BatchAccount, patch: pytest.MonkeyPatch) -> None:
    set_connection(patch, account.service, key=WRONG_KEY)


def no_connection(_account: BatchAccount, patch: pytest.MonkeyPatch) -> None:
    patch.delenv(CONNECTION)


def no_answer(account: BatchAccount, patch: pytest.MonkeyPatch) -> None:
    uri = airflow_connection(NOWHERE, "batchlinux", account.service.key, None, retry_budget=0)
    patch.setenv(CONNECTION, uri)


def nothing(_account: BatchAccount, _patch: pytest.MonkeyPatch) -> None:
    pass


AirflowNotFound = "AirflowNotFoundException"

FAILURES: dict[str, tuple[Break, Callable[[], Any], str, str, str]] = {
    "start task": (
        broken_start_task,
        waiting,
        PoolNotReadyError.__name__,
        "Pool 'etl' has nodes that will not become ready: 3 starttaskfailed.\n  nodes 'tvm",
        "Correct the start task and create the pool again.",
    ),
    "no image": (
        nothing,
        lambda: creating(image="ubuntu 99.04"),
        "ImageNotFoundError",
        "image='ubuntu 99.04' (needed until",
        "Ask for what one of these is",
    ),
    "quota": (
        quota,
        creating,
        BatchQuotaError.__name__,
        "Could not create pool 'new': AccountCoreQuotaReached",
        "ask for a higher core quota.",
    ),
    "wrong key": (
        wrong_key,
        creating,
        BatchAuthenticationError.__name__,
        "Could not list supported images: Server failed to authenticate the request.",
        "Check the account name and key, or the identity and its role on the account.",
    ),
    "wrong key, sensor": (
        wrong_key,
        waiting,
        BatchAuthenticationError.__name__,
        "Could not get pool 'etl': Server failed to authenticate the request.",
        "Check the account name and key, or the identity and its role on the account.",
    ),
    "command": (
        idle,
        lambda: operator("echo out; echo bad >&2; exit 7"),
        TaskFailedError.__name__,
        "Task 'main' in job 'af-harness-work-",
        "The end of its stderr:\n    bad",
    ),
    "no connection": (
        no_connection,
        creating,
        AirflowNotFound,
        "Connection 'azure_batch_linux_default' is not defined.",
        f"as the environment variable {CONNECTION}",
    ),
    "no connection, sensor": (
        no_connection,
        waiting,
        AirflowNotFound,
        "Connection 'azure_batch_linux_default' is not defined.",
        f"as the environment variable {CONNECTION}",
    ),
    "no answer": (
        no_answer,
        creating,
        BatchUnreachableError.__name__,
        "Could not list supported images: no answer from the service",
        "Check account_url, name resolution and the firewall.",
    ),
}

each = pytest.mark.parametrize("name", FAILURES)


def own_frames(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [frame.name for frame in frames if "/airflow_provider_batchlinux/" in frame.filename]


def below_airflow(error: BaseException) -> list[str]:
    """Give the frames below those of Airflow's task runner."""
    frames = traceback.extract_tb(error.__traceback__)
    last = max(number for number, frame in enumerate(frames) if "/airflow/sdk/" in frame.filename)
    return [frame.name for frame in frames[last + 1 :]]


def fail(name: str, account: BatchAccount, patch: pytest.MonkeyPatch, **options: Any) -> TaskRun:
    prepare, task, *_ = FAILURES[name]
    prepare(account, patch)
    made = task()
    for option, value in options.items():
        setattr(made, option, value)
    run = run_task(made)
    if run.deferral is not None:
        run = resume_task(task(), run, run_trigger(run.deferral))
    assert run.state == "failed"
    return run


def require_plain(run: TaskRun) -> None:
    assert run.error is not None
    assert len(own_frames(run.error)) == 1
    assert below_airflow(run.error) == ["plain"]
    assert run.error.__cause__ is None
    assert run.error.__suppress_context__


@each
@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferrable"])
def test_a_failure_ends_in_its_cause_and_its_remedy(account, monkeypatch, name, deferrable):
    _, _, kind, cause, remedy = FAILURES[name]

    run = fail(name, account, monkeypatch, deferrable=deferrable)

    assert type(run.error).__name__ == kind
    assert run.message.startswith(" ".join(cause.split()))
    assert " ".join(remedy.split()) in run.message
    assert all(len(line) <= 96 or line.startswith("    ") for line in run.shown.splitlines())
    require_plain(run)


@each
def test_airflows_own_record_of_a_failure_comes_last(account, monkeypatch, name):
    run = fail(name, account, monkeypatch)

    lines = [
        line for line in run.log.splitlines() if line and "::group::" not in line and "::endg" not in line
    ]
    after = lines[[line.startswith("Task failed with exception") for line in lines].index(True) + 1 :]
    # Airflow 3.1 looks for links that the task has not stored.
    own = ("XCom not found", "No XCom value found") if AIRFLOW < (3, 2) else "XCom not found"
    assert [line for line in after if not line.startswith(own)] == []
    assert "ready after" not in run.log


def test_the_same_output_of_many_nodes_is_shown_once_and_stderr_first(account, monkeypatch):
    run = fail("start task", account, monkeypatch)

    assert run.message.count("no such package") == 1
    assert run.message.count("start task failed with exit code 3") == 1
    assert run.message.index("stderr:") < run.message.index("stdout:")
    assert len(run.shown.splitlines()) == 16


@each
def test_nothing_says_that_an_exit_code_is_a_failure(account, monkeypatch, name):
    run = fail(name, account, monkeypatch)

    assert "FailureExitCode" not in run.message
    assert "(Message:" not in run.message


def test_stdout_and_stderr_of_a_command_are_logged_once(account, monkeypatch):
    run = fail("command", account, monkeypatch)

    assert (run.log.count("stderr of job"), run.log.count("stdout of job")) == (1, 1)


def test_the_way_of_an_error_is_there_for_debugging(account, monkeypatch, caplog):
    with caplog.at_level("DEBUG", logger="airflow_provider_batchlinux.operators._base"):
        fail("quota", account, monkeypatch)

    ways = [record.exc_info for record in caplog.records if record.exc_info]
    assert any("ensure_pool" in "".join(traceback.format_exception(*way)) for way in ways if way)


def test_a_fault_of_this_package_keeps_its_frames(account, monkeypatch):
    def faulty(*_given: object) -> None:
        raise KeyError

    monkeypatch.setattr("airflow_provider_batchlinux.client.pools.create.resolve_pool", faulty)

    run = run_task(creating())

    assert isinstance(run.error, KeyError)
    assert "faulty" in [frame.name for frame in traceback.extract_tb(run.error.__traceback__)]
    assert account.pools() == []
