"""Tasks that depend on others, and jobs that act on how tasks end, as the SDK sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError

Eventually = Callable[[Callable[[], Any], Callable[[Any], bool]], Any]
AddTask = Callable[..., None]


@pytest.fixture
def add(client: BatchClient, make_pool: Any) -> AddTask:
    """Give a function that adds a task to a job that uses dependencies and acts on failures."""
    job = models.BatchJobCreateOptions(
        id="work",
        pool_info=models.BatchPoolInfo(pool_id=make_pool()),
        uses_task_dependencies=True,
        task_failure_mode="performexitoptionsjobaction",
    )
    client.create_job(job)

    def add_task(task_id: str, command: str = "true", **options: Any) -> None:
        client.create_task("work", models.BatchTaskCreateOptions(id=task_id, command_line=command, **options))

    return add_task


def test_a_task_runs_once_those_it_depends_on_have_succeeded(
    client: BatchClient, add: AddTask, eventually: Eventually
) -> None:
    add("last", depends_on=models.BatchTaskDependencies(task_ids=["FIRST", "second"]))
    add("first")
    eventually(lambda: client.get_task("work", "first").state, lambda state: state == "completed")
    assert client.get_task("work", "last").state == "active"

    add("second")

    task = eventually(lambda: client.get_task("work", "last"), lambda t: t.state == "completed")
    assert task.execution_info.start_time >= client.get_task("work", "second").execution_info.end_time
    assert task.depends_on.task_ids == ["FIRST", "second"]


def test_a_task_depends_on_a_range_of_others(
    client: BatchClient, add: AddTask, eventually: Eventually
) -> None:
    ids = models.BatchTaskIdRange(start=9, end=11)
    add("last", depends_on=models.BatchTaskDependencies(task_id_ranges=[ids]))
    for number in (11, 9):
        add(str(number))
        eventually(lambda: client.get_task("work", str(number)).state, lambda s: s == "completed")  # noqa: B023
    assert client.get_task("work", "last").state == "active"

    add("10")

    eventually(lambda: client.get_task("work", "last").state, lambda state: state == "completed")


def test_a_failed_task_blocks_its_dependants_unless_the_dependency_action_satisfies_them(
    client: BatchClient, add: AddTask, eventually: Eventually
) -> None:
    fails = "/bin/sh -c 'exit 3'"
    add("strict", fails, exit_conditions=_on_3(job_action="none"))
    add("mild", fails, exit_conditions=_on_3(job_action="none", dependency_action="satisfy"))
    add("after-strict", depends_on=models.BatchTaskDependencies(task_ids=["strict"]))
    add("after-mild", depends_on=models.BatchTaskDependencies(task_ids=["mild"]))

    eventually(lambda: client.get_task("work", "after-mild").state, lambda state: state == "completed")

    assert client.get_task("work", "strict").state == "completed"
    assert client.get_task("work", "after-strict").state == "active"


def test_a_task_that_is_reactivated_still_waits_for_those_it_depends_on(
    client: BatchClient, add: AddTask, eventually: Eventually
) -> None:
    no_action = models.ExitConditions(default=models.ExitOptions(job_action="none"))
    depends_on = models.BatchTaskDependencies(task_ids=["first"])
    add("last", depends_on=depends_on, exit_conditions=no_action)
    client.terminate_task("work", "last")

    client.reactivate_task("work", "last")

    add("other")
    eventually(lambda: client.get_task("work", "other").state, lambda state: state == "completed")
    assert client.get_task("work", "last").state == "active"
    add("first")
    eventually(lambda: client.get_task("work", "last").state, lambda state: state == "completed")


def test_a_failed_task_terminates_its_job_if_that_acts_on_failures(
    client: BatchClient, add: AddTask, eventually: Eventually
) -> None:
    add("fails", "/bin/false")

    job = eventually(lambda: client.get_job("work"), lambda found: found.state == "completed")

    assert job.execution_info.termination_reason == "TaskFailed"


def test_a_failed_task_disables_its_job_if_its_exit_code_says_so(
    client: BatchClient, add: AddTask, eventually: Eventually
) -> None:
    add("fails", "/bin/sh -c 'exit 3'", exit_conditions=_on_3(job_action="disable"))

    eventually(lambda: client.get_job("work").state, lambda state: state == "disabled")


def test_dependencies_and_actions_need_a_job_that_takes_them(client: BatchClient, make_pool: Any) -> None:
    pool = models.BatchPoolInfo(pool_id=make_pool(dedicated=0))
    client.create_job(models.BatchJobCreateOptions(id="plain", pool_info=pool))
    depends_on = models.BatchTaskDependencies(task_ids=["other"])

    def refusal(**options: Any) -> tuple[int | None, Any]:
        task = models.BatchTaskCreateOptions(id="task", command_line="true", **options)
        with pytest.raises(HttpResponseError) as caught:
            client.create_task("plain", task)
        return caught.value.status_code, caught.value.error.code

    assert refusal(depends_on=depends_on) == (400, "TaskDependenciesNotSpecifiedOnJob")
    invalid = (400, "InvalidPropertyValue")
    assert refusal(exit_conditions=_on_3(job_action="terminate")) == invalid
    assert refusal(exit_conditions=_on_3(dependency_action="satisfy")) == invalid


def _on_3(**options: str) -> models.ExitConditions:
    mapping = models.ExitCodeMapping(code=3, exit_options=models.ExitOptions(**options))
    return models.ExitConditions(exit_codes=[mapping])
