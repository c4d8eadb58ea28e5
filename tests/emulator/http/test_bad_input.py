"""Input that is wrong for every reader of it: refused with a sentence, and nothing fails later."""

from __future__ import annotations

import json
import re
import ssl
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from itertools import product
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator import RunningEmulator
from airflow_provider_batchlinux.emulator.http.control import ACTIONS
from airflow_provider_batchlinux.emulator.protocol.documents import read_json
from airflow_provider_batchlinux.emulator.simulation.patterns import Pattern
from tests.signed_requests import signed
from tests.tables import each_of

VERSION = "api-version=2025-06-01"
NOT_NUMBERS = [True, "1", "", [], {}, float("nan"), float("inf"), -float("inf"), 10**30, -(10**30)]
NOT_COUNTS = [*NOT_NUMBERS, -1, 1.5]
NOT_SECONDS = [*NOT_NUMBERS, -1, 86_401]
NOT_TEXTS = [1, True, [], {}, "", "x" * 5000]
NOT_FLAGS = [1, "true", [], {}]
NOT_NAMES = [*NOT_TEXTS, "two words", ".hidden", "../up", "x" * 81]
NOT_PATTERNS = ["(", "[", "(a+)+$", "(a|aa)*$", r"(a)\1", "(?=a)", "(?i)a", "a{5000}", "(" * 5000, *NOT_TEXTS]
NOT_ERRORS = [
    1,
    "text",
    {},
    [1],
    [{}],
    [{"code": 1, "message": "m"}],
    [{"code": "c", "message": "m", "x": []}],
]
NOT_TABLES = [1, "text", [], {"a": 1}, {"a": None}, {"a": {}}]

