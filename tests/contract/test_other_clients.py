"""
Requests as clients send them that others wrote; ``docs/emulator-clients.md`` lists those that were tried.

Each differs from what azure-batch 15 sends: in what it signs, its spelling, its headers or its version.
"""

from __future__ import annotations

import json
from email.utils import formatdate
from typing import Any

import pytest

from airflow_provider_batchlinux.emulator import RunningEmulator
from airflow_provider_batchlinux.emulator.protocol.auth import sign, string_to_sign

REFERENCE = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
MACHINE = {"imageReference": REFERENCE, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
JAVASCRIPT, MSREST, CLI = "2022-10-01.16.0", "2024-02-01.19.0", "2024-07-01.20.0"


def test_the_javascript_client_deletes_without_a_length(send: Any, batch_emulator: RunningEmulator) -> None:
    _create(send, JAVASCRIPT)
    target = f"/pools/linux?api-version={JAVASCRIPT}"
    headers = {"ocp-date": formatdate(usegmt=True), "accept-language": "en-US"}
    text = string_to_sign(batch_emulator.account, "DELETE", target, headers, empty_length="")
    headers["authorization"] = f"SharedKey {batch_emulator.account}:{sign(batch_emulator.key, text)}"

    assert send("DELETE", target, headers=headers).status == 202


def test_the_javascript_client_follows_a_page_in_its_own_version(send: Any) -> None:
    for pool_id in ("one", "two"):
        _create(send, JAVASCRIPT, pool_id)
    page = send("GET", f"/pools?api-version={JAVASCRIPT}&maxresults=1").body

    assert f"api-version={JAVASCRIPT}" in page["odata.nextLink"]
    assert "certificateReferences" in page["value"][0]


def test_the_msrest_client_sends_what_has_gone_since(send: Any) -> None:
    more = {"targetNodeCommunicationMode": "simplified", "resourceTags": {"a": "b"}}
    headers = {"content-type": "application/json; charset=utf-8", "return-client-request-id": "false"}
    body = json.dumps(_pool("linux", **more)).encode()
    created = send("POST", f"/pools?timeout=30&api-version={MSREST}", body, headers)
    replaced = send(
        "POST",
        f"/pools/linux/updateproperties?api-version={MSREST}",
        b'{"certificateReferences":[],"applicationPackageReferences":[],"metadata":[],'
        b'"targetNodeCommunicationMode":"classic"}',
        headers,
    )

    assert (created.status, replaced.status) == (201, 204)
    pool = send("GET", f"/pools/linux?api-version={MSREST}").body
    assert (pool["resourceTags"], pool["certificateReferences"]) == ({"a": "b"}, [])


def test_the_command_line_sends_numbers_as_strings(send: Any, make_pool: Any) -> None:
    make_pool(dedicated=0)
    body = b'{"targetDedicatedNodes": "1", "targetLowPriorityNodes": "0"}'
    headers = {"content-type": "application/json; odata=minimalmetadata", "connection": "keep-alive"}

    assert send("POST", f"/pools/linux/resize?api-version={CLI}", body, headers).status == 202
    assert send("GET", f"/pools/linux?api-version={CLI}").body["targetDedicatedNodes"] == 1


@pytest.mark.parametrize("header", ["Client-Request-Id", "client-request-id", "CLIENT-REQUEST-ID"])
def test_headers_are_known_in_whatever_letters(send: Any, header: str) -> None:
    asked = {header: "abc", "Return-Client-Request-Id": "True", "OCP-Date": formatdate(usegmt=True)}

    assert send("GET", f"/jobs?api-version={CLI}", headers=asked).headers["client-request-id"] == "abc"


def _create(send: Any, version: str, pool_id: str = "linux") -> None:
    body = json.dumps(_pool(pool_id)).encode()
    assert send("POST", f"/pools?api-version={version}", body).status == 201


def _pool(pool_id: str, **more: Any) -> dict[str, Any]:
    return {"id": pool_id, "vmSize": "STANDARD_D2S_V5", "virtualMachineConfiguration": MACHINE, **more}
