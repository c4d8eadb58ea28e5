"""Jobs and tasks, as the SDK sees them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from azure.batch import BatchClient, models

from airflow_provider_batchlinux.emulator import RunningEmulator
from tests.contract.requests import create_job, new_task, refusal_of


def test_a_task_that_exits_with_0_succeeds(client: BatchClient, run_task: Any) -> None:
    task = run_task("/bin/sh -c 'echo $AZ_BATCH_JOB_ID $AZ_BATCH_TASK_ID'")

    assert (task.execution_info.exit_code, task.execution_info.result) == (0, "success")
    assert task.execution_info.failure_info is None
    assert task.node_info.pool_id == "workers"
    assert b"".join(client.download_task_file("job", "task", "stdout.txt")) == b"job task\n"


def test_a_task_that_exits_otherwise_fails_after_its_retries(run_task: Any) -> None:
    limits = models.BatchTaskConstraints(max_task_retry_count=2)

    task = run_task("/bin/sh -c 'exit 7'", constraints=limits)

    assert (task.execution_info.exit_code, task.execution_info.result) == (7, "failure")
    assert task.execution_info.retry_count == 2
    assert task.execution_info.failure_info.code == "FailureExitCode"


def test_a_command_line_is_not_run_by_a_shell(client: BatchClient, run_task: Any) -> None:
    run_task("/bin/echo $HOME && exit 1")

    stdout = b"".join(client.download_task_file("job", "task", "stdout.txt"))
    assert stdout == b"$HOME && exit 1\n"


def test_a_task_over_its_wall_clock_limit_is_ended(run_task: Any) -> None:
    limits = models.BatchTaskConstraints(
        max_wall_clock_time=timedelta(milliseconds=100), max_task_retry_count=3
    )

    task = run_task("/bin/sleep 1000", constraints=limits)

    assert task.execution_info.result == "failure"
    assert task.execution_info.retry_count == 0
    assert task.execution_info.exit_code is None


def test_tasks_see_the_settings_of_their_job(client: BatchClient, make_pool: Any, eventually: Any) -> None:
    settings = [models.EnvironmentSetting(name="COLOUR", value="blue")]
    create_job(client, make_pool(), common_environment_settings=settings)
    client.create_task("work", new_task("one", "/bin/sh -c 'test $COLOUR = blue'"))

    task = eventually(lambda: client.get_task("work", "one"), lambda t: t.state == "completed")
    assert task.execution_info.exit_code == 0


def test_a_node_runs_as_many_tasks_as_it_has_slots(
    client: BatchClient, make_pool: Any, eventually: Any
) -> None:
    create_job(client, make_pool(task_slots_per_node=2))
    for name in ("a", "b", "c"):
        client.create_task("work", new_task(name, "/bin/sleep 1000"))

    counts = eventually(lambda: client.get_job_task_counts("work"), lambda c: c.task_counts.running == 2)
    (node,) = client.list_nodes("linux")

    assert counts.task_counts.active == 1
    assert (node.state, node.running_tasks_count) == ("running", 2)


def test_tasks_that_follow_each_other_take_turns_over_the_nodes(
    client: BatchClient, make_pool: Any, eventually: Any
) -> None:
    create_job(client, make_pool(dedicated=3))
    for name in ("a", "b", "c"):
        client.create_task("work", new_task(name, "/bin/true"))
        eventually(lambda task_id=name: client.get_task("work", task_id), lambda t: t.state == "completed")

    assert len({task.node_info.node_id for task in client.list_tasks("work")}) == 3


def test_a_terminated_task_is_completed_and_its_node_idle(
    client: BatchClient, make_pool: Any, eventually: Any
) -> None:
    create_job(client, make_pool())
    client.create_task("work", new_task("one", "/bin/sleep 1000"))
    eventually(lambda: client.get_task("work", "one").state, lambda state: state == "running")

    client.terminate_task("work", "one")

    task = client.get_task("work", "one")
    assert (task.state, task.previous_state) == ("completed", "running")
    assert task.execution_info.failure_info.code == "TaskEnded"
    assert task.execution_info.failure_info.details is None
    assert task.execution_info.end_time == task.state_transition_time == task.last_modified
    assert next(iter(client.list_nodes("linux"))).state == "idle"
    assert refusal_of(lambda: client.terminate_task("work", "one")) == (409, "TaskCompleted")


def test_a_reactivated_task_runs_again(client: BatchClient, run_task: Any, eventually: Any) -> None:
    run_task("/bin/sh -c 'mkdir $AZ_BATCH_NODE_SHARED_DIR/was-here && exit 1'")
    client.reactivate_task("job", "task")

    task = eventually(lambda: client.get_task("job", "task"), lambda t: t.state == "completed")
    assert task.execution_info.exit_code == 1
    assert task.previous_state == "running"


def test_tasks_of_a_lost_node_wait_for_another_one(
    client: BatchClient, batch_emulator: RunningEmulator, make_pool: Any, eventually: Any
) -> None:
    create_job(client, make_pool())
    client.create_task("work", new_task("one", "/bin/sleep 1000"))
    task = eventually(lambda: client.get_task("work", "one"), lambda t: t.state == "running")

    batch_emulator.control.set_node("linux", task.node_info.node_id, "preempted")

    task = client.get_task("work", "one")
    assert (task.state, task.execution_info.requeue_count) == ("active", 1)
    assert task.node_info is None


def test_a_collection_tells_which_tasks_were_added(client: BatchClient, make_pool: Any) -> None:
    create_job(client, make_pool(dedicated=0))
    tasks = [new_task("one", "true"), new_task("two", "true"), new_task("ONE", "true")]

    answer = client.create_task_collection("work", models.BatchTaskGroup(task_values=tasks))

    results = answer.as_dict()["value"]
    assert [result["status"].lower() for result in results] == ["success", "success", "clienterror"]
    assert results[2]["error"]["code"] == "TaskExists"


def test_a_task_of_one_instance_has_no_subtasks(client: BatchClient, make_pool: Any) -> None:
    create_job(client, make_pool(dedicated=0))
    client.create_task("work", new_task("one", "true"))

    assert list(client.list_subtasks("work", "one")) == []


def test_tasks_are_filtered(client: BatchClient, make_pool: Any) -> None:
    create_job(client, make_pool(dedicated=0))
    for name in ("one", "two", "three"):
        client.create_task("work", new_task(name, "true"))

    found = client.list_tasks("work", filter="startswith(id,'t') and state eq 'active'")

    assert [task.id for task in found] == ["three", "two"]


def test_a_job_ends_with_its_last_task_if_it_is_to(
    client: BatchClient, run_task: Any, eventually: Any
) -> None:
    run_task("true")
    client.update_job("job", models.BatchJobUpdateOptions(all_tasks_complete_mode="terminatejob"))

    job = eventually(lambda: client.get_job("job"), lambda found: found.state == "completed")

    assert job.execution_info.termination_reason == "AllTasksCompleted"
    assert refusal_of(lambda: client.create_task("job", new_task("late", "true"))) == (
        409,
        "JobCompleted",
    )


def test_a_job_waits_for_its_last_task_before_it_ends(
    client: BatchClient, make_pool: Any, eventually: Any
) -> None:
    create_job(client, make_pool())
    client.create_task("work", new_task("one", "/bin/sleep 1000"))
    client.update_job("work", models.BatchJobUpdateOptions(all_tasks_complete_mode="terminatejob"))
    assert client.get_job("work").state == "active"

    client.terminate_task("work", "one")

    eventually(lambda: client.get_job("work").state, lambda state: state == "completed")


def test_a_terminated_job_ends_its_running_tasks_only(
    client: BatchClient, make_pool: Any, eventually: Any
) -> None:
    create_job(client, make_pool())
    for name in ("runs", "waits"):
        client.create_task("work", new_task(name, "/bin/sleep 1000"))
    eventually(lambda: client.get_task("work", "runs").state, lambda state: state == "running")

    client.begin_terminate_job("work", {"terminateReason": "enough"}, polling_interval=0).result()

    assert client.get_job("work").execution_info.termination_reason == "enough"
    assert client.get_task("work", "runs").state == "completed"
    assert client.get_task("work", "waits").state == "active"


def test_a_deleted_job_is_gone_with_its_tasks(client: BatchClient, run_task: Any) -> None:
    run_task("true")

    client.begin_delete_job("job", polling_interval=0).result()

    assert refusal_of(lambda: client.get_job("job")) == (404, "JobNotFound")
    assert refusal_of(lambda: client.get_task("job", "task")) == (404, "JobNotFound")


def test_jobs_over_quota_are_refused(
    client: BatchClient, batch_emulator: RunningEmulator, make_pool: Any
) -> None:
    batch_emulator.control.set_quota(active_jobs=1)
    create_job(client, make_pool())

    refusal = refusal_of(lambda: create_job(client, "linux", job_id="other"))
    assert refusal == (409, "ActiveJobAndScheduleQuotaReached")
