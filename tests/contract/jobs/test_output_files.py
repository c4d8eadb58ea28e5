"""Output files of tasks, and how tasks fail that cannot put theirs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError

from airflow_provider_batchlinux.emulator import RunningEmulator
from airflow_provider_batchlinux.emulator.blobs.client import BlobContainer

RunTask = Callable[..., models.BatchTask]
WORK = "bash -c 'mkdir -p out/deep; echo 1 > out/a.txt; echo 2 > out/deep/b.txt; echo 3 > .c.txt; exit %d'"


def output(
    pattern: str, url: str, path: str | None = None, condition: str = "taskcompletion", **more: Any
) -> models.OutputFile:
    container = models.OutputFileBlobContainerDestination(container_url=url, path=path, **more)
    return models.OutputFile(
        file_pattern=pattern,
        destination=models.OutputFileDestination(container=container),
        upload_options=models.OutputFileUploadConfiguration(upload_condition=condition),
    )


@pytest.fixture
def results(batch_emulator: RunningEmulator) -> BlobContainer:
    """Give an empty container."""
    return batch_emulator.container("results")


def info_of(task: models.BatchTask) -> models.BatchTaskExecutionInfo:
    assert task.execution_info is not None
    return task.execution_info


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        pytest.param("out/a.txt", None, ["a.txt"], id="file"),
        pytest.param("out/a.txt", "x/named", ["x/named"], id="file by another name"),
        pytest.param("../std*.txt", "logs", ["logs/stderr.txt", "logs/stdout.txt"], id="output"),
        pytest.param("**/*.txt", None, ["out/a.txt", "out/deep/b.txt"], id="everywhere"),
        pytest.param("out/**/*.txt", "x", ["x/a.txt", "x/deep/b.txt"], id="below"),
        pytest.param("out/?.txt", None, ["a.txt"], id="one letter"),
        pytest.param(".*.txt", None, [".c.txt"], id="hidden"),
        pytest.param("$AZ_BATCH_TASK_WORKING_DIR/out/[!b].txt", None, ["a.txt"], id="variable"),
        pytest.param("none*", None, [], id="nothing"),
    ],
)
def test_output_files_are_uploaded_by_their_pattern(
    run_task: RunTask, results: BlobContainer, pattern: str, path: str | None, expected: list[str]
) -> None:
    task = run_task(WORK % 0, output_files=[output(pattern, results.url, path)])

    assert (info_of(task).result, results.names()) == ("success", expected)


@pytest.mark.parametrize(
    ("exit_code", "expected"),
    [(0, ["taskcompletion", "tasksuccess"]), (1, ["taskcompletion", "taskfailure"])],
)
def test_output_files_are_uploaded_on_their_condition(
    run_task: RunTask, results: BlobContainer, exit_code: int, expected: list[str]
) -> None:
    conditions = ("tasksuccess", "taskfailure", "taskcompletion")
    files = [output("out/a.txt", results.url, condition, condition) for condition in conditions]

    task = run_task(WORK % exit_code, output_files=files)

    assert (info_of(task).exit_code, results.names()) == (exit_code, expected)


def test_headers_of_an_upload_reach_the_blob(run_task: RunTask, results: BlobContainer) -> None:
    header = models.OutputFileUploadHeader(name="x-ms-blob-content-type", value="text/csv")

    run_task(WORK % 0, output_files=[output("out/a.txt", results.url, upload_headers=[header])])

    with urlopen(results.blob_url("a.txt")) as blob:
        assert blob.headers["content-type"] == "text/csv"


def test_a_node_has_every_identity_in_the_accounts_own_store(
    run_task: RunTask, results: BlobContainer
) -> None:
    identity = models.BatchNodeIdentityReference(resource_id="/identities/any")
    url = results.url.partition("?")[0]

    run_task(WORK % 0, output_files=[output("out/a.txt", url, identity_reference=identity)])

    assert results.names() == ["a.txt"]


@pytest.mark.parametrize("exit_code", [0, 1])
@pytest.mark.parametrize(
    ("url_of", "code"),
    [
        pytest.param(lambda e: e.container("results", "r").url, "FileUploadAccessDenied", id="no permission"),
        pytest.param(
            lambda e: e.container("results", expires_in=-1).url, "FileUploadAccessDenied", id="expired"
        ),
        pytest.param(lambda e: e.storage.endpoint + "/results", "FileUploadAccessDenied", id="no token"),
        pytest.param(lambda _: "http://127.0.0.1:1/x?sig=secret", "FileUploadMiscError", id="no such host"),
    ],
)
def test_a_task_fails_that_cannot_put_its_output_files(
    batch_emulator: RunningEmulator,
    client: BatchClient,
    run_task: RunTask,
    results: BlobContainer,
    url_of: Callable[[RunningEmulator], str],
    code: str,
    exit_code: int,
) -> None:
    url = url_of(batch_emulator)
    task = run_task(
        WORK % exit_code, output_files=[output("out/a.txt", url), output("out/a.txt", results.url)]
    )

    info = info_of(task)
    assert (info.result, info.exit_code) == ("failure", exit_code)
    assert info.failure_info is not None
    assert (info.failure_info.category, info.failure_info.code) == ("usererror", code)
    assert results.names() == ["a.txt"]
    log = b"".join(client.download_task_file("job", "task", "fileuploaderr.txt"))
    assert json.loads(log)["code"] == code
    signature = url.partition("sig=")[2].partition("&")[0] or "sig="
    assert signature not in f"{info.failure_info}{log.decode()}"


def test_a_container_that_is_gone_is_the_users_error(
    run_task: RunTask, batch_emulator: RunningEmulator, results: BlobContainer
) -> None:
    batch_emulator.control.clear_requests()
    url = results.url.replace("/results?", "/none?")
    identity = models.BatchNodeIdentityReference(resource_id="/identities/any")

    task = run_task(WORK % 0, output_files=[output("out/a.txt", url, identity_reference=identity)])

    failure = info_of(task).failure_info
    assert failure is not None
    assert failure.code == "FileUploadContainerNotFound"
    assert failure.message == (
        "One of the specified Azure container(s) was not found while attempting to upload an output file"
    )


def test_nothing_outside_of_the_node_is_uploaded(
    run_task: RunTask, results: BlobContainer, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    patterns = [str(secret), f"{tmp_path}/*", "link.txt", "../../../../../../../**/secret.txt"]

    for number, pattern in enumerate(patterns):
        task = run_task(
            f"ln -s {secret} link.txt", output_files=[output(pattern, results.url)], task_id=f"task-{number}"
        )
        failure = info_of(task).failure_info
        assert failure is not None, f"{pattern} ended as a success without its file"
        assert failure.code == "FileUploadMiscError"

    assert results.names() == []


def test_a_log_file_lists_the_uploaded_files(
    client: BatchClient, run_task: RunTask, results: BlobContainer
) -> None:
    files = [output("out/*.txt", results.url), output("../fileupload*.txt", results.url, "log")]

    run_task(WORK % 0, output_files=files)

    assert results.names() == ["a.txt", "log/fileuploaderr.txt", "log/fileuploadout.txt"]
    log = b"".join(client.download_task_file("job", "task", "fileuploadout.txt"))
    assert b"matching pattern out/*.txt" in log
    assert b"sig=" not in log


@pytest.mark.parametrize(
    "destination",
    [
        pytest.param({}, id="no container"),
        pytest.param({"container": {"containerUrl": "nowhere?sig=secret"}}, id="no url"),
    ],
)
def test_an_output_file_that_makes_no_sense_is_refused(
    run_task: RunTask, destination: dict[str, Any]
) -> None:
    file = {
        "filePattern": "*",
        "destination": destination,
        "uploadOptions": {"uploadCondition": "tasksuccess"},
    }

    with pytest.raises(HttpResponseError) as refusal:
        run_task("true", output_files=[file])

    assert refusal.value.status_code == 400
    assert "secret" not in str(refusal.value)


def test_a_failed_upload_is_an_exit_condition(
    client: BatchClient, make_pool: Callable[..., str], batch_emulator: RunningEmulator, eventually: Any
) -> None:
    job = models.BatchJobCreateOptions(
        id="strict",
        pool_info=models.BatchPoolInfo(pool_id=make_pool()),
        task_failure_mode="performexitoptionsjobaction",
    )
    client.create_job(job)
    options = models.ExitOptions(job_action="terminate")
    quiet = models.ExitOptions(job_action="none")
    task = models.BatchTaskCreateOptions(
        id="task",
        command_line=WORK % 0,
        output_files=[output("out/a.txt", batch_emulator.container("results", "r").url)],
        exit_conditions=models.ExitConditions(file_upload_error=options, default=quiet),
    )

    client.create_task("strict", task)

    ended = eventually(lambda: client.get_job("strict"), lambda found: found.state == "completed")
    assert ended.execution_info.termination_reason == "TaskFailed"


def test_no_signature_is_in_the_log_of_requests(batch_emulator: RunningEmulator, send: Any) -> None:
    batch_emulator.control.clear_requests()

    send("GET", "/pools?api-version=2025-06-01&sig=secret")

    (request,) = batch_emulator.control.requests()
    assert "sig=REDACTED" in request["query"]
    assert "secret" not in str(request)
