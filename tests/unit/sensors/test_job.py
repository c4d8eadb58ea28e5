"""The sensor for jobs made elsewhere: each way in which a job, or a task of it, can end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.tasks.job_outcome import JobOutcomeWait, TaskOutcomeWait
from airflow_provider_batchlinux.exceptions import TaskFailedError
from airflow_provider_batchlinux.hooks.batch_linux import DEFAULT_CONN_ID
from airflow_provider_batchlinux.sensors.job import BatchLinuxJobSensor
from airflow_provider_batchlinux.triggers.job import BatchLinuxJobOutcomeTrigger
from tests.airflow_harness import Deferral, TaskRun, resume_task, run_task, run_trigger
from tests.batch_account import BatchAccount, eventually
from tests.unit.commands import counts_of, state_of


def sensor(**options: Any) -> BatchLinuxJobSensor:
    given = {"job_id": "render", "poke_interval": 0.02, "timeout": 20, **options}
    return BatchLinuxJobSensor(task_id="rendered", **given)


def make_job(account: BatchAccount, **job: Any) -> None:
    body = {"id": "render", "poolInfo": {"poolId": "etl"}, **job}
    account.hook.run(lambda client: client.create_job(body))


def add(account: BatchAccount, **commands: str | dict[str, Any]) -> None:
    async def create(client: BatchLinuxClient) -> None:
        for task_id, command in commands.items():
            more = {"commandLine": f"/bin/bash -c '{command}'"} if isinstance(command, str) else command
            await client.create_task("render", {"id": task_id, **more})

    account.hook.run(create)


def ran(**commands: str) -> Callable[[BatchAccount], None]:
    """Give a job whose commands have ended."""

    def prepare(account: BatchAccount) -> None:
        account.idle_pool()
        make_job(account)
        add(account, **commands)
        eventually(lambda: counts_of(account, "render").ended == len(commands))

    return prepare


def no_job(_account: BatchAccount) -> None:
    """Give no job."""


def waiting(account: BatchAccount) -> None:
    """Give a job with a task that no node runs yet."""
    account.make_pool()
    make_job(account)
    add(account, a="true")


def ended_waiting(account: BatchAccount) -> None:
    waiting(account)
    account.hook.run(lambda client: client.end_job("render"))
    eventually(lambda: state_of(account, "render") == "completed")


def ended_empty(account: BatchAccount) -> None:
    account.make_pool()
    make_job(account)
    account.hook.run(lambda client: client.end_job("render"))
    eventually(lambda: state_of(account, "render") == "completed")


def disable(account: BatchAccount) -> None:
    body: Any = {"disableTasks": "requeue"}

    async def ask(client: BatchLinuxClient) -> None:
        await client.sdk.begin_disable_job("render", body)

    account.hook.run(ask)
    eventually(lambda: state_of(account, "render") == "disabled")


def disabled_waiting(account: BatchAccount) -> None:
    waiting(account)
    disable(account)


def disabled_empty(account: BatchAccount) -> None:
    account.make_pool()
    make_job(account)
    disable(account)


def pool_missing(account: BatchAccount) -> None:
    waiting(account)
    account.delete_pool()


def pool_missing_empty(account: BatchAccount) -> None:
    account.make_pool()
    make_job(account)
    account.delete_pool()


def blocked(account: BatchAccount) -> None:
    account.idle_pool()
    make_job(account, usesTaskDependencies=True)
    add(account, first="exit 4")
    then = {"commandLine": "/bin/true", "dependsOn": {"taskIds": ["first"]}}
    add(account, a=then)
    eventually(lambda: counts_of(account, "render").failed == 1)


@dataclass(frozen=True)
class Case:
    """
    A job, and what the sensor says about it.

    :param expected: parts of the result, or of the message if the task fails.
    """

    name: str
    prepare: Callable[[BatchAccount], None]
    expected: dict[str, Any] | tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


ONE = {"batch_task_id": "a"}
FAILS = ran(a="true", b="echo no such table >&2; exit 3")
CASES = [
    Case("all succeed", ran(a="true", b="true"), {"tasks": 2, "succeeded": 2, "failed": 0, "not_run": 0}),
    Case("one fails", FAILS, ("1 of 2 commands did not succeed", "'b'", "exit code 3", "no such table")),
    Case("one may fail", FAILS, {"succeeded": 1, "failed": 1}, {"max_failed": 1}),
    Case("half may fail", FAILS, {"succeeded": 1, "failed": 1}, {"max_failed": "50%"}),
    Case("a share fails", FAILS, ("1 of 2 commands did not succeed",), {"max_failed": "49%"}),
    Case("no job", no_job, ("Job 'render' does not exist.",)),
    Case("ended waiting", ended_waiting, ("1 of 1 command did not succeed", "'a'", "is completed")),
    Case("nothing ran", ended_waiting, ("1 of 1 command did not succeed",), {"max_failed": "100%"}),
    Case("ended empty", ended_empty, ("has ended without a task", "allow_empty=True")),
    Case("may be empty", ended_empty, {"job_id": "render", "tasks": 0}, {"allow_empty": True}),
    Case("disabled", disabled_waiting, ("is disabled and has tasks that have not begun",)),
    Case("disabled empty", disabled_empty, ("is disabled and has no tasks",)),
    Case("no pool", pool_missing, ("pool 'etl' does not exist",)),
    Case("no pool, empty", pool_missing_empty, ("pool 'etl' does not exist",)),
    Case("blocked", blocked, ("2 of 2 commands", "waits for commands that have failed"), {"max_failed": 1}),
    Case("task succeeds", ran(a="true", b="exit 3"), {**ONE, "job_id": "render", "exit_code": 0}, ONE),
    Case("task fails", ran(a="echo gone >&2; exit 3"), ("Task 'a'", "exit code 3 on node", "gone"), ONE),
    Case("task, no job", no_job, ("Job 'render' does not exist.",), ONE),
    Case("task, ended", ended_waiting, ("Task 'a' of job 'render' is active, and never runs",), ONE),
    Case("no task, ended", ended_empty, ("'a' of job 'render' does not exist yet, and never runs",), ONE),
    Case("task, disabled", disabled_waiting, ("is disabled and task 'a' is active",), ONE),
    Case("task, no pool", pool_missing, ("pool 'etl' does not exist",), ONE),
    Case("task, blocked", blocked, ("'a' of job 'render' is active, and never runs: What is left",), ONE),
]


def on_triggerer(**options: Any) -> TaskRun:
    """Run the trigger, also if the poll before the deferral would have sufficed, and the rest of the task."""
    trigger = BatchLinuxJobOutcomeTrigger(
        job_id="render", batch_linux_conn_id=DEFAULT_CONN_ID, poll_interval=0.02, **options
    )
    deferral = Deferral(*trigger.serialize(), timeout=None, next_method="execute_complete")
    run = TaskRun("deferred", None, {}, {}, "", deferral)
    return resume_task(sensor(deferrable=True, **options), run, run_trigger(deferral))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_what_has_ended_or_never_can_is_told_on_the_worker_and_by_the_trigger(
    account: BatchAccount, case: Case
) -> None:
    case.prepare(account)

    for run in (run_task(sensor(deferrable=False, **case.options)), on_triggerer(**case.options)):
        if isinstance(case.expected, dict):
            assert run.state == "success", run.error
            assert {name: run.result[name] for name in case.expected} == case.expected
        else:
            assert isinstance(run.error, TaskFailedError), run.state
            assert [part for part in case.expected if part not in run.message] == []


@pytest.mark.parametrize("options", [{}, ONE], ids=["job", "task"])
def test_a_job_without_tasks_is_waited_for_until_one_has_run(
    account: BatchAccount, options: dict[str, Any]
) -> None:
    account.idle_pool()
    make_job(account)
    assert run_task(sensor(mode="reschedule", **options)).state == "up_for_reschedule"
    run = run_task(sensor(deferrable=True, **options))
    assert run.deferral is not None, run.error
    add(account, a="true")

    done = resume_task(sensor(deferrable=True, **options), run, run_trigger(run.deferral))

    assert done.state == "success", done.error
    assert done.result["job_id"] == "render"


def test_a_dependency_that_does_not_exist_yet_is_waited_for(account: BatchAccount) -> None:
    account.idle_pool()
    make_job(account, usesTaskDependencies=True)
    add(account, a={"commandLine": "/bin/true", "dependsOn": {"taskIds": ["later"]}})
    now = [1000.0]

    async def poll(client: BatchLinuxClient) -> None:
        for wait in (
            JobOutcomeWait(client, "", "render", 1, clock=lambda: now[0]),
            TaskOutcomeWait(client, "", "render", 1, task_id="a", clock=lambda: now[0]),
        ):
            for _ in range(3):
                assert await wait.poll() is None
                now[0] += 20
            assert "waits for commands that have failed or do not exist." in wait.status

    account.hook.run(poll)


@pytest.mark.parametrize("options", [{}, ONE], ids=["job", "task"])
def test_a_job_that_is_deleted_meanwhile_fails_the_wait(
    account: BatchAccount, options: dict[str, Any]
) -> None:
    waiting(account)
    run = run_task(sensor(deferrable=True, **options))
    assert run.deferral is not None, run.error
    account.hook.run(lambda client: client.delete_job("render"))
    eventually(lambda: account.jobs() == [])

    done = resume_task(sensor(deferrable=True, **options), run, run_trigger(run.deferral))

    assert isinstance(done.error, TaskFailedError)
    assert "'render' does not exist" in done.message


def test_the_first_failure_ends_the_wait_while_others_run(account: BatchAccount, tmp_path: Any) -> None:
    account.idle_pool(2)
    make_job(account)
    add(account, long=f"until [ -e {tmp_path}/go ]; do sleep 0.02; done", bad="exit 3")
    eventually(lambda: counts_of(account, "render").failed == 1)

    run = run_task(sensor(deferrable=True))
    (tmp_path / "go").touch()

    assert isinstance(run.error, TaskFailedError)
    assert run.error.exit_code == 3


def test_a_sensor_that_pokes_names_a_wait_for_a_missing_task(
    account: BatchAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("job_wait", "job_outcome"):
        monkeypatch.setattr(f"airflow_provider_batchlinux.client.tasks.{module}.LOOK_EVERY", 0.0)
    account.make_pool()
    make_job(account, usesTaskDependencies=True)
    add(account, first="true", a={"commandLine": "/bin/true", "dependsOn": {"taskIds": ["first"]}})
    account.hook.run(lambda client: client.delete_task("render", "first"))

    run = run_task(sensor(deferrable=False, timeout=2))

    assert "What is left waits for commands that have failed or do not exist" in run.message


def test_what_is_about_all_tasks_is_refused_for_one() -> None:
    run = run_task(sensor(max_failed=1, allow_empty=True, **ONE))

    assert "max_failed is about all tasks" in run.message
    assert "allow_empty is about all tasks" in run.message
