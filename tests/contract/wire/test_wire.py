"""The bytes on the wire: bodies, headers, errors, paging and authentication."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.contract.azure_account import ContractAccount

VERSION = "api-version=2025-06-01"


def test_a_create_is_answered_without_a_body_and_with_its_place(send: Any) -> None:
    answer = send("POST", f"/pools?{VERSION}", _pool())

    assert (answer.status, answer.content) == (201, b"")
    assert answer.headers["location"].endswith("/pools/linux")
    assert answer.headers["dataserviceid"] == answer.headers["location"]
    assert re.fullmatch(r"0x[0-9A-F]{15}", answer.headers["etag"])


def test_a_pool_is_shown_as_the_service_shows_it(send: Any, make_pool: Any) -> None:
    make_pool()
    answer = send("GET", f"/pools/linux?{VERSION}")

    assert answer.headers["content-type"] == "application/json;odata=minimalmetadata"
    assert answer.headers["dataserviceversion"] == "3.0"
    assert answer.headers["etag"] == answer.body["eTag"]
    assert answer.body["odata.metadata"].endswith("/$metadata#pools/@Element")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", answer.body["creationTime"])
    assert None not in answer.body.values()


def test_an_action_names_itself_in_dataserviceid(send: Any, make_pool: Any) -> None:
    make_pool()
    answer = send("POST", f"/pools/linux/resize?{VERSION}", b'{"targetDedicatedNodes": "0"}')

    assert answer.status == 202
    assert answer.headers["dataserviceid"].endswith("/pools/linux/resize")


def test_an_error_has_the_shape_of_the_service(send: Any) -> None:
    answer = send("GET", f"/pools/missing?{VERSION}")

    assert (answer.status, answer.body["code"]) == (404, "PoolNotFound")
    sentence, request_id, _ = answer.body["message"]["value"].split("\n")
    assert sentence == "The specified pool does not exist."
    assert request_id == f"RequestId:{answer.headers['request-id']}"
    assert answer.body["odata.metadata"].endswith("Container.errors/@Element")


@pytest.mark.parametrize(
    ("body", "code", "values"),
    [
        pytest.param(
            b'{"id": "a", "vmSize": "standard_d2s_v5", "colour": 1}',
            "InvalidRequestBody",
            {
                "Reason": "The property 'colour' does not exist on type "
                "'Microsoft.Azure.Batch.Protocol.Entities.PoolCreateOptions'. Make sure to only "
                "use property names that are defined by the type."
            },
            id="unknown property",
        ),
        pytest.param(
            b'{"id": "a"}',
            "MissingRequiredProperty",
            {"PropertyName": "vmSize"},
            id="missing property",
        ),
        pytest.param(
            b"{", "InvalidRequestBody", {"Reason": "The body is not a JSON document."}, id="no JSON"
        ),
        pytest.param(
            b"[" * 100_000,
            "InvalidRequestBody",
            {"Reason": "The body is not a JSON document."},
            id="deep JSON",
        ),
        pytest.param(
            b"[]",
            "InvalidRequestBody",
            {"Reason": "An object was expected for 'BatchPoolCreateOptions'."},
            id="no object",
        ),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    send: Any, body: bytes, code: str, values: dict[str, str]
) -> None:
    answer = send("POST", f"/pools?{VERSION}", body)

    assert (answer.status, answer.body["code"]) == (400, code)
    assert {item["key"]: item["value"] for item in answer.body["values"]} == values


def test_a_body_over_a_mebibyte_is_refused(send: Any) -> None:
    answer = send("POST", f"/pools?{VERSION}", b" " * (1024 * 1024 + 1))

    assert (answer.status, answer.body["code"]) == (413, "RequestBodyTooLarge")


@pytest.mark.parametrize(
    ("query", "name", "reason"),
    [
        pytest.param("maxresults=-5", "maxresults", "cannot be less than 1", id="maxresults -5"),
        pytest.param("maxresults=x", "maxresults", "not a number", id="maxresults x"),
        pytest.param("maxresults=1001", "maxresults", "greater than 1000", id="maxresults 1001"),
        pytest.param("$filter=colour eq 'x'", "$filter", "'colour'", id="unknown property"),
        pytest.param("$filter=state gt 'x'", "$filter", "'gt'", id="operator"),
        pytest.param("$filter=state eq", "$filter", "too early", id="short filter"),
        pytest.param("$select=colour", "$select", "'colour'", id="select"),
        pytest.param("$skiptoken=WATV2:!", "$skiptoken", "malformed", id="skip token"),
    ],
)
def test_a_query_that_cannot_be_read_is_refused(send: Any, query: str, name: str, reason: str) -> None:
    answer = send("GET", f"/pools?{VERSION}&{quote(query, safe='=$&')}")

    values = {item["key"]: item["value"] for item in answer.body["values"]}
    assert (answer.status, answer.body["code"]) == (400, "InvalidQueryParameterValue")
    assert values["QueryParameterName"] == name
    assert reason in values["Reason"]


def test_a_page_links_to_the_next_one(send: Any) -> None:
    for name in ("a", "b"):
        send("POST", f"/pools?{VERSION}", _pool(name))

    first = send("GET", f"/pools?{VERSION}&MaxResults=1&$select=id").body
    link = urlsplit(first["odata.nextLink"])
    second = send("GET", f"{link.path}?{link.query}").body

    assert (first["value"], second["value"]) == ([{"id": "a"}], [{"id": "b"}])
    assert "odata.nextLink" not in second


def test_the_id_of_the_client_comes_back_if_asked_for(send: Any) -> None:
    asked = {"client-request-id": "abc", "return-client-request-id": "true"}

    assert send("GET", f"/pools?{VERSION}", headers=asked).headers["client-request-id"] == "abc"
    asked["return-client-request-id"] = "false"
    assert "client-request-id" not in send("GET", f"/pools?{VERSION}", headers=asked).headers


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/pools", 400, "MissingRequiredQueryParameter"),
        ("GET", "/pools?api-version=new", 400, "InvalidQueryParameterValue"),
        ("GET", f"/nowhere?{VERSION}", 404, "ResourceNotFound"),
        ("GET", f"/pools/a/b/c/d?{VERSION}", 404, "ResourceNotFound"),
        ("PUT", f"/pools?{VERSION}", 405, "UnsupportedHttpVerb"),
        ("GET", f"/poolusagemetrics?{VERSION}", 400, "PoolUsageMetricAPIRetired"),
    ],
)
def test_a_request_for_what_there_is_not_is_refused(
    send: Any, method: str, target: str, status: int, code: str
) -> None:
    answer = send(method, target)

    assert (answer.status, answer.body["code"]) == (status, code)


def test_older_versions_of_the_api_know_older_properties(send: Any) -> None:
    old = _pool(targetNodeCommunicationMode="simplified")

    assert send("POST", "/pools?api-version=2024-07-01.20.0", old).status == 201
    refusal = send("POST", f"/pools?{VERSION}", _pool("b", targetNodeCommunicationMode="classic"))
    assert refusal.body["code"] == "InvalidRequestBody"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"key": base64.b64encode(b"wrong").decode()}, id="wrong key"),
        pytest.param({"headers": {"authorization": ""}}, id="no header"),
        pytest.param({"headers": {"authorization": "Bearer abc"}}, id="token"),
        pytest.param({"headers": {"authorization": "SharedKey other:abc"}}, id="wrong account"),
        pytest.param({"headers": {"ocp-date": "today"}}, id="no date"),
        pytest.param({"headers": {"ocp-date": ""}}, id="empty date"),
    ],
)
def test_a_request_that_is_not_signed_by_the_key_is_refused(
    send: Any, contract_account: ContractAccount, options: dict[str, Any]
) -> None:
    if contract_account.key is None and "ocp-date" in options.get("headers", {}):
        pytest.skip("Without a key nothing is signed, so no date is read.")
    answer = send("GET", f"/pools?{VERSION}", **options)

    # Without a signature it is for Entra to say no, which the embedded service has over TLS only.
    header = options.get("headers", {}).get("authorization")
    is_for_entra = header in ("", "Bearer abc") and contract_account.endpoint.startswith("https:")
    assert (answer.status, answer.body["code"]) == (401 if is_for_entra else 403, "AuthenticationFailed")
    assert [item["key"] for item in answer.body["values"]] == ["AuthenticationErrorDetail"]


@pytest.mark.parametrize(("minutes", "status"), [(-16, 403), (-14, 200), (14, 200), (16, 403)])
def test_a_request_is_valid_for_fifteen_minutes(send: Any, minutes: int, status: int) -> None:
    dated = datetime.now(timezone.utc) + timedelta(minutes=minutes)
    headers = {"ocp-date": format_datetime(dated, usegmt=True)}

    assert send("GET", f"/pools?{VERSION}", headers=headers).status == status


@pytest.mark.parametrize("quotes", ['"{}"', "{}"])
def test_a_condition_may_be_written_with_and_without_quotes(send: Any, make_pool: Any, quotes: str) -> None:
    make_pool()
    etag = send("GET", f"/pools/linux?{VERSION}").headers["etag"]

    unchanged = send("GET", f"/pools/linux?{VERSION}", headers={"if-none-match": quotes.format(etag)})
    deleted = send("DELETE", f"/pools/linux?{VERSION}", headers={"if-match": quotes.format(etag)})

    assert (unchanged.status, deleted.status) == (304, 202)


def _pool(pool_id: str = "linux", **more: Any) -> bytes:
    reference = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
    machine = {"imageReference": reference, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
    pool = {"id": pool_id, "vmSize": "standard_d2s_v5", "virtualMachineConfiguration": machine}
    return json.dumps({**pool, **more}).encode()
