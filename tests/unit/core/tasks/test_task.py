"""A command as a Batch job and task, and what its state means."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.core.pools.spec.containers import (
    BindMountSpec,
    RegistrySpec,
    TaskContainerSpec,
)
from airflow_provider_batchlinux.core.pools.spec.software import ApplicationPackageSpec
from airflow_provider_batchlinux.core.snapshots import ServiceError
from airflow_provider_batchlinux.core.tasks.spec.files import pack_files
from airflow_provider_batchlinux.core.tasks.spec.identity import AutoUserSpec
from airflow_provider_batchlinux.core.tasks.spec.job import Command, JobSpec
from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec
from airflow_provider_batchlinux.core.tasks.task import TASK_ID, TaskOutcome, TaskSnapshot, task_outcome

TASK = TaskSpec("bash transform.sh")
SPEC = JobSpec("etl", {TASK_ID: Command(TASK)})
OF_THE_JOB = {"pool_id", "priority"}
DONE = TaskSnapshot("completed", result="success", exit_code=0)


def changed(**changes: Any) -> JobSpec:
    """Change the job, or the command in it."""
    of_job = {name: value for name, value in changes.items() if name in OF_THE_JOB}
    of_task = {name: value for name, value in changes.items() if name not in {*OF_THE_JOB, "packed_files"}}
    command = Command(replace(TASK, **of_task), changes.get("packed_files"))
    return replace(SPEC, commands={TASK_ID: command}, **of_job)


WEEK = timedelta(days=7) - timedelta(hours=1)


@pytest.mark.parametrize(
    ("time_limit", "start_limit", "retries", "one", "many"),
    [
        (None, None, 0, WEEK, WEEK),
        (3600, 3600, 1, timedelta(hours=4), WEEK),
        (6.9 * 86400, None, 0, timedelta(days=7.9, hours=1), WEEK),
        (86400, 86400, 9, timedelta(days=11, hours=1), timedelta(days=11, hours=1)),
        (86400, None, -1, WEEK, WEEK),
    ],
)
def test_data_is_signed_for_the_limits_of_a_command_and_of_many_for_a_week_at_least(
    time_limit: float | None, start_limit: float | None, retries: int, one: timedelta, many: timedelta
) -> None:
    command = Command(replace(TASK, time_limit=time_limit, max_retries=retries))
    job = JobSpec("etl", {TASK_ID: command}, start_limit=start_limit)
    several = replace(job, commands={"a": command, "b": Command(TASK)})

    assert [each.lifetime for each in (job, replace(job, is_many=True), several)] == [one, many, many]


def test_what_prepares_the_nodes_is_part_of_what_each_command_does() -> None:
    commands = {"a": Command(TASK), "b": Command(replace(TASK, depends_on=("a",)))}
    jobs = [
        JobSpec("etl", commands, own={name: Command(TaskSpec(text))} if text else {})
        for name, text in (
            ("preparation", ""),
            ("preparation", "x"),
            ("preparation", "y"),
            ("release", "x"),
            ("manager", "x"),
        )
    ]

    plain, x, y, *others = (job.digests for job in jobs)

    assert all(len({digests[key] for digests in (plain, x, y)}) == 3 for key in commands)
    assert others == [plain, plain]


def settings_of(body: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in body["environmentSettings"]}


def test_a_plain_command_has_no_problems() -> None:
    assert SPEC.problems() == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"pool_id": ""}, "pool_id='' is not an id", id="no pool"),
        pytest.param({"command": " \n"}, "command is empty", id="no command"),
        pytest.param(
            {"command": "ü" * 48 * 1024 + "#"}, "command is longer than 98304 bytes", id="too long a command"
        ),
        pytest.param({"command": "echo \0"}, "command contains NUL", id="NUL"),
        pytest.param({"environment": {"A=B": "1"}}, "environment names a variable 'A=B'", id="variable"),
        pytest.param(
            {"application_packages": [{"application_id": "jq#1.7"}]},
            "[0].application_id='jq#1.7' contains a version; give 'jq' and version='1.7'.",
            id="version in the id",
        ),
        pytest.param(
            {"application_packages": [{"application_id": "jq"}, {"application_id": "JQ"}]},
            "application_packages[1].application_id='JQ' is given twice.",
            id="package twice",
        ),
        pytest.param(
            {"application_packages": [{"application_id": "two words"}]},
            "='two words' is neither the id nor the name of an application.",
            id="no application",
        ),
        pytest.param({"max_retries": -2}, "max_retries=-2 is less than -1", id="fewer tries than for ever"),
    ],
)
def test_what_the_service_would_refuse_is_named(changes: dict[str, Any], complaint: str) -> None:
    [problem] = changed(**changes).problems()

    assert complaint in problem


def test_all_problems_are_named_at_once() -> None:
    assert len(changed(pool_id="", command="", max_retries=-2).problems()) == 3


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"command": "bash transform.sh 2"}, id="command"),
        pytest.param({"environment": {"A": "1"}}, id="environment"),
        pytest.param({"packed_files": pack_files({"a": b"1"})}, id="files"),
        pytest.param({"run_as": AutoUserSpec(elevation="admin")}, id="rights"),
        pytest.param({"container": TaskContainerSpec("python:3.12")}, id="container"),
        pytest.param({"required_slots": 2}, id="slots"),
        pytest.param({"application_packages": [{"application_id": "jq"}]}, id="package"),
        pytest.param({"pool_id": "other"}, id="pool"),
    ],
)
def test_other_work_has_another_fingerprint(changes: dict[str, Any]) -> None:
    assert changed(**changes).fingerprint() != SPEC.fingerprint()
    assert replace(SPEC).fingerprint() == SPEC.fingerprint()


def test_the_values_of_environment_variables_are_not_shown() -> None:
    assert "s3cret" not in repr(changed(environment={"TOKEN": "s3cret"}))


def test_the_job_runs_on_the_pool_and_says_who_made_it() -> None:
    assert SPEC.job_rest("af-etl-1", {"dag_id": "etl"}) == {
        "id": "af-etl-1",
        "poolInfo": {"poolId": "etl"},
        "metadata": [{"name": "dag_id", "value": "etl"}],
    }


def test_the_task_asks_for_the_command_and_nothing_it_was_not_told() -> None:
    assert SPEC.task_rest(TASK_ID) == {
        "id": "main",
        "commandLine": "/bin/bash -c 'bash transform.sh'",
        "environmentSettings": [],
        "constraints": {"maxTaskRetryCount": 0},
        "userIdentity": {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}},
    }


def test_the_task_takes_its_limits_and_rights() -> None:
    body = changed(time_limit=90.5, max_retries=3, required_slots=2, affinity="tvmps_1_d").task_rest(TASK_ID)

    assert body["constraints"] == {"maxTaskRetryCount": 3, "maxWallClockTime": "PT90.5S"}
    assert body["requiredSlots"] == 2
    assert body["affinityInfo"] == {"affinityId": "TVM:tvmps_1_d"}
    assert changed(priority=-5).job_rest("af-etl-1", {})["priority"] == -5


@pytest.mark.parametrize(
    ("run_as", "identity"),
    [
        pytest.param(None, {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}}, id="default"),
        pytest.param("etl", {"username": "etl"}, id="account"),
        pytest.param(
            AutoUserSpec(scope="task", elevation="admin"),
            {"autoUser": {"scope": "task", "elevationLevel": "admin"}},
            id="automatic",
        ),
    ],
)
def test_the_task_runs_as_the_user_it_was_given(run_as: Any, identity: dict[str, Any]) -> None:
    assert changed(run_as=run_as).task_rest(TASK_ID)["userIdentity"] == identity


def test_the_task_refers_to_its_packages() -> None:
    packages = [ApplicationPackageSpec("jq", "1.7"), ApplicationPackageSpec("yq")]

    assert changed(application_packages=packages).task_rest("main")["applicationPackageReferences"] == [
        {"applicationId": "jq", "version": "1.7"},
        {"applicationId": "yq"},
    ]


def test_the_task_runs_in_the_container_it_was_given() -> None:
    container = TaskContainerSpec(
        "acr.example/etl:1",
        run_options="--shm-size=1g",
        registry=RegistrySpec("acr.example", identity="/subscriptions/s/id"),
        working_directory="containerImageDefault",
        bind_mounts=[BindMountSpec("Shared", read_only=True)],
    )

    assert changed(container=container).task_rest(TASK_ID)["containerSettings"] == {
        "imageName": "acr.example/etl:1",
        "containerRunOptions": "--shm-size=1g",
        "registry": {
            "registryServer": "acr.example",
            "identityReference": {"resourceId": "/subscriptions/s/id"},
        },
        "workingDirectory": "containerImageDefault",
        "containerHostBatchBindMounts": [{"source": "Shared", "isReadOnly": True}],
    }


def test_the_command_finds_its_files_and_its_environment(tmp_path: Path) -> None:
    spec = changed(
        command='cat data/part.csv && echo "it\'s $DAY"',
        environment={"DAY": "Monday"},
        packed_files=pack_files({"data/part.csv": b"1,2\n"}),
    )
    body = spec.task_rest(TASK_ID)
    environment = {"PATH": os.environ["PATH"], **settings_of(body)}
    output = subprocess.check_output(shlex.split(body["commandLine"]), cwd=tmp_path, env=environment)

    assert output == b"1,2\nit's Monday\n"


def test_a_task_is_read_as_the_service_reports_it() -> None:
    task = TaskSnapshot.from_rest(
        {
            "id": "main",
            "state": "Completed",
            "nodeInfo": {"nodeId": "tvm-1"},
            "executionInfo": {
                "startTime": "2026-03-01T12:00:00Z",
                "endTime": "2026-03-01T12:00:41.5Z",
                "exitCode": 137,
                "result": "Failure",
                "failureInfo": {"category": "UserError", "code": "FailureExitCode", "message": "It failed."},
            },
        }
    )

    assert (task.state, task.result, task.exit_code, task.node_id) == (
        "completed",
        "failure",
        137,
        "tvm-1",
    )
    assert task.failure == ServiceError("FailureExitCode", "It failed.")
    assert task.seconds == 41.5


def test_what_has_not_happened_yet_reads_as_none() -> None:
    assert TaskSnapshot.from_rest({"id": "main", "state": "active"}) == TaskSnapshot("active")


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        pytest.param({}, TaskOutcome.SUCCEEDED, id="exit code 0"),
        pytest.param({"result": None}, TaskOutcome.SUCCEEDED, id="exit code 0 and no result"),
        pytest.param({"exit_code": 1, "result": "failure"}, TaskOutcome.FAILED, id="another exit code"),
        pytest.param({"exit_code": 1, "result": None}, TaskOutcome.FAILED, id="no result"),
        pytest.param({"exit_code": None, "result": "failure"}, TaskOutcome.FAILED, id="did not start"),
        pytest.param({"exit_code": None, "result": None}, TaskOutcome.FAILED, id="says neither"),
        pytest.param({"result": "failure"}, TaskOutcome.FAILED, id="exit code 0, but it failed otherwise"),
        pytest.param(
            {"result": None, "failure": ServiceError("FileUploadMiscError", "No.")},
            TaskOutcome.FAILED,
            id="exit code 0 and a failure",
        ),
        pytest.param({"state": "running", "exit_code": None}, TaskOutcome.STILL_RUNNING, id="running"),
        pytest.param({"state": "active"}, TaskOutcome.STILL_RUNNING, id="waiting for another try"),
        pytest.param({"state": "anewstate"}, TaskOutcome.STILL_RUNNING, id="a state of a later release"),
    ],
)
def test_only_a_completed_task_without_a_failure_has_succeeded(
    changes: dict[str, Any], outcome: TaskOutcome
) -> None:
    assert task_outcome(replace(DONE, **changes)) is outcome


@pytest.mark.parametrize(
    ("run", "text"),
    [
        pytest.param({"exitCode": 3}, "exit code 3 on node 'tvm-1' after 41 s", id="another exit code"),
        pytest.param(
            {"failureInfo": {"code": "TaskEnded", "message": "Ended by request."}},
            "no exit code on node 'tvm-1' after 41 s; TaskEnded: Ended by request.",
            id="ended by request",
        ),
    ],
)
def test_a_failure_is_told_in_a_few_words(run: dict[str, Any], text: str) -> None:
    times = {"startTime": "2026-03-01T12:00:00Z", "endTime": "2026-03-01T12:00:41Z"}
    body = {"state": "completed", "nodeInfo": {"nodeId": "tvm-1"}, "executionInfo": {**times, **run}}

    assert TaskSnapshot.from_rest(body).why_failed() == text


def test_a_task_that_got_to_no_node_is_told_without_one() -> None:
    assert TaskSnapshot("completed").why_failed() == "no exit code"
