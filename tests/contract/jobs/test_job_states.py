"""Jobs that are disabled, enabled, replaced and put in order, as the SDK sees them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from azure.batch import BatchClient, models

from tests.contract.requests import create_job, new_task, refusal_of

Eventually = Callable[[Callable[[], Any], Callable[[Any], bool]], Any]


@pytest.fixture
def running(client: BatchClient, make_pool: Any, eventually: Eventually) -> BatchClient:
    """Give a client of an account that has a job with one task that runs and one that waits."""
    create_job(client, make_pool())
    for name in ("runs", "waits"):
        client.create_task("work", new_task(name, "/bin/sleep 1000"))
    eventually(lambda: client.get_task("work", "runs").state, lambda state: state == "running")
    return client


@pytest.mark.parametrize(
    ("option", "state", "requeues"),
    [
        pytest.param("requeue", "active", 1, id="requeue"),
        pytest.param("terminate", "completed", 0, id="terminate"),
    ],
)
def test_disabling_a_job_applies_the_requested_action_to_its_running_tasks(
    running: BatchClient, eventually: Eventually, option: str, state: str, requeues: int
) -> None:
    _disable(running, option)

    eventually(lambda: running.get_job("work").state, lambda found: found == "disabled")
    task = running.get_task("work", "runs")
    assert (task.state, task.execution_info.requeue_count) == (state, requeues)
    assert running.get_task("work", "waits").state == "active"
    assert running.get_job("work").previous_state == "active"


def test_a_job_that_waits_for_its_tasks_is_disabling_until_they_end(
    running: BatchClient, send: Any, eventually: Eventually
) -> None:
    answer = send("POST", "/jobs/work/disable?api-version=2025-06-01", b'{"disableTasks":"wait"}')
    assert (answer.status, answer.headers["etag"][:2]) == (202, "0x")
    assert running.get_job("work").state == "disabling"
    assert running.get_task("work", "runs").state == "running"

    running.terminate_task("work", "runs")

    eventually(lambda: running.get_job("work").state, lambda state: state == "disabled")


def test_an_enabled_job_runs_its_tasks_again(running: BatchClient, eventually: Eventually) -> None:
    _disable(running, "terminate")

    running.begin_enable_job("work", polling_interval=0).result()

    assert running.get_job("work").state == "active"
    eventually(lambda: running.get_task("work", "waits").state, lambda state: state == "running")


def test_tasks_can_be_added_to_a_disabled_job_and_wait(running: BatchClient) -> None:
    _disable(running, "terminate")

    running.create_task("work", new_task("late", "true"))

    assert running.get_task("work", "late").state == "active"


def test_a_job_is_not_disabled_or_enabled_in_every_state(client: BatchClient, make_pool: Any) -> None:
    create_job(client, make_pool(dedicated=0))
    assert refusal_of(lambda: client.begin_enable_job("work")) == (409, "OperationInvalidForCurrentState")

    client.begin_terminate_job("work", {"terminateReason": "enough"}, polling_interval=0).result()

    assert refusal_of(lambda: _disable(client, "wait")) == (409, "JobCompleted")
    assert refusal_of(lambda: client.begin_enable_job("work")) == (409, "JobCompleted")


def test_replacing_a_job_resets_what_is_left_out(client: BatchClient, make_pool: Any) -> None:
    limits = models.BatchJobConstraints(max_task_retry_count=3)
    metadata = [models.BatchMetadataItem(name="colour", value="blue")]
    create_job(client, make_pool(dedicated=0), priority=7, constraints=limits, metadata=metadata)
    before = client.get_job("work")

    client.replace_job("work", models.BatchJob(pool_info=models.BatchPoolInfo(pool_id="linux")))

    job = client.get_job("work")
    assert (job.priority, job.constraints.max_task_retry_count, job.metadata) == (0, 0, None)
    assert (job.creation_time, job.state) == (before.creation_time, "active")
    assert job.etag != before.etag


def test_a_job_changes_its_pool_only_while_it_is_disabled(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    create_job(client, make_pool("empty", dedicated=0))
    client.create_task("work", new_task("one", "true"))
    other = models.BatchJob(pool_info=models.BatchPoolInfo(pool_id=make_pool("full")))
    refusal = (409, "OperationInvalidForCurrentState")
    assert refusal_of(lambda: client.replace_job("work", other)) == refusal

    _disable(client, "requeue")
    client.replace_job("work", other)
    client.begin_enable_job("work", polling_interval=0).result()

    task = eventually(lambda: client.get_task("work", "one"), lambda t: t.state == "completed")
    assert task.node_info.pool_id == "full"


def test_the_job_with_the_highest_priority_runs_first(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    create_job(client, make_pool(), "blocker")
    client.create_task("blocker", new_task("first", "/bin/sleep 1000"))
    eventually(lambda: client.get_task("blocker", "first").state, lambda state: state == "running")
    create_job(client, "linux", "low", priority=-1)
    create_job(client, "linux", "high", priority=1)
    for job_id in ("low", "high"):
        client.create_task(job_id, new_task("task", "/bin/sleep 1000"))

    client.terminate_task("blocker", "first")

    eventually(lambda: client.get_task("high", "task").state, lambda state: state == "running")
    assert client.get_task("low", "task").state == "active"


def test_a_job_runs_no_more_tasks_at_once_than_it_may(
    client: BatchClient, make_pool: Any, eventually: Eventually
) -> None:
    create_job(client, make_pool(task_slots_per_node=3), max_parallel_tasks=1)
    for name in ("a", "b"):
        client.create_task("work", new_task(name, "/bin/sleep 1000"))

    eventually(lambda: client.get_task("work", "a").state, lambda state: state == "running")
    assert client.get_task("work", "b").state == "active"
    client.update_job("work", models.BatchJobUpdateOptions(max_parallel_tasks=2))
    eventually(lambda: client.get_task("work", "b").state, lambda state: state == "running")


def test_replacing_a_task_changes_its_constraints_only(client: BatchClient, make_pool: Any) -> None:
    create_job(client, make_pool(dedicated=0), constraints=models.BatchJobConstraints(max_task_retry_count=2))
    client.create_task("work", new_task("one", "true"))
    limits = models.BatchTaskConstraints(max_wall_clock_time=timedelta(minutes=20))

    client.replace_task("work", "one", models.BatchTask(constraints=limits))

    task = client.get_task("work", "one")
    assert task.constraints.max_wall_clock_time == timedelta(minutes=20)
    assert (task.constraints.max_task_retry_count, task.command_line) == (2, "true")


def _disable(client: BatchClient, option: str) -> None:
    options = models.BatchJobDisableOptions(disable_tasks=option)
    client.begin_disable_job("work", options, polling_interval=0).result()
