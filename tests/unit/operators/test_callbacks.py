"""What Airflow's callbacks, notifiers and metrics learn of the end of a task, deferred or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from airflow_provider_batchlinux import _metrics
from airflow_provider_batchlinux.operators.node_users import (
    BatchLinuxAddNodeUsersOperator,
    BatchLinuxAuditNodeUsersOperator,
)
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from airflow_provider_batchlinux.specs import TaskSpec
from tests.airflow_harness import TaskRun, end_deferral, resume_task, run_task, run_to_end, run_trigger
from tests.batch_account import BatchAccount
from tests.unit.commands import Loop, Runs, defer, finish, job_operator, operator


def failed_command(account: BatchAccount, **callbacks: Any) -> TaskRun:
    account.idle_pool(1)
    with TemporaryDirectory() as folder:
        loop = Loop(Path(folder))
        run = defer(f"{loop.command}; echo no such table >&2; exit 3")
        loop.go.touch()
        return finish(run, **callbacks)


def deleted_pool(slow_account: BatchAccount, **callbacks: Any) -> TaskRun:
    slow_account.make_pool(dedicated=1)

    def sensor(**given: Any) -> BatchLinuxNodesIdleSensor:
        options: dict[str, Any] = {"poke_interval": 0.02, "deferrable": True}
        return BatchLinuxNodesIdleSensor(task_id="nodes", pool_id="etl", **options, **given)

    run = run_task(sensor())
    assert run.deferral is not None, run.error
    slow_account.hook.delete_pool("etl")
    return resume_task(sensor(**callbacks), run, run_trigger(run.deferral))


def lost_trigger(account: BatchAccount, **callbacks: Any) -> TaskRun:
    account.idle_pool(1)
    run = defer("sleep 30")
    return end_deferral(operator("unused", deferrable=True, **callbacks), run, "Trigger failure")


@pytest.mark.parametrize(
    ("fail", "service", "cause"),
    [
        (failed_command, "account", "exit code 3"),
        (deleted_pool, "slow_account", "Pool 'etl' "),
        (lost_trigger, "account", "Airflow ended the wait of task 'work': Trigger failure."),
    ],
)
def test_the_failure_of_a_deferred_task_reaches_its_callback_with_the_cause(
    request: pytest.FixtureRequest, fail: Callable[..., TaskRun], service: str, cause: str
) -> None:
    told: list[str] = []

    run = fail(
        request.getfixturevalue(service),
        on_failure_callback=lambda context: told.append(str(context["exception"])),
    )

    assert run.state == "failed"
    assert told == [run.shown]
    assert cause in run.message


class Backend:
    """A metrics backend that adds up what it gets."""

    def __init__(self) -> None:
        self.counters: Counter[tuple[str, str, str]] = Counter()
        self.values: dict[str, object] = {}

    def incr(self, name: str, count: int, *, tags: dict[str, str]) -> None:
        self.counters[name, tags["task_id"], tags["outcome"]] += count

    def gauge(self, name: str, value: float, *, tags: dict[str, str]) -> None:  # noqa: ARG002
        self.values[name] = value

    def timing(self, name: str, value: timedelta, *, tags: dict[str, str]) -> None:  # noqa: ARG002
        self.values[name] = value


def test_a_retry_counts_only_what_it_has_run(
    account: BatchAccount, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    made = Backend()
    monkeypatch.setattr(_metrics, "_stats", lambda: made)
    account.idle_pool(1)
    flaky = TaskSpec(f"test -e {runs.fixed}", id="flaky")
    tasks = ["true", "exit 9", flaky, TaskSpec("true", id="last", depends_on=["flaky"])]

    tries = []
    for number in (1, 2, 3):
        tries.append(run_to_end(job_operator(tasks=tasks, exit_codes={9: "skip"}), try_number=number).state)
        if number == 2:
            runs.fixed.touch()

    assert tries == ["failed", "failed", "success"]
    assert made.counters == {
        ("batchlinux.commands", "work", "succeeded"): 3,
        ("batchlinux.commands", "work", "skipped"): 1,
        ("batchlinux.commands", "work", "failed"): 2,
        ("batchlinux.commands", "work", "not_run"): 2,
    }


def test_commands_and_users_are_counted_by_their_outcomes(
    account: BatchAccount, monkeypatch: pytest.MonkeyPatch, public_key: str
) -> None:
    made = Backend()
    monkeypatch.setattr(_metrics, "_stats", lambda: made)
    account.idle_pool(2, ssh=True)

    ends = [run_to_end(operator(f"exit {code}", exit_codes={"9": "skip"})) for code in (0, 3, 9)]
    many = run_to_end(job_operator(tasks=["true", "true", "false"], delete_job="always"))
    added = run_to_end(
        BatchLinuxAddNodeUsersOperator(
            task_id="add",
            pool_id="etl",
            username="nora",
            ssh_public_key=public_key,
            expires_in=3600,
        )
    )
    run_to_end(BatchLinuxAuditNodeUsersOperator(task_id="audit"))

    assert [run.state for run in (*ends, many, added)] == [
        "success", "failed", "skipped", "failed", "success"
    ]  # fmt: skip
    assert made.counters == {
        ("batchlinux.commands", "work", "succeeded"): 3,
        ("batchlinux.commands", "work", "failed"): 2,
        ("batchlinux.commands", "work", "skipped"): 1,
        ("batchlinux.users", "add", "added"): 2,
    }
    assert made.values.pop("batchlinux.command.time") > timedelta()  # type: ignore[operator]
    assert made.values == {"batchlinux.users.overdue": 0}
