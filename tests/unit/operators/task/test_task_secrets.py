"""The secrets of a command: they reach it, are stored nowhere else, and are deleted when it has ended."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_batchlinux.client.tasks.sweep import sweep_jobs_of_pool
from airflow_provider_batchlinux.hooks._storage_connection import storage_access
from airflow_provider_batchlinux.operators.sweeper import BatchLinuxSweepPoolsOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.specs import InputSpec
from tests.airflow_harness import captured_log, make_trigger, resume_task, run_task, run_to_end, run_trigger
from tests.batch_account import eventually
from tests.unit.commands import Loop, counts_of, job_operator, operator
from tests.unit.storage import Storage, task_of

TOKEN = "it's a $ecret \\ with `quotes`"
KEY = "-----BEGIN KEY-----\nMC4CAQ\n-----END KEY-----\n"
DIGESTS = [hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for text in (TOKEN, KEY)]
SECRETS = {
    "secret_environment": {"TOKEN": TOKEN},
    "secret_files": {"conf/service key.pem": KEY},
    "secret_storage": "abfs://private/tasks/",
}
DIGEST = """printf %s "$TOKEN" | md5sum; md5sum < "conf/service key.pem"; stat -c %a conf/*"""


def job_of(storage: Storage, job_id: str) -> Any:
    async def read(client: Any) -> Any:
        return dict((await client.sdk.get_job(job_id)).as_dict())

    return storage.account.hook.run(read)


@pytest.mark.parametrize("options", [{}, {"max_retries": 1}, {"deferrable": True}], ids=str)
def test_secrets_reach_the_command_and_stand_nowhere(storage: Storage, options: Any) -> None:
    private = storage.container("private")
    work = operator(DIGEST, **SECRETS, delete_job="never", **options)

    begun = run_task(work)
    done, followed = begun, [""]
    if begun.deferral is not None:
        assert [name.rpartition("/")[0] for name in private.names()] == [
            f"tasks/{begun.deferral.trigger_kwargs['job_id']}"
        ]
        with captured_log() as followed:
            event = run_trigger(begun.deferral)
        done = resume_task(work, begun, event)

    assert done.state == "success", done.error
    # The trigger has shown what there was while the command ran.
    output = "\n".join([*followed, done.log])
    assert [f"{digest}  -" in output for digest in DIGESTS] == [True, True]
    assert "    600" in output
    job_id = done.result["job_id"]
    kept = [begun.everything_said, done.everything_said, *followed]
    kept += [json.dumps(job_of(storage, job_id)), json.dumps(task_of(storage.account, job_id))]
    for text in kept:
        for secret in ("$ecret", "MC4CAQ"):
            assert secret not in text
    marks = {item["name"]: item["value"] for item in job_of(storage, job_id)["metadata"]}
    assert json.loads(marks["airflow_batchlinux_secrets"])["blob"].startswith(
        f"abfs://private/tasks/{job_id}/"
    )
    assert "sig=" not in json.dumps(marks)
    assert private.names() == []


def test_a_variable_that_bash_keeps_fails_the_command(storage: Storage) -> None:
    storage.container("private")

    done = run_to_end(
        operator(
            "true", secret_environment={"UID": "s3cret"}, secret_storage=f"{storage.endpoint}/private/a%23b/"
        )
    )

    assert "UID: readonly variable" in done.message
    assert "s3cret" not in done.everything_said
    assert storage.container("private").names() == []


def test_secrets_are_deleted_when_the_command_fails_or_is_killed(storage: Storage, loop: Loop) -> None:
    private = storage.container("private")

    failed = run_to_end(operator("exit 3", **SECRETS))
    assert "exit code 3" in failed.message
    assert private.names() == []

    running = run_task(operator(loop.command, **SECRETS, deferrable=True))
    loop.wait_until_started()
    assert len(private.names()) == 1
    assert running.deferral is not None
    trigger = make_trigger(running.deferral)
    asyncio.run(_cancel(storage, trigger))
    assert private.names() == []


async def _cancel(storage: Storage, trigger: Any) -> None:
    async with storage.account.hook.client() as client:
        await trigger.cancel(client)


@pytest.mark.parametrize("is_many", [False, True], ids=["one command", "many"])
def test_the_triggerer_which_cannot_mask_a_secret_logs_no_output_of_its_command(
    storage: Storage, loop: Loop, is_many: bool
) -> None:
    storage.container("private")
    printing = 'echo "it is $TOKEN"'
    given: Any = {"secret_environment": {"TOKEN": TOKEN}, "secret_storage": "abfs://private/"}
    work: Any = operator(f"{printing}; {loop.command}", **given, deferrable=True)
    if is_many:
        work = job_operator(tasks=[f"{printing} >&2; exit 3", loop.command], **given, deferrable=True)
    begun = run_task(work)
    assert begun.deferral is not None, begun.error
    loop.wait_until_started()
    job_id = begun.deferral.trigger_kwargs["job_id"]
    if is_many:
        eventually(lambda: counts_of(storage.account, job_id).failed == 1)
    trigger = make_trigger(begun.deferral)
    trigger.deadline = time.time() + 0.5

    async def follow_and_kill() -> None:
        async for event in trigger.run():
            assert "WaitTimeoutError" in str(event.payload)
        trigger.fired = False
        await trigger.on_kill()

    with captured_log() as followed:
        asyncio.run(follow_and_kill())

    assert "because its Airflow task was ended" in "\n".join(followed)
    assert [line for line in followed if "it is" in line] == []


def test_secrets_of_a_command_that_nothing_waits_for_go_with_its_pool(storage: Storage, loop: Loop) -> None:
    private = storage.container("private")
    run_task(operator(loop.command, **SECRETS, deferrable=True))
    loop.wait_until_started()
    job_id = storage.account.jobs()[0]
    installation = next(
        item["value"] for item in job_of(storage, job_id)["metadata"] if item["name"].endswith("installation")
    )

    async def sweep(client: Any) -> None:
        await sweep_jobs_of_pool(client, "etl", installation, lambda _run: True, storage_access())

    storage.account.control.inject("DELETE", "/jobs/", code="AccessDenied", status=403)
    storage.account.hook.run(sweep)
    assert private.names() == [], "The job names them: they have to go before it."
    assert storage.account.jobs() == [job_id]

    storage.account.hook.run(sweep)
    eventually(lambda: storage.account.jobs() == [])


def test_the_sweeper_deletes_the_secrets_of_a_kept_job_whose_worker_was_lost(
    storage: Storage, loop: Loop
) -> None:
    private = storage.container("private")
    begun = run_task(operator(loop.command, **SECRETS, delete_job="never", deferrable=True))
    assert begun.deferral is not None
    loop.go.touch()
    run_trigger(begun.deferral)
    job_id = begun.deferral.trigger_kwargs["job_id"]
    assert len(private.names()) == 1

    def sweep() -> list[Any]:
        swept = run_task(BatchLinuxSweepPoolsOperator(task_id="sweep", delete=True))
        assert swept.state == "success", swept.message
        jobs: list[Any] = swept.result["jobs"]
        return [(job["job_id"], job["action"]) for job in jobs]

    eventually(lambda: job_of(storage, job_id)["state"] == "completed")
    assert sweep() == [(job_id, "delete secrets")]
    assert private.names() == []
    assert storage.account.jobs() == [job_id]
    assert sweep() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"secret_storage": None}, "secret_storage is missing: name a container", id="no place"),
        pytest.param(
            {"secret_storage": "abfs://private/blob"}, "secret_storage is no container or prefix", id="a blob"
        ),
        pytest.param(
            {"secret_storage": "abfs://nowhere/"},
            "ContainerNotFound, HTTP 404) Create the container first.",
            id="no container",
        ),
        pytest.param({"environment": {"TOKEN": "1"}}, "both have 'TOKEN'", id="twice"),
        pytest.param({"secret_files": {"../key": "k3y"}}, "which leaves the task's directory", id="outside"),
        pytest.param({"storage_conn_id": "nowhere"}, "Connection 'nowhere' to Azure", id="no connection"),
    ],
)
def test_what_cannot_carry_secrets_is_refused_and_leaves_no_job(
    storage: Storage, changes: dict[str, Any], message: str
) -> None:
    done = run_to_end(operator("true", **{**SECRETS, **changes}))

    assert message in done.message
    assert "$ecret" not in done.everything_said
    assert storage.account.jobs() == []


def test_a_retry_with_another_command_deletes_the_secrets_of_the_earlier_one(
    storage: Storage, loop: Loop
) -> None:
    private = storage.container("private")
    run_task(operator(loop.command, **SECRETS, deferrable=True))
    loop.wait_until_started()
    [earlier] = private.names()

    done = run_to_end(operator("true", **SECRETS), try_number=2)

    assert done.state == "success", done.error
    assert earlier not in private.names()
    assert private.names() == []


@pytest.mark.parametrize("is_spec", [False, True])
def test_a_mapped_command_stores_and_shows_no_secret(storage: Storage, is_spec: bool) -> None:
    private, raw = storage.container("private"), storage.container("raw")
    raw.put("in.txt", b"hello")
    signed: Any = raw.blob_url("in.txt")
    with DAG("mapped", schedule=None):
        task = BatchLinuxTaskOperator.partial(
            task_id="work",
            pool_id="etl",
            command='test -n "$TOKEN"',
            secret_storage="abfs://private/",
            inputs={"in.txt": InputSpec(signed, mode="0600") if is_spec else signed},
        ).expand(secret_environment=[{"TOKEN": TOKEN}])

    done = run_task(task, map_index=0)

    assert done.state == "success", done.error
    assert done.rendered["secret_environment"] == {"TOKEN": "***"}
    assert "/raw/in.txt?***" in repr(done.rendered["inputs"])
    for secret in ("$ecret", signed.partition("?")[2]):
        assert secret not in done.everything_said
    assert private.names() == []
