"""How long the files of tasks are kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.emulator import EmulatorOptions, RunningEmulator, run_emulator
from tests.emulator.conftest import Account

Start = Callable[..., Account]
DAY = 86400


@pytest.fixture
def account(start: Start) -> Account:
    """Give an account whose clock is moved by hand, with a node and a job."""
    return ready(start(clock="manual"))


def ready(account: Account) -> Account:
    account.create_pool()
    account.send("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "linux"}})
    return account


def run(account: Account, retention: str | None = None) -> dict[str, Any]:
    limits = {} if retention is None else {"constraints": {"retentionTime": retention}}
    task = {"id": "task", "commandLine": "bash -c 'echo kept > file.txt'", **limits}
    account.send("POST", "/jobs/job/tasks", task)
    return wait_for(account, "completed")


def wait_for(account: Account, state: str) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while (task := account.send("GET", "/jobs/job/tasks/task"))["state"] != state:
        assert time.monotonic() < deadline, task
    return dict(task)


def code_of_file(account: Account, path: str = "/jobs/job/tasks/task/files/stdout.txt") -> str | None:
    answer = account.send("HEAD", path)
    return None if answer == 200 else account.send("GET", path)["code"]


@pytest.mark.parametrize(
    ("retention", "seconds"),
    [pytest.param(None, 7 * DAY, id="seven days"), pytest.param("PT1H", 3600, id="as asked")],
)
def test_the_files_of_a_task_go_when_their_time_is_over(
    account: Account, retention: str | None, seconds: int
) -> None:
    node = run(account, retention)["nodeInfo"]["nodeId"]
    account.emulator.control.advance(seconds - 1)
    before = code_of_file(account)

    account.emulator.control.advance(1)

    assert (before, code_of_file(account)) == (None, "TaskFilesCleanedup")
    path = f"/pools/linux/nodes/{node}/files/workitems/job/job-1/task/stdout.txt"
    assert code_of_file(account, path) == "FileNotFound"
    assert account.send("GET", "/jobs/job/tasks/task")["state"] == "completed"


def test_files_without_an_end_are_kept(account: Account) -> None:
    run(account, "P10675199DT2H48M5.4775807S")

    account.emulator.control.advance(10_000 * DAY)

    assert code_of_file(account) is None


def test_a_longer_time_that_is_given_later_counts(account: Account) -> None:
    run(account, "PT1H")
    account.send("PUT", "/jobs/job/tasks/task", {"constraints": {"retentionTime": "PT3H"}})

    account.emulator.control.advance(2 * 3600)
    before = code_of_file(account)
    account.emulator.control.advance(3600)

    assert (before, code_of_file(account)) == (None, "TaskFilesCleanedup")


def test_a_shorter_time_that_is_given_later_counts(account: Account) -> None:
    run(account, "PT3H")
    account.emulator.control.advance(3600)
    before = code_of_file(account)

    account.send("PUT", "/jobs/job/tasks/task", {"constraints": {"retentionTime": "PT1H"}})
    account.emulator.control.advance(1)

    assert (before, code_of_file(account)) == (None, "TaskFilesCleanedup")


def test_a_task_that_runs_again_keeps_its_new_files(account: Account) -> None:
    task = {
        "id": "task",
        "commandLine": "bash -c 'mkdir $AZ_BATCH_NODE_SHARED_DIR/ran && exit 1; true'",
        "constraints": {"retentionTime": "PT1H"},
    }
    account.send("POST", "/jobs/job/tasks", task)
    wait_for(account, "completed")
    account.emulator.control.advance(1800)
    account.send("POST", "/jobs/job/tasks/task/reactivate")
    wait_for(account, "completed")

    account.emulator.control.advance(1800)
    before = code_of_file(account)
    account.emulator.control.advance(1800)

    assert (before, code_of_file(account)) == (None, "TaskFilesCleanedup")


def test_a_task_that_is_deleted_takes_its_files_along(account: Account) -> None:
    node = run(account)["nodeInfo"]["nodeId"]

    account.send("DELETE", "/jobs/job/tasks/task")

    path = f"/pools/linux/nodes/{node}/files/workitems/job/job-1/task/stdout.txt"
    assert code_of_file(account, path) == "FileNotFound"
    assert code_of_file(account) == "TaskNotFound"


def test_a_restart_does_not_lose_the_end_of_a_retention(
    tmp_path: Path, account_of: Callable[[RunningEmulator], Account]
) -> None:
    options = EmulatorOptions(clock="manual", state=tmp_path / "account")
    with run_emulator(options) as emulator:
        run(ready(account_of(emulator)), "PT1H")
    with run_emulator(options) as emulator:
        account = account_of(emulator)
        account.wait_for_nodes("linux", "idle")
        before = code_of_file(account)

        emulator.control.advance(3600)

        assert (before, code_of_file(account)) == (None, "TaskFilesCleanedup")
