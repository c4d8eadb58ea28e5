"""Shared-key signatures, against those that the SDK makes."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from azure.batch._patch import BatchSharedKeyAuthPolicy
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.rest import HttpRequest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator.protocol.auth import check_shared_key, sign, string_to_sign
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
KEY = base64.b64encode(b"a made-up key").decode()
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=20)


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
    segments=st.lists(TEXT, min_size=1, max_size=4),
    query=st.dictionaries(TEXT, TEXT, max_size=4),
    extra=st.dictionaries(
        st.sampled_from(["If-Match", "If-Modified-Since", "ocp-range", "client-request-id"]),
        st.text("abc/=-12", min_size=1),
    ),
    has_body=st.booleans(),
)
def test_what_the_sdk_signs_is_let_in_and_nothing_else(
    method: str, segments: list[str], query: dict[str, str], extra: dict[str, str], has_body: bool
) -> None:
    path = "/" + "/".join(quote(segment, safe="") for segment in segments)
    parameters = "&".join(f"{quote(name)}={quote(value)}" for name, value in query.items())
    target = f"{path}?{parameters}" if parameters else path
    headers = {"ocp-date": format_datetime(NOW, usegmt=True), **extra}
    if has_body and method not in ("GET", "HEAD"):
        headers |= {"Content-Length": "12", "Content-Type": "application/json"}

    sent = _sign(method, target, headers)

    check_shared_key("laptop", KEY, method, target, sent, NOW)
    for other_target, other_method in ((f"{path}x", method), (target, "TRACE")):
        with pytest.raises(ServiceError):
            check_shared_key("laptop", KEY, other_method, other_target, sent, NOW)


@pytest.mark.parametrize("name", ["ocp-range", "if-match", "content-type", "content-length"])
def test_a_header_that_was_not_signed_is_refused(name: str) -> None:
    sent = _sign("POST", "/pools", {"ocp-date": format_datetime(NOW, usegmt=True)})

    with pytest.raises(ServiceError):
        check_shared_key("laptop", KEY, "POST", "/pools", {**sent, name: "7"}, NOW)


@pytest.mark.parametrize("length", ["0", ""])
def test_a_write_without_a_body_may_be_signed_with_and_without_its_length(length: str) -> None:
    sent = {"ocp-date": format_datetime(NOW, usegmt=True)}
    text = string_to_sign("laptop", "DELETE", "/pools/etl", sent, empty_length=length)
    sent["authorization"] = f"SharedKey laptop:{sign(KEY, text)}"

    check_shared_key("laptop", KEY, "DELETE", "/pools/etl", sent, NOW)
    with pytest.raises(ServiceError):
        check_shared_key("laptop", KEY, "DELETE", "/pools/etl", {**sent, "content-length": "7"}, NOW)


@pytest.mark.parametrize("minutes", [-15.1, 15.1])
def test_a_request_from_another_time_is_refused(minutes: float) -> None:
    sent = _sign("GET", "/pools", {"ocp-date": format_datetime(NOW, usegmt=True)})

    check_shared_key("laptop", KEY, "GET", "/pools", sent, NOW + timedelta(minutes=14.9))
    with pytest.raises(ServiceError, match="15 minutes"):
        check_shared_key("laptop", KEY, "GET", "/pools", sent, NOW + timedelta(minutes=minutes))


def _sign(method: str, target: str, headers: dict[str, str]) -> dict[str, str]:
    request = HttpRequest(method, f"http://127.0.0.1{target}", headers=headers)
    policy = BatchSharedKeyAuthPolicy(AzureNamedKeyCredential("laptop", KEY))
    policy.on_request(SimpleNamespace(http_request=request))  # type: ignore[arg-type]
    return {name.lower(): value for name, value in request.headers.items()}
