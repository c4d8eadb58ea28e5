"""The operator that runs many commands, when its list changes, and what else must not end as a success."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.tasks.job_wait import JobWait
from airflow_provider_batchlinux.exceptions import TaskFailedError, TaskFailedForGoodError
from airflow_provider_batchlinux.operators.job import BatchLinuxJobOperator
from airflow_provider_batchlinux.specs import TaskSpec
from tests.airflow_harness import TaskRun, run_task
from tests.batch_account import NODE_AGENT, UBUNTU, BatchAccount, eventually
from tests.unit.commands import Loop, Runs, counts_of, finish_job, job_of, job_operator, state_of

SKIPS = {"command": "true", "exit_codes": {"4": "success"}}
CHANGES: dict[str, tuple[list[Any], list[Any] | None, str, str]] = {
    "is deleted": (["true", "true"], None, "success", "2 succeeded"),
    "excuses what another command did": (["exit 4", "true"], [SKIPS, "true"], "failed", "1 failed"),
    "has one more": (["true", "true"], ["true", "true", "true"], "success", "2 succeeded"),
}


def test_what_was_submitted_decides_if_the_list_changes_meanwhile(
    account: BatchAccount, tmp_path: Path
) -> None:
    account.idle_pool(1)
    for number, (case, (before, after, state, told)) in enumerate(CHANGES.items()):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(before))
        loop = Loop(tmp_path, f"loop-{number}")
        options: Any = {"tasks": str(path), "task_id": f"work-{number}", "preparation": loop.command}
        first = run_task(job_operator(deferrable=True, **options))
        path.unlink()
        if after is not None:
            path.write_text(json.dumps(after))
        loop.go.touch()

        done = finish_job(first, **options)

        assert (case, done.state) == (case, state), done.error
        assert told in done.log, case


def test_commands_that_render_otherwise_at_the_end_are_read_as_they_were_submitted(
    account: BatchAccount, loop: Loop
) -> None:
    account.idle_pool(1)
    options: Any = {
        "preparation": loop.command,
        "tasks": [
            TaskSpec("echo 7 > 7.json", result_file="7.json"),
            TaskSpec("exit 1", exit_codes={1: "fail"}),
        ],
        "exit_codes": {1: "success"},
    }
    first = run_task(job_operator(deferrable=True, environment={"NOW": "1"}, **options))
    loop.go.touch()

    done = finish_job(first, environment={"NOW": "2"}, **options)

    assert isinstance(done.error, TaskFailedForGoodError), done.state
    records = done.xcoms["return_value"]["records"]
    assert [(record["outcome"], record["result"]) for record in records] == [
        ("succeeded", 7),
        ("failed", None),
    ]


def test_a_task_that_was_deleted_by_hand_has_not_run_although_another_was_added(
    account: BatchAccount, loop: Loop
) -> None:
    account.idle_pool(1)
    tasks = [loop.command, "true"]
    first = run_task(job_operator(tasks=tasks, deferrable=True))

    async def replace_last(client: BatchLinuxClient) -> None:
        await client.delete_task(job_of(first), "00001")
        await client.create_task(job_of(first), {"id": "mine", "commandLine": "true"})

    account.hook.run(replace_last)
    loop.go.touch()
    done = finish_job(first, tasks=tasks)

    assert isinstance(done.error, TaskFailedError)
    assert "'00001': it was not run." in done.message


def test_the_job_of_a_lost_worker_ends_if_the_retry_has_an_empty_list(
    account: BatchAccount, loop: Loop
) -> None:
    account.idle_pool(1)
    run_task(job_operator(tasks=[loop.command], deferrable=True))
    loop.wait_until_started()

    done = run_task(job_operator(tasks=[], allow_empty=True), try_number=2)

    assert done.state == "success", done.error
    eventually(lambda: not loop.runs())
    eventually(lambda: account.jobs() == [])


def test_storage_that_refuses_the_records_does_not_hide_what_failed(account: BatchAccount) -> None:
    account.idle_pool(1)

    done = run_task(job_operator(tasks=["exit 3"], results_to="abfs://logs/", storage_conn_id="none"))

    assert isinstance(done.error, TaskFailedError)
    assert (done.error.exit_code, done.result["failed"]) == (3, 1)
    assert "The records were not written to results_to: " in done.message


def test_a_list_that_shifts_between_tries_runs_again_what_has_another_place(
    account: BatchAccount, runs: Runs
) -> None:
    account.idle_pool(1)
    a, b, fails = runs.of("a", "echo 1 > r.json"), runs.of("b", "echo 2 > r.json"), runs.of("f", "exit 1")
    run_task(job_operator(tasks=[a, fails], result_file="r.json"))

    done = run_task(job_operator(tasks=[b, a], result_file="r.json"), try_number=2)

    assert done.state == "success", done.error
    assert [record["result"] for record in done.result["records"]] == [2, 1]


def never_started(account: BatchAccount, **options: Any) -> TaskRun:
    """Defer a job on a pool without nodes, end the job by hand, and finish the task."""
    first = run_task(job_operator(tasks=["true", "true"], deferrable=True, **options))
    account.hook.run(lambda client: client.end_job(job_of(first)))
    return finish_job(first, tasks=["true", "true"], **options)


def test_a_job_of_which_nothing_ran_fails_whatever_may_fail(account: BatchAccount) -> None:
    account.make_pool()

    done = never_started(account, max_failed="100%")

    assert isinstance(done.error, TaskFailedError)
    assert "2 of 2 commands did not succeed" in done.message


def test_no_start_within_the_limit_fails_with_the_cause_and_ends_the_job(account: BatchAccount) -> None:
    account.make_pool()

    done = run_task(job_operator(tasks=["true", "true"], start_limit=0.05))

    assert isinstance(done.error, TaskFailedError)
    assert "has started after start_limit. No node of pool 'etl' can run it: it has no nodes" in done.message
    [job_id] = account.jobs()
    eventually(lambda: state_of(account, job_id) == "completed")


def test_what_an_earlier_try_has_done_in_the_job_is_no_start_of_this_one(account: BatchAccount) -> None:
    account.idle_pool(1)

    async def poll(client: BatchLinuxClient, starts: int) -> Any:
        return await JobWait(client, "etl", "render", 2, start_by=0.0, starts=starts).poll()

    async def prepare(client: BatchLinuxClient) -> None:
        await client.create_job({"id": "render", "poolInfo": {"poolId": "etl"}, "usesTaskDependencies": True})
        await client.create_task("render", {"id": "done", "commandLine": "/bin/true"})
        waits = {"id": "left", "commandLine": "/bin/true", "dependsOn": {"taskIds": ["none"]}}
        await client.create_task("render", waits)

    account.hook.run(prepare)
    eventually(lambda: counts_of(account, "render").succeeded == 1)

    assert account.hook.run(lambda client: poll(client, 0)) is None
    with pytest.raises(TaskFailedError, match="has started after start_limit"):
        account.hook.run(lambda client: poll(client, 1))


def test_a_command_whose_dependency_was_deleted_is_not_waited_for(account: BatchAccount, loop: Loop) -> None:
    account.idle_pool(1)
    tasks = [TaskSpec(loop.command, id="a"), TaskSpec("true", id="b", depends_on=["a"])]
    first = run_task(job_operator(tasks=tasks, deferrable=True))
    loop.wait_until_started()
    now = [1000.0]

    async def poll_until_it_ends(client: BatchLinuxClient) -> Any:
        await client.delete_task(job_of(first), "a")
        wait = JobWait(client, "etl", job_of(first), 2, has_dependencies=True, clock=lambda: now[0])
        result = None
        while result is None and now[0] < 1200:
            result = await wait.poll()
            now[0] += 20
        return result

    found = account.hook.run(poll_until_it_ends)

    assert found is not None
    assert found["note"] == "What is left waits for commands that have failed or were deleted."


def test_an_added_task_of_a_manager_is_waited_for_and_recorded(
    account: BatchAccount, loop: Loop, runs: Runs
) -> None:
    account.idle_pool(2)
    options: Any = {"tasks": [runs.of("a")], "manager": loop.command}
    first = run_task(job_operator(deferrable=True, **options))
    loop.wait_until_started()
    added = {"id": "added", "commandLine": f"/bin/bash -c '{runs.of('b')}'"}
    account.hook.run(lambda client: client.create_task(job_of(first), added))
    loop.go.touch()

    done = finish_job(first, **options)

    assert done.state == "success", done.error
    records = {record["id"]: record["outcome"] for record in done.result["records"]}
    assert records == dict.fromkeys(["00000", "jobmanager", "added"], "succeeded")
    assert runs.seen() == ["a", "b"]


def test_a_multi_instance_command_runs_on_all_its_nodes(account: BatchAccount) -> None:
    body = {
        "id": "mpi",
        "vmSize": "standard_d2s_v5",
        "virtualMachineConfiguration": {"imageReference": UBUNTU, "nodeAgentSKUId": NODE_AGENT},
        "targetDedicatedNodes": 2,
        "enableInterNodeCommunication": True,
    }
    account.hook.run(lambda client: client.create_pool(body))
    account.wait_for_nodes({"idle": 2}, pool_id="mpi")
    coordinated = 'echo "$AZ_BATCH_IS_CURRENT_NODE_MASTER" > $AZ_BATCH_TASK_SHARED_DIR/mark'
    command = "cat $AZ_BATCH_TASK_SHARED_DIR/mark; IFS=';'; set -- $AZ_BATCH_NODE_LIST; echo $# > r.json"
    mpi = TaskSpec(command, id="mpi", instances=2, coordination_command=coordinated, result_file="r.json")

    done = run_task(job_operator(pool_id="mpi", tasks=[mpi, TaskSpec("true", depends_on=["mpi"])]))

    assert done.state == "success", done.error
    assert done.result["records"][0]["result"] == 2


def test_each_mapped_instance_has_a_job_and_a_list_of_its_own(account: BatchAccount) -> None:
    account.idle_pool(1)
    work = BatchLinuxJobOperator.partial(
        task_id="work", pool_id="etl", command="test {item} != 3", poll_interval=0.02
    ).expand(items=[[1, 2], [3]])

    first, second = (run_task(work, map_index=index) for index in (0, 1))

    assert first.state == "success", first.error
    assert (first.result["tasks"], first.result["succeeded"]) == (2, 2)
    assert (second.state, second.xcoms["return_value"]["tasks"]) == ("failed", 1)
