"""Tokens: those of the SDK hold, and nothing else does."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator.blobs.errors import BlobError
from airflow_provider_batchlinux.emulator.blobs.sas import (
    BLOB_PERMISSIONS,
    Circumstances,
    Target,
    check_service_sas,
    make_sas,
    string_to_sign,
)
from airflow_provider_batchlinux.emulator.protocol.auth import sign

KEY = base64.b64encode(b"0123456789abcdef" * 4).decode()
NOW = datetime(2029, 1, 1, tzinfo=timezone.utc)
CONTAINER = Target("batchlinuxstorage", "data")
BLOB = Target("batchlinuxstorage", "data", "a b/ü.txt")
# Made by azure-storage-blob 12.31.1 for that key.
OF_CONTAINER = (
    "se=2030-01-02T03%3A04%3A05Z&sp=rl&sv=2026-10-06&sr=c&sig=2LvmhaDdhQTEy5ossJGXbwsLFJaKTdeqbQTd79jr9nY%3D"
)
OF_BLOB = (
    "st=2026-01-01T00%3A00%3A00Z&se=2030-01-02T03%3A04%3A05Z&sp=rw&sip=127.0.0.1-127.0.0.9&spr="
    "https%2Chttp&sv=2026-10-06&sr=b&rscc=no-cache&rsct=text/plain&ses=scope&sig=ykepYm15VSZNIg"
    "PrFvM57m94iwOSqI14F23vZy3DPfg%3D"
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


def check(token: dict[str, str], target: Target, now: datetime = NOW, key: str = KEY) -> str:
    return check_service_sas(token, target, key, Circumstances(now, "127.0.0.1"))


def code_of(token: dict[str, str], target: Target = CONTAINER, now: datetime = NOW) -> str:
    with pytest.raises(BlobError) as refusal:
        check(token, target, now)
    assert refusal.value.status == 403
    right = sign(KEY, string_to_sign(token, target)) if "sv" in token else KEY
    assert not any(right in text for text in refusal.value.details.values())
    return refusal.value.code.code


@pytest.mark.parametrize(
    ("text", "target", "permissions"),
    [
        pytest.param(OF_CONTAINER, CONTAINER, "rl", id="container"),
        pytest.param(OF_CONTAINER, BLOB, "rl", id="blob in the container"),
        pytest.param(OF_BLOB, BLOB, "rw", id="blob"),
    ],
)
def test_a_token_of_the_sdk_holds(text: str, target: Target, permissions: str) -> None:
    assert check(dict(parse_qsl(text)), target) == permissions


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(Target("batchlinuxstorage", "data", "other"), id="other blob"),
        pytest.param(Target("batchlinuxstorage", "other", "a b/ü.txt"), id="other container"),
        pytest.param(CONTAINER, id="its container"),
    ],
)
def test_a_token_of_a_blob_is_good_for_no_other(target: Target) -> None:
    assert code_of(dict(parse_qsl(OF_BLOB)), target) == "AuthenticationFailed"


@given(
    st.lists(st.sampled_from(BLOB_PERMISSIONS), min_size=1).map("".join),
    st.from_regex(r"[a-z0-9]{3,8}", fullmatch=True),
    st.none() | TEXT.filter(bool),
    st.integers(1, 10**9),
)
def test_a_token_holds_until_it_expires(permissions: str, name: str, blob: str | None, life: int) -> None:
    target = Target("account", name, blob)
    token = dict(parse_qsl(make_sas(target, KEY, permissions, NOW + timedelta(seconds=life))))

    assert set(check(token, target)) == set(permissions)
    assert check(token, target, NOW + timedelta(seconds=life - 1))
    assert code_of(token, target, NOW + timedelta(seconds=life)) == "AuthenticationFailed"


@given(st.sampled_from(["sv", "sr", "sp", "se", "sig", "st", "sip", "spr", "rsct", "ses"]), TEXT)
def test_a_token_that_was_changed_does_not_hold(name: str, value: str) -> None:
    token = dict(parse_qsl(OF_CONTAINER))
    changed = {**token, name: value}
    if changed != token and not (value == "" and name not in token):
        assert code_of(changed) == "AuthenticationFailed"


def test_a_token_of_another_key_does_not_hold() -> None:
    other = base64.b64encode(b"another key").decode()

    with pytest.raises(BlobError, match="AuthenticationFailed"):
        check(dict(parse_qsl(OF_CONTAINER)), CONTAINER, key=other)


@pytest.mark.parametrize("name", ["sv", "sr", "sp", "se", "sig"])
def test_a_token_that_lacks_a_part_does_not_hold(name: str) -> None:
    token = dict(parse_qsl(OF_CONTAINER))
    del token[name]

    assert code_of(token) == "AuthenticationFailed"


@pytest.mark.parametrize(
    ("part", "code"),
    [
        pytest.param({"spr": "https"}, "AuthorizationProtocolMismatch", id="https only"),
        pytest.param({"sip": "10.0.0.4"}, "AuthorizationSourceIPMismatch", id="other address"),
        pytest.param({"sip": "x"}, "AuthorizationSourceIPMismatch", id="no address"),
        pytest.param({"st": "2029-06-01"}, "AuthenticationFailed", id="not yet"),
        pytest.param({"se": "yesterday"}, "AuthenticationFailed", id="no time"),
        pytest.param({"si": "policy"}, "AuthenticationFailed", id="access policy"),
        pytest.param({"sr": "d"}, "AuthenticationFailed", id="directory"),
        pytest.param({"sv": "2012-02-12"}, "AuthenticationFailed", id="old version"),
        pytest.param({"sp": "rq"}, "AuthenticationFailed", id="no permission"),
    ],
)
def test_a_well_signed_token_may_still_be_refused(part: dict[str, str], code: str) -> None:
    token = {**dict(parse_qsl(OF_CONTAINER)), **part}
    signed = {**token, "sig": sign(KEY, string_to_sign(token, CONTAINER))}

    assert code_of(signed) == code


@pytest.mark.parametrize("version", ["2015-04-05", "2018-11-09", "2020-12-06"])
def test_each_version_signs_what_it_did(version: str) -> None:
    lines = string_to_sign({"sv": version, "sr": "c", "sp": "r", "se": "x"}, CONTAINER).split("\n")

    assert lines[:4] == ["r", "", "x", "/blob/batchlinuxstorage/data"]
    assert len(lines) == {"2015-04-05": 13, "2018-11-09": 15, "2020-12-06": 16}[version]


@pytest.mark.parametrize("permissions", ["", "x", "rx"])
def test_permissions_that_are_none_are_refused(permissions: str) -> None:
    with pytest.raises(ValueError, match="racwdl"):
        make_sas(CONTAINER, KEY, permissions, NOW)