# What each argument of each action of the control plane is not.
ARGUMENTS: dict[str, dict[str, list[Any]]] = {
    "inject": {
        "method": [*NOT_TEXTS, "GET /", "\u00e9"],
        "path": NOT_PATTERNS,
        "times": [*NOT_COUNTS, 0],
        "status": [*NOT_COUNTS, 0, 99, 200, 600],
        "code": NOT_TEXTS,
        "retry_after": NOT_SECONDS,
        "delay": NOT_SECONDS,
        "hold": NOT_SECONDS,
        "drop": [*NOT_TEXTS, "during"],
    },
    "set-node": {
        "pool_id": NOT_TEXTS,
        "node_id": NOT_TEXTS,
        "state": [*NOT_TEXTS, "sleeping"],
        "errors": NOT_ERRORS,
    },
    "set-quota": dict.fromkeys(
        ("dedicated_cores", "spot_cores", "pools", "active_jobs", "nodes_per_pool"), NOT_COUNTS
    ),
    "set-capacity": dict.fromkeys(("dedicated", "spot"), NOT_COUNTS),
    "fault-rates": {name: [*NOT_NUMBERS, -0.1, 1.1] for name in ACTIONS["fault-rates"].arguments},
    "preempt": {"pool_id": NOT_TEXTS, "nodes": NOT_COUNTS, "node_id": NOT_TEXTS},
    "resize-error": {
        "pool_id": NOT_PATTERNS,
        "code": NOT_TEXTS,
        "message": NOT_TEXTS,
        "values": NOT_TABLES,
    },
    "set-subnet": {
        "network": NOT_NAMES,
        "subnet": NOT_NAMES,
        "prefix": [*NOT_TEXTS, "10.0.0.1/24", "10.0.0.0/40", "0.0.0.0/0"],
        "limit": NOT_COUNTS,
        "used": NOT_COUNTS,
        "location": NOT_TEXTS,
        "denied_to": [*NOT_TEXTS, "all"],
        **dict.fromkeys(("denies_batch", "denies_ssh", "is_delegated"), NOT_FLAGS),
    },
    "set-public-ip": {"name": NOT_NAMES, "location": NOT_TEXTS, "denied_to": [*NOT_TEXTS, "all"]},
    "set-image": {
        "name": NOT_NAMES,
        "gallery": NOT_NAMES,
        "version": NOT_NAMES,
        "node_agent_sku": NOT_TEXTS,
        "generation": [*NOT_COUNTS, 0, 3],
        "architecture": [*NOT_TEXTS, "x86"],
        "location": NOT_TEXTS,
        "denied_to": [*NOT_TEXTS, "all"],
    },
    "set-package": {
        "application_id": [*NOT_TEXTS, "two words", "../up", "x" * 65],
        "version": [*NOT_TEXTS, "two words", ".hidden", "../up"],
        "is_default": NOT_FLAGS,
        "display_name": NOT_TEXTS,
    },
    "container": {
        "name": [*NOT_TEXTS, "x", "../up"],
        "permissions": [*NOT_TEXTS, "rx"],
        "expires_in": NOT_NUMBERS,
    },
    "advance": {"seconds": [*NOT_NUMBERS, -1]},
}
GOOD: dict[str, dict[str, Any]] = {
    "set-node": {"pool_id": "linux", "node_id": "node", "state": "idle"},
    "preempt": {"pool_id": "linux"},
    "resize-error": {"pool_id": "linux", "code": "code", "message": "message"},
    "set-subnet": {"network": "network", "subnet": "subnet"},
    "set-public-ip": {"name": "address"},
    "set-image": {"name": "image"},
    "set-package": {"application_id": "tools", "version": "1.0"},
    "container": {"name": "container", "permissions": "r", "expires_in": 60},
    "advance": {"seconds": 0},
}
NO_DOCUMENTS = [
    pytest.param(b"{", id="broken"),
    pytest.param(b"\xff\xfe", id="no text"),
    pytest.param(b"[]", id="array"),
    pytest.param(b"null", id="null"),
    pytest.param(b'"text"', id="text"),
    pytest.param(b"[" * 100_000, id="deep"),
    pytest.param(b'{"tags":' * 65 + b"{}" + b"}" * 65, id="deep objects"),
    pytest.param(b'{"properties": ' + b"[" * 900 + b"]" * 900 + b"}", id="deep in a property"),
    pytest.param(b'{"properties": 1e999}', id="infinite"),
    pytest.param(b'{"properties": NaN}', id="no number"),
    pytest.param(b'{"properties": ' + b"9" * 10_000 + b"}", id="a long number"),
    pytest.param(b'{"properties": "\\ud800"}', id="half a character"),
    pytest.param(b'{"properties": "' + b"x" * (2 << 20) + b'"}', id="long"),
]


