"""The operator that runs many commands, with storage: secrets, data of each item, records as a file."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.exceptions import TaskFailedError
from airflow_provider_batchlinux.sensors.job import BatchLinuxJobSensor
from airflow_provider_batchlinux.specs import TaskSpec
from tests.airflow_harness import run_task, run_to_end
from tests.batch_account import eventually
from tests.unit.commands import Loop, finish_job, job_of, job_operator, state_of
from tests.unit.storage import Storage

SECRET = "it's a $ecret"
DIGESTS = [hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for text in (SECRET, "0ther")]


def whole_job(storage: Storage, job_id: str) -> str:
    async def read(client: BatchLinuxClient) -> str:
        tasks = [task.as_dict() async for task in client.sdk.list_tasks(job_id)]
        return json.dumps([dict((await client.sdk.get_job(job_id)).as_dict()), tasks], default=str)

    return storage.account.hook.run(read)


def test_each_item_has_its_data_and_the_records_are_a_file(storage: Storage) -> None:
    data, logs = storage.container("data"), storage.container("logs")
    for name in ("a", "b"):
        data.put(f"raw/{name}.txt", name.encode())

    done = run_to_end(
        job_operator(
            command="tr a-z A-Z < in.txt > out.txt",
            items=["a", "b"],
            inputs={"in.txt": "abfs://data/raw/{item}.txt"},
            outputs={"out.txt": "abfs://data/clean/{item}.txt"},
            results_to="abfs://logs/{{ task.task_id }}/",
            deferrable=True,
        )
    )

    assert done.state == "success", done.error
    assert [data.get(f"clean/{name}.txt") for name in ("a", "b")] == [b"A", b"B"]
    [name] = logs.names()
    assert done.result["records_file"].endswith(f"/logs/{name}")
    lines = [json.loads(line) for line in logs.get(name).decode().splitlines()]
    assert lines == done.result["records"]
    assert lines[1]["outputs"] == {"out.txt": "abfs://data/clean/b.txt"}


def test_secrets_reach_the_commands_and_are_nowhere_else(storage: Storage, loop: Loop) -> None:
    private = storage.container("private")
    check = 'printf %s "$TOKEN" | md5sum > r.json; sed -i "s/ .*//; s/.*/\\"&\\"/" r.json'
    options: Any = {
        "tasks": [
            TaskSpec(check, result_file="r.json"),
            loop.command,
            TaskSpec(check, result_file="r.json", secret_environment={"TOKEN": "0ther"}),
        ],
        "secret_environment": {"TOKEN": SECRET},
        "secret_storage": "abfs://private/",
    }

    first = run_task(job_operator(**options, deferrable=True))
    loop.wait_until_started()
    names = private.names()
    shown = whole_job(storage, job_of(first))
    loop.go.touch()
    done = finish_job(first, **options)

    assert done.state == "success", done.error
    assert [record["result"] for record in done.result["records"]] == [DIGESTS[0], None, DIGESTS[1]]
    assert len(names) == 2, "Equal secrets share a blob."
    for text in (first.everything_said, shown, done.everything_said):
        assert "$ecret" not in text
        assert "0ther" not in text
    eventually(lambda: private.names() == [])


def test_secrets_that_a_retry_adds_are_deleted_at_the_end_too(storage: Storage, loop: Loop) -> None:
    private = storage.container("private")
    place: Any = {"secret_storage": "abfs://private/"}
    one, other = ({**place, "secret_environment": {"TOKEN": text}} for text in (SECRET, "0ther"))
    first = run_task(job_operator(tasks=[TaskSpec(loop.command, **one)], deferrable=True))
    loop.wait_until_started()
    tasks = [TaskSpec(loop.command, **one), TaskSpec("test $TOKEN = 0ther", **other)]

    second = run_task(job_operator(tasks=tasks, deferrable=True), try_number=2)
    assert first.deferral is not None
    assert len(private.names()) == 2
    loop.go.touch()
    done = finish_job(second, tasks=tasks, try_number=2)

    assert done.state == "success", done.error
    eventually(lambda: private.names() == [])


def test_the_data_of_a_job_with_one_command_is_signed_for_a_week_or_its_limits(
    storage: Storage, loop: Loop
) -> None:
    # It may be one of many tomorrow, and what has come late runs late.
    storage.container("data").put("a", b"")
    options: Any = {"items": ["a"], "inputs": {"a": "abfs://data/a"}, "deferrable": True}
    limits: list[tuple[dict[str, Any], int]] = [
        ({"time_limit": 60}, 7),
        ({"time_limit": timedelta(days=9), "start_limit": timedelta(days=2)}, 11),
    ]
    for number, (limit, days) in enumerate(limits):
        first = run_task(job_operator(command=loop.command, task_id=f"work-{number}", **options, **limit))
        expiry = re.findall(r"[?&]se=([^&\"]+)", whole_job(storage, job_of(first)))

        left = [datetime.fromisoformat(unquote(text).replace("Z", "+00:00")) for text in expiry]
        assert len(left) == 1
        assert abs(left[0] - datetime.now(timezone.utc) - timedelta(days=days)) < timedelta(hours=2)


def test_a_job_whose_commands_could_not_begin_fails_whatever_may_fail(storage: Storage) -> None:
    storage.container("data")
    options: Any = {"command": "true", "items": ["a", "b"], "inputs": {"in": "abfs://data/no/{item}"}}

    done = run_to_end(job_operator(**options, max_failed="100%", delete_job="never"))
    [job_id] = storage.account.jobs()
    seen = run_task(BatchLinuxJobSensor(task_id="seen", job_id=job_id, max_failed="100%", poke_interval=0.02))

    for run in (done, seen):
        assert isinstance(run.error, TaskFailedError)
        assert "2 of 2 commands did not succeed" in run.message


def test_a_job_whose_data_cannot_be_signed_is_ended_after_the_last_try(storage: Storage) -> None:
    tasks = [TaskSpec("true", outputs={"a": "abfs://data/a"}, storage_conn_id="nowhere")]

    done = run_task(job_operator(tasks=tasks))

    assert isinstance(done.error, ValueError)
    assert "Connection 'nowhere' to Azure Storage is not defined" in done.message
    eventually(lambda: all(state_of(storage.account, job) == "completed" for job in storage.account.jobs()))
