"""What is wrong with a request is said with a status of the client's fault, and harms nothing."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

VERSION = "api-version=2025-06-01"
REFERENCE = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
MACHINE = {"imageReference": REFERENCE, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
POOL = {"id": "linux", "vmSize": "standard_d2s_v5", "virtualMachineConfiguration": MACHINE}
REFUSED, UNREADABLE = "InvalidPropertyValue", "InvalidRequestBody"


def _pool(**more: Any) -> bytes:
    return json.dumps({**POOL, **more}).encode()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(b"{", 400, UNREADABLE, id="not JSON"),
        pytest.param(b'{"id": NaN}', 400, UNREADABLE, id="NaN"),
        pytest.param(b'{"id": Infinity}', 400, UNREADABLE, id="Infinity"),
        pytest.param(b'{"id": "\xff\xfe"}', 400, UNREADABLE, id="not UTF-8"),
        pytest.param(b'{"id": "\\ud800"}', 400, UNREADABLE, id="half a character"),
        pytest.param(b'{"\\udfff": 1}', 400, UNREADABLE, id="half a character as a name"),
        pytest.param(b"\x00", 400, UNREADABLE, id="a null byte"),
        pytest.param(b'{"id":' * 50_000, 400, UNREADABLE, id="nested deeply"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", 400, UNREADABLE, id="a number of 5,000 digits"),
        pytest.param(b'"linux"', 400, UNREADABLE, id="a string"),
        pytest.param(b"null", 400, UNREADABLE, id="null"),
        pytest.param(_pool(colour="red"), 400, UNREADABLE, id="an unknown property"),
        pytest.param(_pool(targetDedicatedNodes=1.5), 400, REFUSED, id="a fraction of a node"),
        pytest.param(_pool(targetDedicatedNodes=True), 400, REFUSED, id="true nodes"),
        pytest.param(_pool(targetDedicatedNodes=-1), 400, REFUSED, id="less than no node"),
        pytest.param(_pool(targetDedicatedNodes=10**100), 400, REFUSED, id="more nodes than can be counted"),
        pytest.param(_pool(targetDedicatedNodes=[1]), 400, REFUSED, id="a list of nodes"),
        pytest.param(_pool(resizeTimeout="soon"), 400, REFUSED, id="no duration"),
        pytest.param(_pool(resizeTimeout="P99999999999999D"), 400, REFUSED, id="longer than time"),
        pytest.param(_pool(metadata={"name": "a"}), 400, UNREADABLE, id="an object for a list"),
        pytest.param(_pool(startTask=[]), 400, UNREADABLE, id="a list for an object"),
        pytest.param(_pool(startTask={"commandLine": 5}), 400, REFUSED, id="a number for a command"),
        pytest.param(_pool(id="a/b"), 400, REFUSED, id="a slash in an id"),
        pytest.param(_pool(id="a\r\nset-cookie: x"), 400, REFUSED, id="a header in an id"),
        pytest.param(_pool(id=".."), 400, REFUSED, id="dots for an id"),
        pytest.param(_pool(id="x" * 65), 400, REFUSED, id="65 letters"),
        pytest.param(_pool(id="pool\n"), 400, REFUSED, id="a line feed after an id"),
        pytest.param(_pool(vmSize="../../etc"), 400, REFUSED, id="a path for a VM size"),
        pytest.param(b" " * (1024 * 1024 + 1), 413, "RequestBodyTooLarge", id="over a mebibyte"),
    ],
)
def test_a_body_that_makes_no_pool_is_refused(send: Any, body: bytes, status: int, code: str) -> None:
    answer = send("POST", f"/pools?{VERSION}", body)

    assert (answer.status, answer.body["code"]) == (status, code)
    assert send("GET", f"/pools?{VERSION}").body["value"] == []


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        pytest.param("GET", "/pools/a%2Fb", 404, id="a slash in an id"),
        pytest.param("GET", "/pools/..", 404, id="dots for an id"),
        pytest.param("GET", "/pools/%2e%2e/jobs", 404, id="encoded dots"),
        pytest.param("GET", "/pools/%C3", 404, id="half a character"),
        pytest.param("GET", "/pools/%00", 400, id="a null byte"),
        pytest.param("GET", "/pools/a%0d%0aset-cookie:%20x", 400, id="a header in an id"),
        pytest.param("GET", "/pools/%zz", 400, id="a percent sign for nothing"),
        pytest.param("GET", "//pools", 404, id="two slashes"),
        pytest.param("GET", "/pools/" + "x" * 5000, 404, id="a long id"),
        pytest.param("GET", "/" + "a/" * 2000, 404, id="a deep path"),
        pytest.param("BREW", "/pools", 400, id="an unknown method"),
        pytest.param("TRACE", "/pools", 405, id="another method"),
        pytest.param("DELETE", "/pools", 405, id="a method of another place"),
    ],
)
def test_a_place_that_there_is_not_is_refused(send: Any, method: str, target: str, status: int) -> None:
    answer = send(method, f"{target}?{VERSION}")

    assert answer.status == status
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("$filter=" + "(" * 1000, id="1,000 parentheses"),
        pytest.param("$filter=" + "not " * 1000 + "id eq 'a'", id="1,000 times not"),
        pytest.param("$filter=id eq 'a", id="an open string"),
        pytest.param("$filter=id eq '\x01'; drop", id="a second statement"),
        pytest.param("$filter=id eq 5", id="a number for a string"),
        pytest.param("$filter=creationTime gt datetime'yesterday'", id="no time"),
        pytest.param("$filter=creationTime gt datetime'9999-99-99T00:00:00Z'", id="no month"),
        pytest.param("$filter=", id="an empty filter"),
        pytest.param("$select=", id="an empty selection"),
        pytest.param("$select=id,,id", id="an empty name"),
        pytest.param("$expand=stats,nodes", id="an unknown expansion"),
        pytest.param("maxresults=0", id="no result"),
        pytest.param("maxresults=1e3", id="a number in another way"),
        pytest.param("maxresults=" + "9" * 5000, id="a number of 5,000 digits"),
        pytest.param("maxresults=1&maxresults=2", id="twice"),
        pytest.param("maxresults=1&MaxResults=1", id="twice in other letters"),
        pytest.param("timeout=-1", id="less than no time"),
        pytest.param("$skiptoken=WATV2:%%%", id="no token"),
        pytest.param("$skiptoken=WATV2:/w==", id="a token of half a character"),
    ],
)
def test_a_query_that_cannot_be_read_is_refused(send: Any, query: str) -> None:
    answer = send("GET", f"/pools?{VERSION}&{quote(query, safe='=&$')}")

    assert (answer.status, answer.body["code"]) == (400, "InvalidQueryParameterValue")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("text/xml", 400),
        ("application/x-www-form-urlencoded", 400),
        ("application/json; odata=minimalmetadata; charset=utf-8", 201),
        ("APPLICATION/JSON", 201),
    ],
)
def test_a_body_is_taken_as_json_only(send: Any, kind: str, status: int) -> None:
    answer = send("POST", f"/pools?{VERSION}", _pool(), {"Content-Type": kind})

    assert answer.status == status


@pytest.mark.parametrize("target", ["/pools", f"/jobs?{VERSION}", f"/pools?{VERSION}&maxresults=1"])
def test_a_signature_over_another_place_opens_nothing(send: Any, target: str) -> None:
    signed = send("GET", f"/pools?{VERSION}")
    assert signed.status == 200

    answer = send("GET", target, headers={"authorization": signed.sent["authorization"]})

    assert answer.status == 403


@pytest.fixture
def files(send: Any, run_task: Any, tmp_path: Path) -> tuple[str, str, Path]:
    """Give where the files of a node and a task are found, and a file beside the directories of the nodes."""
    run_task("/bin/sh -c 'ln -s / slash; ln -s ../../../../.. up; echo hello > own.txt'")
    node = send("GET", f"/jobs/job/tasks/task?{VERSION}").body["nodeInfo"]
    outside = tmp_path / "outside.txt"
    outside.write_text("secret")
    return f"/pools/workers/nodes/{node['nodeId']}/files", "/jobs/job/tasks/task/files", outside


@pytest.mark.parametrize(
    "name",
    [
        "../{outside}",
        "../../../../../../../../../../..{outside}",
        "..%2F..%2F..%2F..%2F..%2F..%2F..%2F..%2F..{encoded}",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e{outside}",
        "{outside}",
        "{encoded}",
        "wd/slash{outside}",
        "wd/slash/etc/passwd",
        "wd/up",
        ".",
        "..",
        "%2e",
        "wd/../../../../../..",
        "..%5C..%5C..%5Cetc%5Cpasswd",
    ],
)
def test_no_file_is_found_outside_of_a_directory(send: Any, files: tuple[str, str, Path], name: str) -> None:
    *places, outside = files
    path = name.format(outside=outside, encoded=quote(str(outside), safe=""))
    # The deletion of a link deletes the link, which is inside.
    methods = ("GET", "HEAD") if name == "wd/up" else ("GET", "HEAD", "DELETE")
    for place, method in product(places, methods):
        answer = send(method, f"{place}/{path}?{VERSION}&recursive=true")

        assert answer.status in (400, 404), (place, method)
        assert b"secret" not in answer.content
    assert outside.read_text() == "secret"


def test_what_a_user_is_called_stays_in_the_path(send: Any, make_pool: Any) -> None:
    make_pool()
    node = send("GET", f"/pools/linux/nodes?{VERSION}").body["value"][0]["id"]
    users = f"/pools/linux/nodes/{node}/users"
    for name in ("a\r\nset-cookie: x", "a/b", "", "a\0b", "x\ty"):
        body = json.dumps({"name": name, "password": "secret"}).encode()
        answer = send("POST", f"{users}?{VERSION}", body)

        assert (answer.status, answer.body["code"]) == (400, REFUSED), name
    answer = send("POST", f"{users}?{VERSION}", json.dumps({"name": "Zoë Ω", "password": "secret"}).encode())
    assert answer.status == 201
    assert answer.headers["location"].endswith("/users/Zo%C3%AB%20%CE%A9")


@pytest.mark.parametrize(
    "command",
    ["", "/bin/echo 'open", "a\0b", "/no/such/program", "/bin/echo " + "x" * 200_000, "\u2028", "~", "a=b"],
)
def test_a_command_that_cannot_run_fails_its_task(
    send: Any, run_task: Any, eventually: Any, command: str
) -> None:
    run_task("/bin/true")
    body = json.dumps({"id": "other", "commandLine": command}).encode()

    assert send("POST", f"/jobs/job/tasks?{VERSION}", body).status == 201
    task = eventually(
        lambda: send("GET", f"/jobs/job/tasks/other?{VERSION}").body, lambda t: t["state"] == "completed"
    )
    assert task["executionInfo"]["result"] == "failure"
