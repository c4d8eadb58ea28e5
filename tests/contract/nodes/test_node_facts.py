"""Extensions and logs of nodes, applications, and the whole replacement of a pool's properties."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError

VERSION = "api-version=2025-06-01"
START = "2026-01-01T00:00:00Z"


@contextmanager
def container(status: int = 201) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Serve a container that keeps what is put into it, by path and query."""
    blobs: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            assert self.headers["x-ms-blob-type"] == "BlockBlob"
            blobs[self.path] = content
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/logs?sig=abc", blobs
        finally:
            server.shutdown()
        thread.join()


def test_the_logs_of_a_node_are_put_into_a_container(
    client: BatchClient, make_pool: Any, eventually: Any
) -> None:
    make_pool(start_task=models.BatchStartTask(command_line="/bin/echo ready"))
    (node,) = client.list_nodes("linux")

    with container() as (url, blobs):
        options = {"containerUrl": url, "startTime": START}
        result = client.upload_node_logs("linux", node.id, options)
        eventually(lambda: dict(blobs), lambda found: len(found) == 4)

    assert result.number_of_files_uploaded == 4
    directory = result.virtual_directory_name
    assert re.fullmatch(rf"[a-z]+-[0-9A-F]{{16}}/linux/{node.id}/[0-9a-f-]{{36}}", directory)
    assert blobs[f"/logs/{directory}/startup/stdout.txt?sig=abc"] == b"ready\n"
    assert node.id.encode() in blobs[f"/logs/{directory}/agent-debug.log?sig=abc"]


def test_a_container_that_refuses_logs_does_not_disturb_the_node(
    client: BatchClient, make_pool: Any, eventually: Any
) -> None:
    make_pool()
    (node,) = client.list_nodes("linux")

    with container(status=403) as (url, blobs):
        client.upload_node_logs("linux", node.id, {"containerUrl": url, "startTime": START})
        eventually(lambda: dict(blobs), lambda found: len(found) == 4)

    assert client.get_node("linux", node.id).state == "idle"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        pytest.param({"containerUrl": "file:///etc", "startTime": START}, "containerUrl", id="not-http"),
        pytest.param(
            {"containerUrl": "http://x/y", "startTime": START, "endTime": "2025-01-01T00:00:00Z"},
            "endTime",
            id="ends-before-it-starts",
        ),
    ],
)
def test_an_upload_of_logs_that_cannot_be_is_refused(
    client: BatchClient, make_pool: Any, options: dict[str, str], name: str
) -> None:
    make_pool()
    (node,) = client.list_nodes("linux")

    with pytest.raises(HttpResponseError) as refusal:
        client.upload_node_logs("linux", node.id, options)

    assert refusal.value.error.code == "InvalidPropertyValue"
    values = {value["key"]: value["value"] for value in refusal.value.response.json()["values"]}
    assert values["PropertyName"] == name


def test_a_node_shows_the_extensions_of_its_pool_without_their_secrets(
    client: BatchClient, make_pool: Any
) -> None:
    machine = models.VirtualMachineConfiguration(
        image_reference=models.BatchVmImageReference(
            publisher="canonical", offer="ubuntu-24_04-lts", sku="server"
        ),
        node_agent_sku_id="batch.node.ubuntu 24.04",
        extensions=[
            models.VMExtension(
                name="Monitor", publisher="microsoft", type="agent", protected_settings={"key": "secret"}
            )
        ],
    )
    pool = models.BatchPoolCreateOptions(
        id="extended", vm_size="standard_d2s_v5", virtual_machine_configuration=machine
    )
    client.create_pool({**pool, "targetDedicatedNodes": 1})
    node = next(iter(_nodes(client, "extended")))

    listed, _ = client.list_node_extensions("extended", node.id)
    shown = client.get_node_extension("extended", node.id, "Monitor")

    assert listed.vm_extension == shown.vm_extension
    assert (shown.provisioning_state, shown.vm_extension.type) == ("Succeeded", "agent")
    assert shown.vm_extension.protected_settings is None
    with pytest.raises(HttpResponseError, match="ResourceNotFound"):
        client.get_node_extension("extended", node.id, "missing")


def test_the_account_has_no_applications(client: BatchClient) -> None:
    assert list(client.list_applications()) == []
    with pytest.raises(HttpResponseError) as refusal:
        client.get_application("tools")
    assert (refusal.value.status_code, refusal.value.error.code) == (404, "ApplicationNotFound")


def test_a_reference_to_an_application_is_refused_as_recorded(send: Any, make_pool: Any) -> None:
    make_pool()

    body = b'{"applicationPackageReferences": [{"applicationId": "does-not-exist"}]}'
    answer = send("PATCH", f"/pools/linux?{VERSION}", body)

    assert (answer.status, answer.body["code"]) == (409, "InvalidApplicationPackageReferences")
    problem = "The specified application package does not exist."
    assert answer.body["values"] == [{"key": "does-not-exist", "value": problem}]


def test_replaced_properties_are_taken_away_when_left_out(send: Any, make_pool: Any) -> None:
    task = models.BatchStartTask(command_line="/bin/true")
    make_pool(start_task=task, metadata=[models.BatchMetadataItem(name="team", value="etl")])
    before = send("GET", f"/pools/linux?{VERSION}").body

    body = b'{"metadata": [], "applicationPackageReferences": [], "certificateReferences": []}'
    answer = send("POST", "/pools/linux/updateproperties?api-version=2024-02-01.19.0", body)

    after = send("GET", f"/pools/linux?{VERSION}").body
    assert (answer.status, answer.content) == (204, b"")
    assert answer.headers["dataserviceid"].endswith("/pools/linux/updateproperties")
    assert answer.headers["etag"] == after["eTag"] != before["eTag"]
    assert set(before) - set(after) == {"startTask", "metadata"}


def _nodes(client: BatchClient, pool_id: str) -> Iterator[models.BatchNode]:
    # Until then, an extension may be shown as being created.
    while not (nodes := list(client.list_nodes(pool_id))) or nodes[0].state != "idle":
        pass
    yield from nodes
