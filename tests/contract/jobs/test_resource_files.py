"""Resource files of tasks of every kind, and how tasks fail that cannot have theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError

from airflow_provider_batchlinux.emulator import RunningEmulator

File = models.ResourceFile
RunTask = Callable[..., models.BatchTask]


@pytest.fixture
def data(batch_emulator: RunningEmulator) -> Any:
    """Give a container with three blobs."""
    container = batch_emulator.container("data")
    for name, content in {"in/a.txt": b"A", "in/deep/b.txt": b"B", "c.txt": b"C"}.items():
        container.put(name, content)
    return container


def files_of(client: BatchClient) -> list[str]:
    found = client.list_task_files("job", "task", recursive=True)
    names = [file.name or "" for file in found if not file.is_directory]
    return sorted(name for name in names if name.startswith("wd/"))


def failure_of(task: models.BatchTask) -> tuple[str | None, str | None]:
    assert task.execution_info is not None
    assert task.execution_info.failure_info is not None
    assert "sig=" not in str(task.execution_info.failure_info).replace("sig=REDACTED", "")
    return task.execution_info.failure_info.category, task.execution_info.failure_info.code


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(
            lambda data: File(storage_container_url=data.url),
            ["wd/c.txt", "wd/in/a.txt", "wd/in/deep/b.txt"],
            id="container",
        ),
        pytest.param(
            lambda data: File(storage_container_url=data.url, blob_prefix="in/", file_path="x/y"),
            ["wd/x/y/in/a.txt", "wd/x/y/in/deep/b.txt"],
            id="prefix",
        ),
        pytest.param(
            lambda _: File(auto_storage_container_name="data", blob_prefix="c"),
            ["wd/c.txt"],
            id="auto storage",
        ),
        pytest.param(
            lambda data: File(http_url=data.blob_url("in/a.txt"), file_path="d/one"), ["wd/d/one"], id="url"
        ),
        pytest.param(
            lambda data: File(
                http_url=data.blob_url("c.txt").partition("?")[0],
                file_path="c",
                identity_reference=models.BatchNodeIdentityReference(resource_id="/identities/any"),
            ),
            ["wd/c"],
            id="identity",
        ),
    ],
)
def test_resource_files_are_there_before_the_command(
    client: BatchClient,
    run_task: RunTask,
    data: Any,
    make: Callable[[Any], models.ResourceFile],
    expected: list[str],
) -> None:
    task = run_task("true", resource_files=[make(data)])

    assert task.execution_info is not None
    assert (task.execution_info.result, files_of(client)) == ("success", expected)


def test_a_resource_file_gets_its_mode(run_task: RunTask, data: Any) -> None:
    files = [
        File(http_url=data.blob_url("c.txt"), file_path="usual"),
        File(http_url=data.blob_url("c.txt"), file_path="other", file_mode="0640"),
    ]

    task = run_task(
        "bash -c 'test $(stat -c %a usual) = 770 -a $(stat -c %a other) = 640'", resource_files=files
    )

    assert task.execution_info is not None
    assert task.execution_info.exit_code == 0


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(
            lambda e: File(http_url=e.container("data").blob_url("none"), file_path="x"),
            ("usererror", "BlobNotFound"),
            id="no such blob",
        ),
        pytest.param(
            lambda e: File(http_url=e.container("data", expires_in=-1).blob_url("c.txt"), file_path="x"),
            ("usererror", "BlobAccessDenied"),
            id="expired",
        ),
        pytest.param(
            lambda e: File(http_url=e.container("data", "w").blob_url("c.txt"), file_path="x"),
            ("usererror", "BlobAccessDenied"),
            id="no permission to read",
        ),
        pytest.param(
            lambda e: File(storage_container_url=e.container("data", "r").url),
            ("usererror", "ResourceContainerAccessDenied"),
            id="no permission to list",
        ),
        pytest.param(
            lambda e: File(storage_container_url=e.container("data").url.partition("?")[0]),
            ("usererror", "ResourceContainerAccessDenied"),
            id="no token",
        ),
        pytest.param(
            lambda _: File(auto_storage_container_name="none"),
            ("usererror", "BlobNotFound"),
            id="no such container",
        ),
        pytest.param(
            lambda _: File(http_url="http://127.0.0.1:1/x?sig=secret", file_path="x"),
            ("servererror", "BlobDownloadMiscError"),
            id="no such host",
        ),
        pytest.param(
            lambda e: File(storage_container_url=e.container("data").blob_url("c.txt")),
            ("servererror", "BlobDownloadMiscError"),
            id="no container",
        ),
        pytest.param(
            lambda e: File(http_url=e.container("data").blob_url("c.txt"), file_path="../../x"),
            ("servererror", "ResourceFileWriteFailed"),
            id="out of the working directory",
        ),
        pytest.param(
            lambda e: File(http_url=e.container("data").blob_url("c.txt"), file_path="/tmp/x"),
            ("servererror", "ResourceFileWriteFailed"),
            id="anywhere",
        ),
    ],
)
def test_a_task_fails_without_its_resource_files(
    batch_emulator: RunningEmulator,
    run_task: RunTask,
    data: Any,
    make: Callable[[RunningEmulator], models.ResourceFile],
    expected: tuple[str, str],
) -> None:
    task = run_task("true", resource_files=[make(batch_emulator)])

    assert task.execution_info is not None
    assert failure_of(task) == expected
    assert (task.execution_info.result, task.execution_info.exit_code) == ("failure", None)
    assert data.names() == ["c.txt", "in/a.txt", "in/deep/b.txt"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        pytest.param(File(file_path="x"), "resourceFiles", id="no source"),
        pytest.param(
            File(http_url="http://x", auto_storage_container_name="x", file_path="x"),
            "resourceFiles",
            id="two sources",
        ),
        pytest.param(File(http_url="http://x"), "filePath", id="no path"),
        pytest.param(File(http_url="ftp://x?sig=secret", file_path="x"), "httpUrl", id="no http"),
        pytest.param(
            File(http_url="http://x", file_path="x", blob_prefix="x"), "blobPrefix", id="prefix of a file"
        ),
        pytest.param(File(http_url="http://x", file_path="x", file_mode="rwx"), "fileMode", id="mode"),
    ],
)
def test_a_resource_file_that_makes_no_sense_is_refused(
    client: BatchClient, run_task: RunTask, file: models.ResourceFile, name: str
) -> None:
    with pytest.raises(HttpResponseError) as refusal:
        run_task("true", resource_files=[file])

    assert (refusal.value.status_code, name in str(refusal.value)) == (400, True)
    assert "secret" not in str(refusal.value)


def test_a_start_task_has_resource_files_too(
    client: BatchClient, make_pool: Callable[..., str], data: Any
) -> None:
    start_task = models.BatchStartTask(
        command_line="cat in/a.txt", resource_files=[File(storage_container_url=data.url)]
    )

    make_pool("linux", start_task=start_task)

    (node,) = client.list_nodes("linux")
    assert b"".join(client.download_node_file("linux", node.id, "startup/stdout.txt")) == b"A"


def test_tasks_of_a_job_have_resource_files_too(
    client: BatchClient, make_pool: Callable[..., str], eventually: Any, data: Any
) -> None:
    file = File(auto_storage_container_name="data")
    job = models.BatchJobCreateOptions(
        id="job",
        pool_info=models.BatchPoolInfo(pool_id=make_pool()),
        job_preparation_task=models.BatchJobPreparationTask(
            command_line="cat in/a.txt", resource_files=[file]
        ),
        job_manager_task=models.BatchJobManagerTask(
            id="manager", command_line="cat in/a.txt", resource_files=[file]
        ),
    )
    client.create_job(job)

    task = eventually(lambda: client.get_task("job", "manager"), lambda found: found.state == "completed")

    (place,) = client.list_job_preparation_and_release_task_status("job")
    assert place.job_preparation_task_execution_info is not None
    assert place.job_preparation_task_execution_info.result == task.execution_info.result == "success"


def test_the_logs_of_a_node_go_into_a_container(
    client: BatchClient, make_pool: Callable[..., str], eventually: Any, batch_emulator: RunningEmulator
) -> None:
    make_pool()
    (node,) = client.list_nodes("linux")
    logs = batch_emulator.container("logs", "wl")
    options = {"containerUrl": logs.url, "startTime": "2026-01-01T00:00:00Z"}

    result = client.upload_node_logs("linux", node.id, options)

    names = eventually(logs.names, lambda found: len(found) == result.number_of_files_uploaded)
    assert all(name.startswith(f"{result.virtual_directory_name}/") for name in names)
