"""A user on Linux nodes: rules, bodies for the service, and results."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.snapshots import Endpoint, NodeSnapshot
from airflow_provider_batchlinux.core.users.user import (
    NodeUser,
    UserOutcome,
    UserRecord,
    records_table,
    username_problems,
    username_warnings,
)

EXPIRY = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMP5bmgyTRRj2FtzN2L2dQ3n4tLIEuJyu1ypPnXjjXOe etl"
PRIVATE_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0LWtleQ==\n-----END OPENSSH PRIVATE KEY-----"
USER = NodeUser("etl", EXPIRY, ssh_public_key=KEY)
NODE = NodeSnapshot.from_rest({"id": "tvm-1", "state": "idle"})
SSH = Endpoint("52.0.0.1", 40_001, public=True)


@pytest.mark.parametrize(
    "username",
    [
        pytest.param("etl", id="letters"),
        pytest.param("_etl-2", id="underscore, hyphen and digit"),
        pytest.param("a" * 32, id="as long as allowed"),
    ],
)
def test_a_linux_user_name_has_no_problems(username: str) -> None:
    assert username_problems(username) == []
    assert username_warnings(username) == []


@pytest.mark.parametrize("username", ["JSSDKTestUser", "nora.lind", "Etl"])
def test_a_name_that_the_service_accepts_is_only_warned_of(username: str) -> None:
    assert username_problems(username) == []
    [warning] = username_warnings(username)
    assert f"username={username!r}" in warning


@pytest.mark.parametrize(
    ("username", "complaint"),
    [
        pytest.param("", "is not a Linux user name", id="empty"),
        pytest.param(None, "username=None is not a Linux user name", id="none"),
        pytest.param("etl/x", "is not a Linux user name", id="a slash"),
        pytest.param("Étl", "is not a Linux user name", id="an accent"),
        pytest.param("2etl", "is not a Linux user name", id="a digit first"),
        pytest.param("-etl", "is not a Linux user name", id="a hyphen first"),
        pytest.param("e tl", "is not a Linux user name", id="a blank"),
        pytest.param("etl\n", "is not a Linux user name", id="a line break at the end"),
        pytest.param("a" * 33, "is not a Linux user name", id="too long"),
        pytest.param("root", "belongs to the system or to Batch", id="root"),
        pytest.param("_azbatch", "belongs to the system or to Batch", id="the service's own"),
    ],
)
def test_a_name_that_linux_would_refuse_is_refused(username: object, complaint: str) -> None:
    [problem] = username_problems(username)

    assert complaint in problem
    assert f"username={username!r}" in problem


@given(st.text())
def test_a_name_without_problems_is_safe_in_a_shell(username: str) -> None:
    assert username_problems(username) != [] or re.fullmatch(r"[A-Za-z0-9_.-]+", username)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="a key"),
        pytest.param({"ssh_public_key": None, "password": "s3cret"}, id="a password"),
        pytest.param({"password": "s3cret"}, id="both"),
    ],
)
def test_a_user_who_could_log_in_has_no_problems(changes: dict[str, Any]) -> None:
    assert replace(USER, **changes).problems() == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"ssh_public_key": None}, "Neither ssh_public_key nor password", id="no way to log in"),
        pytest.param({"ssh_public_key": "", "password": ""}, "so a login is impossible", id="empty ways"),
        pytest.param({"ssh_public_key": "ssh-ed25519"}, "is not one line such as", id="half a key"),
        pytest.param({"ssh_public_key": PRIVATE_KEY}, "holds a private key", id="a private key"),
        pytest.param({"username": "root"}, "username='root'", id="a name that is taken"),
    ],
)
def test_a_user_who_could_not_log_in_is_refused(changes: dict[str, Any], complaint: str) -> None:
    [problem] = replace(USER, **changes).problems()

    assert complaint in problem


def test_all_problems_of_a_user_are_named_at_once() -> None:
    assert len(NodeUser("2root", EXPIRY).problems()) == 2


@pytest.mark.parametrize(
    "user",
    [
        pytest.param(NodeUser("etl", EXPIRY, password="c2VjcmV0LWtleQ=="), id="a password"),
        pytest.param(NodeUser("etl", EXPIRY, ssh_public_key=PRIVATE_KEY), id="a private key by mistake"),
        pytest.param(NodeUser("Root", EXPIRY, "c2VjcmV0LWtleQ==", PRIVATE_KEY), id="both, and a wrong name"),
    ],
)
def test_no_secret_is_shown(user: NodeUser) -> None:
    assert "c2VjcmV0LWtleQ" not in f"{user} {user!r} {user.problems()}"


def test_the_body_that_adds_a_user_holds_all_of_it() -> None:
    user = NodeUser("etl", EXPIRY, password="s3cret", ssh_public_key=f" {KEY}\n", is_admin=True)

    assert user.to_create_rest() == {
        "name": "etl",
        "isAdmin": True,
        "expiryTime": "2026-03-01T12:00:00.000000Z",
        "password": "s3cret",
        "sshPublicKey": KEY,
    }


def test_the_body_that_replaces_a_user_leaves_out_what_is_fixed_or_not_given() -> None:
    assert USER.to_replace_rest() == {"expiryTime": "2026-03-01T12:00:00.000000Z", "sshPublicKey": KEY}


def test_a_record_says_how_to_log_in() -> None:
    record = UserRecord.of(NODE, "etl", UserOutcome.ADDED, endpoint=SSH)

    assert record.ssh_command == "ssh -p 40001 etl@52.0.0.1"
    assert json.loads(json.dumps(record.to_result())) == {
        "node_id": "tvm-1",
        "state": "idle",
        "outcome": "added",
        "username": "etl",
        "address": "52.0.0.1",
        "port": 40001,
        "public": True,
        "error": None,
        "code": None,
        "note": None,
        "ssh_command": "ssh -p 40001 etl@52.0.0.1",
    }


@pytest.mark.parametrize("outcome", UserOutcome)
def test_a_record_is_read_from_its_result(outcome: UserOutcome) -> None:
    record = UserRecord.of(NODE, "etl", outcome, error="Refused.", code="Odd", note="Once.", endpoint=SSH)

    assert UserRecord.from_result(record.to_result()) == record


def test_a_node_has_the_user_after_an_addition_or_an_update_only() -> None:
    outcomes = {outcome for outcome in UserOutcome if UserRecord.of(NODE, "etl", outcome).has_user}

    assert outcomes == {UserOutcome.ADDED, UserOutcome.UPDATED}


def test_a_node_without_an_address_has_no_command_to_log_in() -> None:
    record = UserRecord.of(NODE, "etl", UserOutcome.REMOVED)

    assert (record.address, record.port, record.public, record.ssh_command) == (None, None, False, None)


def test_the_table_of_records_has_one_line_a_node() -> None:
    records = [
        UserRecord.of(NODE, "etl", UserOutcome.REMOVED),
        UserRecord.of(NODE, "etl", UserOutcome.UPDATED, endpoint=SSH),
        UserRecord.of(NODE, "etl", UserOutcome.ADDED),
        UserRecord.of(NODE, "etl", UserOutcome.FAILED, endpoint=SSH, error="NodeNotReady"),
    ]

    assert records_table(records).splitlines() == [
        "node   state  user     log in with",
        "tvm-1  idle   removed  -",
        "tvm-1  idle   updated  ssh -p 40001 etl@52.0.0.1",
        "tvm-1  idle   added    no address",
        "tvm-1  idle   failed   NodeNotReady",
    ]
