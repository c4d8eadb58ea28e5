"""
Answers as the real service gave them: status, code, values, headers and properties of its bodies.

``recorded/answers.json`` has one line for each: requests that bring the account into the state, the
request, and what is to come back. It was drawn up from recordings that Microsoft published.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

VERSION = "api-version=2024-02-01.19.0"
ANSWERS = json.loads(Path(__file__).with_name("recorded").joinpath("answers.json").read_text())
REFERENCE = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
MACHINE = {"imageReference": REFERENCE, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
ALWAYS = {
    "date",
    "request-id",
    "server",
    "strict-transport-security",
    "x-content-type-options",
    "dataserviceversion",
    "content-length",
    "transfer-encoding",
}
TO_COME: dict[str, Callable[[Any], bool]] = {
    "pools": lambda found: found["allocationState"] == "steady",
    "tasks": lambda found: found["state"] == "completed",
}


NAMED = {
    "GET/jobs/x tasks/x files/x 200": "Of a Windows node: a time of creation and no mode.",
    "GET/pools/x nodes/x files/x 200": "Likewise.",
    "GET/pools/x nodes/x rdp 200": "Of a Windows node.",
    "GET/poolusagemetrics 200": "Retired since; the refusal is recorded, too.",
    "POST/pools/x nodes/x reimage 202": "Of a cloud service; its version refuses it of other pools.",
    "POST/pools/x upgradeos 202": "Of a cloud service.",
    "POST/pools/x upgradeos 400 PoolVersionEqualsUpgradeVersion": "Of a cloud service.",
    "POST/pools 403 Forbidden": "Of a virtual network by a token: it is compared in the tests of the gate.",
}
"""The other recordings, and why they are not among the answers."""


def _rows(kind: str) -> list[Any]:
    """Return the answers for which an account of a kind is needed."""
    kinds = {
        row["name"]: next((each for each in ("timed", "fault") if each in row), "usual") for row in ANSWERS
    }
    return [pytest.param(row, id=row["name"]) for row in ANSWERS if kinds[row["name"]] == kind]


def test_every_recording_is_answered_or_named() -> None:
    assert len(ANSWERS) + len(NAMED) == 99
    assert {row["name"] for row in ANSWERS}.isdisjoint(NAMED)


@pytest.mark.batch_emulator(profile="realistic", clock="manual", legacy_ssh=True)
@pytest.mark.parametrize("recorded", _rows("timed"))
def test_the_answer_in_the_middle_of_things_is_the_one_that_was_recorded(
    send: Any, batch_emulator: Any, recorded: dict[str, Any]
) -> None:
    for method, path, body in recorded["given"]:
        if method == "ADVANCE":
            batch_emulator.control.advance(path)
        elif method == "APPLICATION":
            batch_emulator.control.set_package(path, body[0], {})
        else:
            assert send(method, f"{path}?{VERSION}", _content(send, body)).status < 300, path

    _check(send, recorded)


@pytest.mark.parametrize("recorded", _rows("fault"))
def test_a_failure_of_the_service_is_told_as_recorded(
    send: Any, batch_emulator: Any, recorded: dict[str, Any]
) -> None:
    for method, path, body in recorded["given"]:
        assert send(method, f"{path}?{VERSION}", _content(send, body)).status < 300, path
    batch_emulator.control.inject(code=recorded["fault"])

    _check(send, recorded)


@pytest.mark.parametrize("recorded", _rows("usual"))
def test_the_answer_is_the_one_that_was_recorded(
    send: Any, eventually: Any, recorded: dict[str, Any]
) -> None:
    for method, path, body in recorded["given"]:
        assert send(method, f"{_filled(send, path)}?{VERSION}", _content(send, body)).status < 300, path
        _wait(send, eventually, path, body)

    _check(send, recorded)


def _check(send: Any, recorded: dict[str, Any]) -> None:
    wanted = recorded["answer"]
    method, target = recorded["request"]
    body = _content(send, recorded.get("body"))
    answer = send(method, _filled(send, target), body, recorded.get("send"))

    assert answer.status == wanted["status"]
    assert set(answer.headers) - ALWAYS == set(wanted["headers"])
    if "code" in wanted:
        assert _refusal(answer.body) == (wanted["code"], wanted["sentence"], wanted.get("values", []))
    elif "properties" in wanted:
        shown = answer.body
        assert shown.pop("odata.metadata").endswith(f"/$metadata#{wanted['set']}")
        assert sorted(set(_properties(shown, ""))) == wanted["properties"]


def _content(send: Any, body: dict[str, Any] | None) -> bytes:
    if body is None:
        return b""
    described = dict(body)
    if described.pop("$machine", False):
        described = {"vmSize": "standard_d2s_v5", "virtualMachineConfiguration": MACHINE, **described}
    return _filled(send, json.dumps(described)).encode()


def _wait(send: Any, eventually: Any, path: str, body: Any) -> None:
    kind = path.rpartition("/")[2]
    if kind not in TO_COME or (kind == "tasks" and not _can_end(send, path, body)):
        return
    made = f"{path}/{body['id']}?{VERSION}"
    eventually(lambda: send("GET", made).body, TO_COME[kind])
    if kind == "pools":
        nodes = f"/pools/{body['id']}/nodes?{VERSION}"
        eventually(lambda: send("GET", nodes).body["value"], lambda v: all(n["state"] == "idle" for n in v))


def _can_end(send: Any, path: str, body: Any) -> bool:
    pool = send("GET", f"{path.removesuffix('/tasks')}?{VERSION}").body["poolInfo"]["poolId"]
    return pool != "nopool" and "sleep" not in body["commandLine"]


def _filled(send: Any, text: str) -> str:
    if "{node}" not in text:
        return text
    node: str = send("GET", f"/pools/linux/nodes?{VERSION}").body["value"][0]["id"]
    return text.replace("{node}", node)


def _refusal(body: Any) -> tuple[str, str, list[list[str]]]:
    sentence = body["message"]["value"].partition("\n")[0]
    return body["code"], sentence, [[item["key"], item["value"]] for item in body.get("values", [])]


def _properties(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield f"{place}/{name}"
            yield from _properties(item, f"{place}/{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _properties(item, f"{place}[]")
