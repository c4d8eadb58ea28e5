"""The control plane: faults, request log, reset, quotas and the clock."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from http.client import RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from airflow_provider_batchlinux.emulator.protocol.instants import parse_instant


def test_requests_are_recorded_in_order_without_those_of_control(account: Any) -> None:
    account.create_pool(nodes=0)
    account.send("GET", "/pools/missing")
    account.send("GET", "/nowhere")

    recorded = account.emulator.control.requests()

    assert [(r["method"], r["operation"], r["status"]) for r in recorded] == [
        ("POST", "create_pool", 201),
        ("GET", "get_pool", 404),
        ("GET", None, 404),
    ]
    assert recorded[1]["path"] == "/pools/missing"
    assert recorded[1]["query"] == "api-version=2025-06-01"


def test_recorded_requests_can_be_forgotten(account: Any) -> None:
    account.send("GET", "/pools")

    account.emulator.control.clear_requests()

    assert account.emulator.control.requests() == []


def test_an_injected_fault_strikes_as_often_as_it_is_to(account: Any) -> None:
    account.emulator.control.inject("GET", "^/pools", 2, status=429, code="TooManyRequests")

    codes = [account.send("GET", "/pools").get("code") for _ in range(3)]

    assert codes == ["TooManyRequests", "TooManyRequests", None]


def test_an_injected_fault_strikes_only_what_it_matches(account: Any) -> None:
    account.emulator.control.inject("GET", "^/pools/[^/]+$", code="ServerBusy")

    assert "value" in account.send("GET", "/pools")
    assert account.send("GET", "/pools/linux")["code"] == "ServerBusy"


def test_a_request_that_is_not_authenticated_uses_up_no_fault(account: Any) -> None:
    account.emulator.control.inject(code="ServerBusy")

    with pytest.raises(HTTPError) as refused:
        urlopen(f"{account.emulator.endpoint}/pools?api-version=2025-06-01")

    with refused.value as answer:
        assert answer.status == 403
    assert account.emulator.control.requests()[0]["status"] == 403
    assert account.send("GET", "/pools")["code"] == "ServerBusy"


@pytest.mark.parametrize(
    ("status", "code"), [(429, "TooManyRequests"), (503, "ServerBusy"), (500, "InternalError")]
)
def test_a_status_has_its_usual_code(account: Any, status: int, code: str) -> None:
    account.emulator.control.inject(status=status)

    assert account.send("GET", "/pools")["code"] == code


def test_a_fault_without_an_end_stays_until_the_reset(account: Any) -> None:
    account.emulator.control.inject(times=None, status=500)

    assert {account.send("GET", "/pools")["code"] for _ in range(5)} == {"InternalError"}
    account.emulator.control.reset()
    assert account.send("GET", "/pools")["value"] == []


@pytest.mark.parametrize(("drop", "is_done"), [("before", False), ("after", True)])
def test_a_dropped_request_is_done_or_not(account: Any, drop: str, is_done: bool) -> None:
    account.emulator.control.inject("POST", drop=drop)

    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        account.create_pool()

    assert (account.send("GET", "/pools")["value"] != []) == is_done
    assert account.emulator.control.requests()[0]["status"] == 0


def test_a_delayed_request_is_answered_later(account: Any) -> None:
    account.emulator.control.inject(delay=0.05)

    before = time.monotonic()
    account.send("GET", "/pools")

    assert time.monotonic() - before >= 0.05


def test_an_answer_that_is_held_back_is_of_work_that_is_done(account: Any) -> None:
    account.emulator.control.inject("POST", "/pools$", hold=0.1)

    account.create_pool()
    answered = datetime.now(timezone.utc)

    created = parse_instant(account.send("GET", "/pools/linux")["creationTime"])
    assert answered - created >= timedelta(seconds=0.1)


def test_a_reset_leaves_nothing(start: Any, tmp_path: Path) -> None:
    account = start(root=tmp_path)
    account.create_pool(startTask={"commandLine": "/bin/sleep 1000"})
    account.wait_for_nodes("linux", "waitingforstarttask")

    assert list(tmp_path.glob("*/*/linux")) != []
    account.emulator.control.reset()

    assert account.send("GET", "/pools")["value"] == []
    assert list(tmp_path.glob("*/*")) == []
    assert [r["operation"] for r in account.emulator.control.requests()] == ["list_pools"]


def test_nothing_of_the_time_before_a_reset_happens_after_it(start: Any, tmp_path: Path) -> None:
    account = start(profile="realistic", clock="manual", root=tmp_path)
    account.create_pool(startTask={"commandLine": "true"})

    account.emulator.control.reset()
    account.emulator.control.advance(100)

    assert account.send("GET", "/nodecounts")["value"] == []
    assert list(tmp_path.glob("*/*")) == []


def test_a_program_that_left_its_group_ends_with_the_account(account: Any, wait_until_gone: Any) -> None:
    account.create_pool(startTask={"commandLine": "/bin/sh -c 'setsid sleep 1000 & echo $! > pid'"})
    (node,) = account.wait_for_nodes("linux", "idle")
    number = int(account.send("GET", f"/pools/linux/nodes/{node['id']}/files/startup%2Fwd%2Fpid"))

    account.emulator.control.reset()

    wait_until_gone(number)


def test_the_manual_clock_moves_by_what_it_is_told(start: Any) -> None:
    control = start(clock="manual").emulator.control
    before = control.now()

    assert control.advance(90) == before + timedelta(seconds=90)
    assert control.now() == before + timedelta(seconds=90)


def test_the_system_clock_cannot_be_moved(account: Any) -> None:
    with pytest.raises(ValueError, match="Only the manual clock"):
        account.emulator.control.advance(1)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        pytest.param(lambda c: c.inject(path="("), "unterminated", id="pattern"),
        pytest.param(lambda c: c.set_node("p", "n", "idle"), "PoolNotFound", id="node"),
        pytest.param(lambda c: c._post("set-quota", {"x": 1}), "no argument 'x'", id="quota"),
        pytest.param(lambda c: c._post("nothing"), "no POST /_emulator/nothing", id="action"),
        pytest.param(lambda c: c._post("advance", {}), "seconds is missing", id="argument"),
    ],
)
def test_a_wrong_request_gets_a_sentence(account: Any, call: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call(account.emulator.control)


def test_a_node_cannot_be_forced_into_a_state_that_is_none(account: Any) -> None:
    (node,) = account.open_pool()

    with pytest.raises(ValueError, match="state is 'sleeping': it must be the state of a node"):
        account.emulator.control.set_node("linux", node["id"], "sleeping")
