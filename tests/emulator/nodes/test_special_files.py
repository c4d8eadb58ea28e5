"""What a task makes that is no plain file: clients may ask for it, and the service goes on."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timezone
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import asyncssh
import pytest

from airflow_provider_batchlinux.emulator import RunningEmulator
from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.nodes.output_files import Outputs, upload_output_files
from airflow_provider_batchlinux.emulator.nodes.programs import Outcome
from airflow_provider_batchlinux.emulator.nodes.resource_files import fetch_resource_files
from airflow_provider_batchlinux.emulator.protocol.local_files import (
    make_directory,
    open_for_reading,
    open_for_writing,
    remove_tree,
    replace_for_writing,
    walk,
)
from tests.batch_account import eventually
from tests.embedded_service import embedded_service
from tests.emulator.conftest import Account
from tests.signed_requests import signed

SPARSE = 1 << 40
LEVELS = 1100
"""More than Python has frames."""


def make_socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as bound:
        here = os.open(path.parent, os.O_DIRECTORY)
        # The path of a socket may have about a hundred characters.
        bound.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)


def make_sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, SPARSE)


def make_deep(path: Path) -> None:
    place = os.getcwd()
    try:
        path.mkdir()
        os.chdir(path)
        for _ in range(LEVELS):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(place)


KINDS: dict[str, Callable[[Path], None]] = {
    "fifo": os.mkfifo,
    "socket": make_socket,
    "endless": make_sparse,
    "loop": lambda path: path.symlink_to(path.name),
    "dangling": lambda path: path.symlink_to("nothing"),
    "outside": lambda path: path.symlink_to("/etc/passwd"),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "directories": lambda path: path.symlink_to(".."),
    "deep": make_deep,
}
UNREADABLE = {"fifo": 409, "socket": 409, "loop": 404, "dangling": 404, "outside": 404, "device": 404}


VERSION = "api-version=2025-06-01"
STARTED = "startup%2Fwd%2F"
Ask = Callable[..., "tuple[int, bytes]"]


@pytest.fixture
def ask(batch_emulator: RunningEmulator) -> Ask:
    """Give a function that sends a signed request, and returns status and content within half a minute."""

    def send(method: str, path: str, query: str = "", body: Any = None) -> tuple[int, bytes]:
        with closing(HTTPConnection(urlsplit(batch_emulator.endpoint).netloc, timeout=30)) as connection:
            response = request(connection, batch_emulator, method, f"{path}?{VERSION}{query}", body)
            return response.status, response.read(10_000)

    return send


def request(
    connection: HTTPConnection, emulator: Any, method: str, target: str, body: Any = None
) -> HTTPResponse:
    content = b"" if body is None else json.dumps(body).encode()
    headers = {"content-length": str(len(content))} if content else {}
    headers |= signed(emulator.account, emulator.key, method, target, headers)
    connection.request(method, target, content or None, headers)
    return connection.getresponse()


@pytest.fixture
def node(account: Any) -> str:
    """Give the URL path of an idle node whose start task has run."""
    account.create_pool(startTask={"commandLine": "/bin/sh -c pwd"})
    (node,) = account.wait_for_nodes("linux", "idle")
    return f"/pools/linux/nodes/{node['id']}"


@pytest.fixture
def directory(ask: Ask, node: str) -> Path:
    """Give the working directory of the start task."""
    return Path(ask("GET", f"{node}/files/startup%2Fstdout.txt")[1].decode().strip())


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, directory: Path) -> str:
    """Give the kind of what a task has made in its working directory, under the name ``made``."""
    KINDS[request.param](directory / "made")
    return str(request.param)


def test_whatever_a_task_makes_is_listed(ask: Ask, node: str, made: str) -> None:
    flat, deep = (ask("GET", f"{node}/files", more) for more in ("", "&recursive=true"))

    assert (flat[0], deep[0]) == (200, 200)
    assert b"startup/wd/made" in deep[1]


def test_what_has_no_content_is_not_read(ask: Ask, node: str, made: str) -> None:
    read, head = (ask(method, f"{node}/files/{STARTED}made")[0] for method in ("GET", "HEAD"))

    assert read == (200 if made == "endless" else UNREADABLE.get(made, 409))
    assert head == (404 if UNREADABLE.get(made) == 404 else 200)
    assert ask("GET", "/pools")[0] == 200


def test_whatever_a_task_makes_is_deleted(ask: Ask, node: str, made: str, directory: Path) -> None:
    assert ask("DELETE", f"{node}/files/{STARTED}made", "&recursive=true")[0] == 200

    assert not os.path.lexists(directory / "made")
    assert directory.is_dir()
    assert Path("/etc/passwd").stat().st_size


def test_a_reset_removes_whatever_a_task_makes(
    batch_emulator: RunningEmulator, made: str, directory: Path
) -> None:
    batch_emulator.control.reset()

    assert not directory.exists()


@pytest.fixture
def storage(tmp_path: Path) -> BlobStorage:
    """Give a storage account of which nodes only need to know what they trust."""
    return BlobStorage(tmp_path / "storage", "a2V5", lambda: datetime.now(timezone.utc))


def test_only_files_are_uploaded(
    batch_emulator: RunningEmulator, storage: BlobStorage, made: str, directory: Path
) -> None:
    if made == "endless":
        os.truncate(directory / "made", 5)
    (directory / "result.txt").write_text("done")
    container = batch_emulator.container("results")
    file = {
        "filePattern": "**/*",
        "destination": {"container": {"containerUrl": container.url}},
        "uploadOptions": {"uploadCondition": "TaskCompletion"},
    }
    outputs = Outputs([file], directory.parent.parent, directory.parent, {})

    outcome = asyncio.run(upload_output_files(outputs, Outcome(0), storage))

    assert outcome.is_success
    assert set(container.names()) - {"made"} == {"result.txt"}
    assert ("made" in container.names()) == (made == "endless")


def test_logs_of_a_node_take_only_files(
    batch_emulator: RunningEmulator, ask: Ask, node: str, directory: Path
) -> None:
    (directory.parent / "stdout.txt").unlink()
    os.mkfifo(directory.parent / "stdout.txt")
    (directory.parent / "stderr.txt").write_text("sorry")
    container = batch_emulator.container("logs")
    body = {"containerUrl": container.url, "startTime": "2026-01-01T00:00:00Z"}

    status, answer = ask("POST", f"{node}/uploadbatchservicelogs", body=body)

    assert (status, json.loads(answer)["numberOfFilesUploaded"]) == (200, 4)
    eventually(lambda: len(container.names()) == 4)
    contents = {name.rpartition("/")[2]: container.get(name) for name in container.names()}
    assert (contents["stdout.txt"], contents["stderr.txt"]) == (b"", b"sorry")


def test_a_task_that_replaced_its_output_runs_again(account: Any, ask: Ask, directory: Path) -> None:
    wreck = (
        "rm -f ../std*; mkfifo ../stdout.txt ../fileuploadout.txt; ln -s /etc/passwd ../stderr.txt; exit 1"
    )
    account.send("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "linux"}})
    task = {"commandLine": f"/bin/sh -c '{wreck}'", "constraints": {"maxTaskRetryCount": 1}}
    before = Path("/etc/passwd").read_bytes()
    account.send("POST", "/jobs/job/tasks", {"id": "task", **task})

    deadline = time.monotonic() + 10
    while (found := account.send("GET", "/jobs/job/tasks/task"))["state"] != "completed":
        assert time.monotonic() < deadline, found

    assert found["executionInfo"]["retryCount"] == 1
    assert Path("/etc/passwd").read_bytes() == before
    assert ask("GET", "/jobs/job/tasks/task/files")[0] == 200


def test_a_task_that_replaced_the_directory_of_its_job_is_deleted(account: Any, node: str) -> None:
    account.send("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "linux"}})
    wreck = "rm -rf ${AZ_BATCH_TASK_DIR%/task}; touch ${AZ_BATCH_TASK_DIR%/task}"
    account.send("POST", "/jobs/job/tasks", {"id": "task", "commandLine": f"/bin/sh -c '{wreck}'"})
    eventually(lambda: account.send("GET", "/jobs/job/tasks/task")["state"] == "completed")

    assert account.send("DELETE", "/jobs/job/tasks/task") == 200


def test_a_start_task_that_replaced_directories_runs_again(
    account: Any, ask: Ask, node: str, directory: Path
) -> None:
    root = directory.parent.parent
    for name in ("shared", "workitems"):
        shutil.rmtree(root / name)
        os.mkfifo(root / name)

    assert ask("GET", f"{node}/files")[0] == 200
    assert ask("POST", f"{node}/reboot", body={})[0] == 202
    account.wait_for_nodes("linux", "idle")
    assert (root / "shared").is_dir()


@pytest.mark.parametrize("kind", ["fifo", "socket", "loop", "dangling", "outside", "device"])
def test_a_resource_file_is_not_written_over_what_is_no_file(
    batch_emulator: RunningEmulator, storage: BlobStorage, tmp_path: Path, kind: str
) -> None:
    container = batch_emulator.container("inputs")
    container.put("blob", b"content")
    KINDS[kind](tmp_path / "made")
    files = [{"httpUrl": container.blob_url("blob"), "filePath": "made"}]

    failure = asyncio.run(fetch_resource_files(files, tmp_path, storage))

    if kind == "dangling":
        assert (tmp_path / "nothing").read_bytes() == b"content"
    else:
        assert failure is not None
        assert failure["code"] == "ResourceFileWriteFailed", failure


def test_sftp_opens_only_files(account: Any) -> None:
    (node,) = account.open_pool()
    path = f"/pools/linux/nodes/{node['id']}"
    account.send("POST", f"{path}/users", {"name": "etl", "password": "Pa55word"})
    place = account.send("GET", f"{path}/remoteloginsettings")

    async def open_both() -> str:
        async with (
            asyncssh.connect(
                place["remoteLoginIPAddress"],
                place["remoteLoginPort"],
                username="etl",
                password="Pa55word",
                known_hosts=None,
            ) as connection,
            connection.start_sftp_client() as files,
        ):
            await connection.run("mkfifo made; echo hello > file", check=True)
            with pytest.raises(asyncssh.SFTPError, match="no regular file"):
                await asyncio.wait_for(files.open("made"), 10)
            async with files.open("file") as file:
                return str(await file.read())

    assert asyncio.run(open_both()) == "hello\n"


def test_the_service_stops_while_a_client_reads_a_file_without_an_end(tmp_path: Path) -> None:
    with embedded_service(tmp_path / "root") as service:
        account = Account(service)  # type: ignore[arg-type]
        account.create_pool()
        (node,) = account.wait_for_nodes("linux", "idle")
        name = f"/pools/linux/nodes/{node['id']}/files"
        account.send("GET", name)
        (root,) = service.node_directories()
        make_sparse(root / "startup" / "made")
        target = f"{name}/startup%2Fmade?{VERSION}"
        with closing(HTTPConnection(urlsplit(service.endpoint).netloc, timeout=10)) as connection:
            response = request(connection, service, "GET", target)
            assert int(response.headers["content-length"]) == SPARSE
            assert account.states()[0] == "steady"

            service.process.terminate()

            assert service.process.wait(30) == 0


def test_a_file_that_becomes_shorter_ends_the_connection(
    batch_emulator: RunningEmulator, node: str, directory: Path
) -> None:
    make_sparse(directory / "made")
    target = f"{node}/files/{STARTED}made?{VERSION}"
    with closing(HTTPConnection(urlsplit(batch_emulator.endpoint).netloc, timeout=10)) as connection:
        response = request(connection, batch_emulator, "GET", target)
        response.read(1)
        os.truncate(directory / "made", 1)

        with pytest.raises((IncompleteRead, ConnectionError)):
            read_in_pieces(response)


def read_in_pieces(response: HTTPResponse) -> None:
    while response.read(1 << 20):
        pass
    nothing = b""
    raise IncompleteRead(nothing)


def test_a_growing_file_is_as_long_as_it_was(ask: Ask, node: str, directory: Path) -> None:
    with (directory / "made").open("wb") as file:
        file.write(b"begin")
        file.flush()
        status, content = ask("GET", f"{node}/files/{STARTED}made", "")
        file.write(b"more")

    assert (status, content) == (200, b"begin")


@pytest.mark.parametrize("name", ["..", "wd/..", "wd/../..", ".", ""])
def test_a_directory_above_is_not_deleted(ask: Ask, node: str, directory: Path, name: str) -> None:
    ask("DELETE", f"{node}/files/startup%2F{quote(name, safe='')}", "&recursive=true")

    assert directory.parent.parent.is_dir()
    assert directory.parent.parent.parent.is_dir()


@pytest.mark.parametrize("kind", ["fifo", "socket", "loop", "outside", "device", "dangling"])
@pytest.mark.parametrize("opener", [open_for_reading, open_for_writing])
def test_only_files_are_opened(tmp_path: Path, kind: str, opener: Any) -> None:
    KINDS[kind](tmp_path / "made")

    with pytest.raises(OSError, match="no regular file"):
        opener(tmp_path / "made")


@pytest.mark.parametrize("kind", ["fifo", "socket", "loop", "outside", "device", "dangling"])
def test_the_services_own_file_replaces_what_is_there(tmp_path: Path, kind: str) -> None:
    KINDS[kind](tmp_path / "made")

    with replace_for_writing(tmp_path / "made") as file:
        file.write(b"ours")

    assert (tmp_path / "made").read_bytes() == b"ours"
    assert not (tmp_path / "made").is_symlink()


@pytest.mark.parametrize("kind", ["fifo", "loop", "dangling", "outside"])
def test_a_directory_replaces_what_is_there(tmp_path: Path, kind: str) -> None:
    KINDS[kind](tmp_path / "made")

    make_directory(tmp_path / "made" / "inner")

    assert (tmp_path / "made" / "inner").is_dir()


def test_deep_directories_are_walked_and_removed(tmp_path: Path) -> None:
    make_deep(tmp_path / "made")

    assert sum(1 for _ in walk(tmp_path)) > 1000
    remove_tree(tmp_path / "made")
    assert list(tmp_path.iterdir()) == []