def post(emulator: RunningEmulator, action: str, content: bytes) -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {emulator.control_token}", "content-type": "application/json"}
    with closing(HTTPConnection(urlsplit(emulator.endpoint).netloc, timeout=10)) as connection:
        connection.request("POST", f"/_emulator/{action}", content, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_each_argument_of_the_control_plane_is_tried() -> None:
    assert {name: set(action.arguments) for name, action in ACTIONS.items() if action.arguments} == {
        name: set(arguments) for name, arguments in ARGUMENTS.items()
    }


@pytest.mark.batch_emulator(clock="manual")
@pytest.mark.parametrize("action", ARGUMENTS)
def test_a_wrong_argument_is_refused_by_name(batch_emulator: RunningEmulator, action: str) -> None:
    for name, wrong in ARGUMENTS[action].items():
        for value in wrong:
            content = json.dumps({**GOOD.get(action, {}), name: value}).encode()
            started = time.monotonic()
            status, answer = post(batch_emulator, action, content)

            assert status == 400, (name, value, answer)
            assert name in answer["error"] or "JSON" in answer["error"], (name, value, answer)
            assert time.monotonic() - started < 5
    for name in GOOD.get(action, {}):
        rest = {other: value for other, value in GOOD[action].items() if other != name}
        assert post(batch_emulator, action, json.dumps(rest).encode())[0] == 400
    assert post(batch_emulator, action, b'{"other": 1}')[0] == 400


def test_what_is_no_body_of_the_control_plane_is_refused(batch_emulator: RunningEmulator) -> None:
    cases = product(ACTIONS, NO_DOCUMENTS)

    @each_of({f"{action}, {case.id}": (action, case.values[0]) for action, case in cases})
    def is_refused(action: str, content: bytes) -> None:
        status, answer = post(batch_emulator, action, content)

        assert (status in (400, 413), isinstance(answer["error"], str)) == (True, True)

    is_refused()


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("content", NO_DOCUMENTS)
def test_what_is_no_body_of_the_management_plane_is_refused(
    secure_emulator: RunningEmulator, method: str, content: bytes
) -> None:
    assert manage(secure_emulator, method, content)[0] in (400, 404, 413)


@pytest.mark.parametrize(
    "body",
    [
        {"properties": []},
        {"properties": "text"},
        {"properties": {"deploymentConfiguration": "text"}},
        {"properties": {"deploymentConfiguration": {"virtualMachineConfiguration": []}}},
        {"properties": {"scaleSettings": []}},
        {"properties": {"scaleSettings": {"autoScale": "text"}}},
        {"properties": {"scaleSettings": {"fixedScale": 1}}},
        {"identity": []},
        {"identity": {"type": "UserAssigned", "userAssignedIdentities": "text"}},
        {"tags": []},
        {"tags": {"a": 1}},
        {"properties": {"metadata": {"a": [[[[]]]]}}},
        {"properties": {"vmSize": ["a"]}},
    ],
)
def test_a_wrong_pool_of_the_management_plane_is_refused(secure_emulator: RunningEmulator, body: Any) -> None:
    status, answer = manage(secure_emulator, "PUT", json.dumps(body).encode())

    assert (status, set(answer["error"]) >= {"code", "message"}) == (400, True)
    assert manage(secure_emulator, "GET", b"")[0] == 404


def manage(emulator: RunningEmulator, method: str, content: bytes) -> tuple[int, Any]:
    facts, management = emulator.identity, emulator.management
    assert facts is not None
    assert management is not None
    resource = "https://management.azure.com/"
    target = f"{urlsplit(facts.identity_endpoint).path}?{urlencode({'resource': resource})}"
    secret = {"X-IDENTITY-HEADER": facts.identity_header}
    token = json.loads(exchange(emulator, facts.identity_endpoint, "GET", target, b"", secret)[1])
    pool = (
        f"/subscriptions/{management.subscription_id}/resourceGroups/{management.resource_group}"
        f"/providers/Microsoft.Batch/batchAccounts/{emulator.account}/pools/etl?{VERSION}"
    )
    headers = {"authorization": f"Bearer {token['access_token']}", "content-type": "application/json"}
    status, answer = exchange(emulator, management.url, method, pool, content, headers)
    return status, json.loads(answer)


def exchange(
    emulator: RunningEmulator, url: str, method: str, target: str, content: bytes, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    parts = urlsplit(url)
    plain = HTTPConnection(parts.netloc, timeout=10)
    context = ssl.create_default_context(cafile=emulator.ca)
    connection = HTTPSConnection(parts.netloc, timeout=10, context=context)
    with closing(plain if parts.scheme == "http" else connection) as chosen:
        chosen.request(method, target, content or None, dict(headers))
        response = chosen.getresponse()
        return response.status, response.read()


DEEP = urlsafe_b64encode(b"[" * 5000).decode().rstrip("=")


@pytest.mark.parametrize(
    "token", [f"{DEEP}.e30.x", f"e30.{DEEP}.x", f"{DEEP}.{DEEP[:100]}.", "\xff", "a.b.c", ""]
)
@pytest.mark.parametrize("scheme", ["Bearer", "SharedKey", "SharedKey batchlinux:", "Basic"])
def test_odd_credentials_are_refused(secure_emulator: RunningEmulator, scheme: str, token: str) -> None:
    management = secure_emulator.management
    assert management is not None
    headers = {"authorization": f"{scheme} {token}", "content-type": "\xff"}
    for url in (secure_emulator.endpoint, management.url, secure_emulator.storage.endpoint):
        path = f"{urlsplit(url).path}/container/blob?{VERSION}"
        assert exchange(secure_emulator, url, "GET", path, b"", headers)[0] in (400, 401, 403), url


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data; boundary=x", b"--x\r\n"),
        ("application/x-www-form-urlencoded", b"grant_type=%ff%00&client_id=\xff"),
        ("application/x-www-form-urlencoded", f"client_assertion={DEEP}.{DEEP}.x".encode()),
    ],
)
def test_odd_forms_are_refused(secure_emulator: RunningEmulator, kind: str, content: bytes) -> None:
    facts = secure_emulator.identity
    assert facts is not None
    target = f"/{facts.tenant_id}/oauth2/v2.0/token"
    form = b"grant_type=client_credentials&client_id=%b&" % facts.client_id.encode() + content

    status, answer = exchange(secure_emulator, facts.authority, "POST", target, form, {"content-type": kind})

    assert (status, "error_description" in json.loads(answer)) == (
        status if status in (400, 401) else 0,
        True,
    )


