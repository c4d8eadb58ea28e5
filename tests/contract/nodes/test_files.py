"""Files of tasks and nodes, as the SDK sees them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from azure.batch import BatchClient
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError


def test_files_of_a_task_are_listed(client: BatchClient, run_task: Any) -> None:
    run_task("/bin/sh -c 'echo hello > result.txt'")

    flat = {file.name: file.is_directory for file in client.list_task_files("job", "task")}
    deep = [file.name for file in client.list_task_files("job", "task", recursive=True)]

    assert flat == {"stderr.txt": False, "stdout.txt": False, "wd": True, "certs": True}
    assert sorted(deep) == ["certs", "stderr.txt", "stdout.txt", "wd", "wd/result.txt"]
    # Recorded: lists are not sorted, but pages go on where the last one ended.
    assert deep != sorted(deep)
    pages = client.list_task_files("job", "task", recursive=True, max_results=2)
    assert [file.name for file in pages] == deep


def test_a_file_is_read_whole_or_in_part(client: BatchClient, run_task: Any) -> None:
    run_task("/bin/echo 0123456789")

    assert b"".join(client.download_task_file("job", "task", "stdout.txt")) == b"0123456789\n"
    part = client.download_task_file("job", "task", "stdout.txt", ocp_range="bytes=2-4")
    assert b"".join(part) == b"234"
    rest = client.download_task_file("job", "task", "stdout.txt", ocp_range="bytes=8-")
    assert b"".join(rest) == b"89\n"


@pytest.mark.parametrize("wanted", ["bytes=6-", "bytes=3-2", "lines=1-2"])
def test_a_range_past_the_end_is_refused(send: Any, run_task: Any, wanted: str) -> None:
    run_task("/bin/echo hello")

    answer = send("GET", _path("stdout.txt"), headers={"ocp-range": wanted})

    assert (answer.status, answer.body["code"]) == (416, "InvalidRange")


def test_properties_of_a_file_come_without_it(client: BatchClient, run_task: Any) -> None:
    run_task("/bin/echo hello")

    file = client.get_task_file_properties("job", "task", "stdout.txt")

    assert (file.content_length, file.is_directory) == (6, False)
    assert file.file_mode.startswith("0o100")
    assert file.url.endswith("stdout.txt")


def test_a_large_file_arrives_whole(client: BatchClient, run_task: Any) -> None:
    run_task("/usr/bin/head -c 3000000 /dev/zero")

    assert sum(map(len, client.download_task_file("job", "task", "stdout.txt"))) == 3_000_000


@pytest.mark.parametrize(
    "name",
    ["missing.txt", "../../../../../startup", "/etc/passwd", "wd/../../../x", "way-out/passwd"],
)
def test_there_is_nothing_outside_of_a_task(send: Any, run_task: Any, name: str) -> None:
    run_task("/bin/ln -s /etc ../way-out")

    answer = send("GET", _path(name))

    assert (answer.status, answer.body["code"]) == (404, "FileNotFound")
    assert send("DELETE", _path(name)).status == 404


@pytest.mark.parametrize("target", ["/etc/passwd", "nothing", "link", "wd/result.txt", "wd"])
def test_deletion_of_a_link_deletes_the_link(send: Any, run_task: Any, target: str) -> None:
    run_task(f"/bin/sh -c 'echo hello > result.txt; ln -s {target} ../link'")

    assert send("DELETE", _path("link") + "&recursive=true").status == 200

    names = [
        file["name"] for file in send("GET", f"{_path('')}&recursive=true".replace("/?", "?")).body["value"]
    ]
    assert "link" not in names
    assert send("GET", _path("wd/result.txt")).content == b"hello\n"


def test_a_deleted_file_is_gone(client: BatchClient, run_task: Any) -> None:
    run_task("/bin/sh -c 'echo hello > result.txt'")

    client.delete_task_file("job", "task", "wd/result.txt")

    with pytest.raises(ResourceNotFoundError):
        client.get_task_file_properties("job", "task", "wd/result.txt")


def test_a_task_that_has_not_run_has_no_files(client: BatchClient, make_pool: Any) -> None:
    from azure.batch import models

    pool = models.BatchPoolInfo(pool_id=make_pool(dedicated=0))
    client.create_job(models.BatchJobCreateOptions(id="job", pool_info=pool))
    client.create_task("job", models.BatchTaskCreateOptions(id="task", command_line="true"))

    with pytest.raises(HttpResponseError) as refusal:
        list(client.list_task_files("job", "task"))

    assert refusal.value.error.code == "TaskFilesUnavailable"


def test_files_of_a_task_lie_below_its_node(client: BatchClient, run_task: Any) -> None:
    task = run_task("/bin/echo hello")
    name = f"{task.node_info.task_root_directory}/stdout.txt"

    content = client.download_node_file("workers", task.node_info.node_id, name)

    assert b"".join(content) == b"hello\n"


def _path(name: str) -> str:
    return f"/jobs/job/tasks/task/files/{quote(name, safe='')}?api-version=2025-06-01"
