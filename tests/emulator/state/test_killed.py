"""What is there again after a kill -9: everything that was acknowledged."""

from __future__ import annotations

import random
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.client import HTTPException
from threading import Semaphore
from typing import Any

import pytest
from azure.batch import models

UNTIL_RUN_AGAIN = "/bin/sh -c 'test -e started || { touch started; sleep 1000; }; echo again'"
"""Hangs the first time, and ends well when it runs again with its files still there."""


def _kept(client: Any) -> dict[str, list[dict[str, Any]]]:
    """Return all that a client sees of an account, without where it is served."""
    found = {
        "pools": list(client.list_pools()),
        "jobs": list(client.list_jobs()),
        "schedules": list(client.list_job_schedules()),
        "tasks": [task for job in client.list_jobs() for task in client.list_tasks(job.id)],
    }
    return {name: [_without_url(item.as_dict()) for item in items] for name, items in found.items()}


def _without_url(item: dict[str, Any]) -> dict[str, Any]:
    node = {name: value for name, value in item.get("nodeInfo", {}).items() if not name.endswith("Url")}
    return {
        **item,
        "url": None,
        "nodeInfo": node,
        "executionInfo": {**item.get("executionInfo", {}), "recentJob": None},
    }


def test_all_that_was_acknowledged_is_there_after_a_kill(service: Any, wait: Any) -> None:
    (node,) = service.make_pool(metadata=[models.BatchMetadataItem(name="team", value="etl")])
    service.make_pool("empty", 0)
    service.add_job("/bin/sh -c 'echo done'", "/bin/sh -c 'exit 3'", priority=7)
    service.wait_for_task("completed")
    service.wait_for_task("completed", task_id="task-1")
    with service.client as client:
        schedule = models.BatchJobScheduleConfiguration(recurrence_interval=timedelta(days=1))
        work = models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id="linux"))
        options = models.BatchJobScheduleCreateOptions(id="daily", schedule=schedule, job_specification=work)
        client.create_job_schedule(options)
        wait(lambda: next(iter(client.list_nodes("linux"))).state, lambda state: state == "idle")
        before = _kept(client)
    key = service.facts["key"]

    service.restart()

    assert service.facts["key"] == key
    with service.client as client:
        assert _kept(client) == before
        assert [len(items) for items in before.values()] == [2, 2, 1, 2]
        (again,) = service.wait_for_nodes()
        assert again.id == node.id
        assert b"".join(client.download_task_file("job", "task-0", "stdout.txt")) == b"done\n"


def test_changes_and_deletions_are_kept_too(service: Any) -> None:
    service.make_pool(nodes=0)
    service.make_pool("gone", 0)
    service.add_job("true", "true")
    with service.client as client:
        client.delete_task("job", "task-1")
        client.begin_delete_pool("gone", polling_interval=0).result()
        client.update_job("job", models.BatchJobUpdateOptions(priority=9))
        etag = client.get_job("job").etag

    service.restart()

    with service.client as client:
        assert [pool.id for pool in client.list_pools()] == ["linux"]
        assert [task.id for task in client.list_tasks("job")] == ["task-0"]
        assert client.get_job("job").priority == 9
        client.update_job("job", models.BatchJobUpdateOptions(priority=1))
        assert int(client.get_job("job").etag.strip('"'), 16) > int(etag.strip('"'), 16)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_task_that_ran_runs_again_with_its_files(service: Any, number: signal.Signals) -> None:
    (node,) = service.make_pool()
    service.add_job(UNTIL_RUN_AGAIN, "true")
    service.wait_for_file(node.id, "workitems/job/job-1/task-0/wd/started")
    service.kill(number)

    service.start()

    task = service.wait_for_task("completed")
    assert task.execution_info.result == "success"
    assert task.execution_info.requeue_count == 1
    assert service.wait_for_task("completed", task_id="task-1").execution_info.result == "success"


def test_a_start_task_that_ran_runs_again(service: Any, pool: Any) -> None:
    with service.client as client:
        start_task = models.BatchStartTask(command_line=UNTIL_RUN_AGAIN, wait_for_success=True)
        client.create_pool(pool(start_task=start_task))
    (node,) = service.wait_for_nodes(state="waitingforstarttask")
    service.wait_for_file(node.id, "startup/wd/started")

    service.restart()

    (node,) = service.wait_for_nodes()
    assert node.start_task_info.result == "success"