@pytest.mark.parametrize(
    "query", ["$filter=" + "(" * 3000, "$filter=" + "not%20" * 1000, "maxresults=" + "9" * 5000]
)
def test_odd_queries_are_refused(batch_emulator: RunningEmulator, query: str) -> None:
    assert signed_get(batch_emulator, f"/pools?{VERSION}&{query}") == 400


@pytest.mark.parametrize("wanted", ["bytes=" + "9" * 5000 + "-", "bytes=0-" + "9" * 5000])
def test_odd_ranges_of_a_blob_are_no_defect(batch_emulator: RunningEmulator, wanted: str) -> None:
    container = batch_emulator.container("data")
    container.put("blob", b"content")
    url = container.blob_url("blob")
    target = f"{urlsplit(url).path}?{urlsplit(url).query}"

    assert exchange(batch_emulator, url, "GET", target, b"", {"range": wanted}) == (200, b"content")


def signed_get(emulator: RunningEmulator, target: str) -> int:
    headers = signed(emulator.account, emulator.key, "GET", target, {})
    with closing(HTTPConnection(urlsplit(emulator.endpoint).netloc, timeout=10)) as connection:
        connection.request("GET", target, headers=headers)
        return connection.getresponse().status


ATOMS = st.sampled_from(["a", "b", "/", ".", "[^/]", "[ab]", r"\w", r"\.", "(a|b/)", "(?:a)?", "(b|)"])
PARTS = st.tuples(ATOMS, st.sampled_from(["", "", "*", "+", "?", "{2}", "{,2}", "{1,}", "{1,2}?"]))


@given(
    st.lists(PARTS, max_size=5),
    st.sampled_from(["", "^"]),
    st.sampled_from(["", "$"]),
    st.text("ab/.", max_size=9),
)
def test_a_pattern_matches_as_a_regular_expression_does(parts: Any, begin: str, end: str, text: str) -> None:
    middle = "".join(atom + ("" if atom.endswith((")", "?")) else often) for atom, often in parts)
    pattern = begin + middle + end

    assert Pattern(pattern).search(text) == bool(re.search(pattern, text))


@pytest.mark.parametrize(
    "pattern", [".*.*.*.*.*.*.*.*=x$", "[^/]*[^/]*[^/]*[^/]*[^/]*!", ".{0,40}x.{0,40}y.{0,40}z"]
)
def test_a_pattern_takes_no_longer_for_many_ways_to_match(pattern: str) -> None:
    started = time.process_time()

    assert not Pattern(pattern).search("/" + "ax" * 4000)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("levels", [10, 64, 65, 500])
def test_a_document_may_be_nested_so_deep(levels: int) -> None:
    for document in (b"[" * levels + b"]" * levels, b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)):
        if levels <= 64:
            assert read_json(document)
        else:
            with pytest.raises(ValueError, match="deeper than 64 levels"):
                read_json(document)