def test_waiting_tasks_run_when_there_is_a_node_for_them(service: Any) -> None:
    service.make_pool(nodes=0)
    service.add_job("true")

    service.restart()

    with service.client as client:
        client.begin_resize_pool("linux", models.BatchPoolResizeOptions(target_dedicated_nodes=1))
    assert service.wait_for_task("completed").execution_info.requeue_count == 0


def test_a_disabled_job_keeps_its_tasks_until_it_is_enabled(service: Any, wait: Any) -> None:
    service.make_pool()
    service.add_job()
    with service.client as client:
        disabled = models.BatchJobDisableOptions(disable_tasks="requeue")
        client.begin_disable_job("job", disabled, polling_interval=0).result()
        client.create_task("job", models.BatchTaskCreateOptions(id="task-0", command_line="true"))

    service.restart()

    with service.client as client:
        assert (client.get_job("job").state, client.get_task("job", "task-0").state) == ("disabled", "active")
        client.begin_enable_job("job", polling_interval=0).result()
    service.wait_for_task("completed")


@pytest.mark.parametrize(
    ("verb", "before", "after"),
    [("terminate", "terminating", ["completed"]), ("delete", "deleting", [])],
)
def test_a_job_that_was_ending_ends(
    service: Any, account_of: Any, wait: Any, verb: str, before: str, after: list[str]
) -> None:
    (node,) = service.make_pool()
    account = account_of(service.emulator)
    hanging = {"commandLine": "/bin/sh -c 'touch started; sleep 1000'"}
    pool = {"poolId": "linux"}
    job = {
        "id": "job",
        "poolInfo": pool,
        "jobPreparationTask": {"commandLine": "true"},
        "jobReleaseTask": hanging,
    }
    assert account.send("POST", "/jobs", job) == 201
    assert account.send("POST", "/jobs/job/tasks", _task("task-0")) == 201
    service.wait_for_task("completed")
    method, path = ("DELETE", "/jobs/job") if verb == "delete" else ("POST", "/jobs/job/terminate")
    account.send(method, path)
    service.wait_for_file(node.id, "workitems/job/job-1/jobrelease/wd/started")
    assert account.send("GET", "/jobs/job")["state"] == before

    service.restart()

    again = account_of(service.emulator)
    wait(
        lambda: [job["state"] for job in again.send("GET", "/jobs")["value"]], lambda states: states == after
    )


def test_what_cannot_be_written_is_not_acknowledged(service: Any, account_of: Any) -> None:
    account = account_of(service.emulator)
    limit = resource.RLIMIT_FSIZE
    before = resource.prlimit(service.process.pid, limit)

    resource.prlimit(service.process.pid, limit, (1, before[1]))
    refused = account.send("POST", "/jobs", {"id": "lost", "poolInfo": {"poolId": "linux"}})
    resource.prlimit(service.process.pid, limit, before)
    account.create_pool(nodes=0)

    assert refused["code"] == "InternalError"
    service.restart()
    assert account_of(service.emulator).states() == ["steady"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_kill_at_any_moment_loses_nothing_that_was_acknowledged(
    service: Any, account_of: Any, seed: int
) -> None:
    service.make_pool(nodes=0)
    service.add_job()
    acknowledged: list[str] = []
    answers = Semaphore(0)

    def hammer(client: int) -> None:
        account = account_of(service.emulator)
        for number in range(1000):
            path = f"/jobs/job/tasks/{client}-{number}"
            try:
                status = account.send("POST", "/jobs/job/tasks", _task(path.rpartition("/")[2]))
            except (OSError, HTTPException):
                return
            assert status == 201
            acknowledged.append(path)
            answers.release()

    with ThreadPoolExecutor(4) as clients:
        running = [clients.submit(hammer, client) for client in range(4)]
        for _ in range(random.Random(seed).randint(5, 150)):
            answers.acquire()
        service.kill()
        for client in running:
            client.result()

    service.start()
    account = account_of(service.emulator)
    found = {f"/jobs/job/tasks/{task['id']}" for task in _all_tasks(account)}
    assert set(acknowledged) - found == set()
    # Of each client at most one more was written whose answer did not arrive.
    assert len(found) <= len(acknowledged) + 4


def _task(task_id: str) -> dict[str, Any]:
    return {"id": task_id, "commandLine": "true"}


def _all_tasks(account: Any) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = account.send("GET", "/jobs/job/tasks")["value"]
    return tasks
