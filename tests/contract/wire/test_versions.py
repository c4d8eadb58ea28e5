"""Older versions of the API, as older clients speak them: what came, what went and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

NEWEST = "2025-06-01"
JULY, FEBRUARY, OCTOBER, OLD = ("2024-07-01.20.0", "2024-02-01.19.0", "2022-10-01.16.0", "2020-09-01.12.0")
REFERENCE = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
MACHINE = {"imageReference": REFERENCE, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
SECURE = {**MACHINE, "securityProfile": {"encryptionAtHost": True}}


@pytest.mark.parametrize(
    ("more", "knowing", "not_knowing"),
    [
        pytest.param({"resourceTags": {"a": "b"}}, [JULY, FEBRUARY], [NEWEST, OCTOBER, OLD], id="tags"),
        pytest.param(
            {"targetNodeCommunicationMode": "classic"},
            [JULY, FEBRUARY, OCTOBER],
            [NEWEST],
            id="communication mode",
        ),
        pytest.param({"certificateReferences": []}, [JULY, FEBRUARY, OLD], [NEWEST], id="certificates"),
        pytest.param(
            {"upgradePolicy": {"mode": "manual"}},
            [NEWEST, JULY, FEBRUARY],
            [OCTOBER, OLD],
            id="upgrade policy",
        ),
        pytest.param(
            {"virtualMachineConfiguration": SECURE},
            [NEWEST, JULY, FEBRUARY],
            [OCTOBER, OLD],
            id="security profile",
        ),
        pytest.param(
            {"taskSchedulingPolicy": {"nodeFillType": "pack", "jobDefaultOrder": "none"}},
            [NEWEST],
            [JULY, FEBRUARY],
            id="order of jobs",
        ),
    ],
)
def test_a_property_is_known_to_the_versions_that_have_it(
    send: Any, more: dict[str, Any], knowing: list[str], not_knowing: list[str]
) -> None:
    for number, version in enumerate(knowing):
        assert _create(send, version, f"pool-{number}", **more).status == 201, version
        name = next(iter(more))
        assert send("GET", f"/pools/pool-{number}?api-version={version}").body[name] is not None
        for other in not_knowing:
            assert _named(send, f"pool-{number}", other) & _deepest(more) == set(), (version, other)
    for version in not_knowing:
        refusal = _create(send, version, "refused", **more)
        assert (refusal.status, refusal.body["code"]) == (400, "InvalidRequestBody"), version


@pytest.mark.parametrize(("version", "is_shown"), [(OCTOBER, True), (JULY, True), (NEWEST, False)])
def test_pools_have_certificates_as_long_as_the_version_has(send: Any, version: str, is_shown: bool) -> None:
    _create(send, NEWEST)
    pool = send("GET", f"/pools/linux?api-version={version}").body
    listed = send("GET", f"/pools?api-version={version}").body["value"][0]

    assert (pool.get("certificateReferences") == []) == is_shown
    assert ("certificateReferences" in listed) == is_shown


def test_names_that_a_version_has_can_be_selected(send: Any) -> None:
    _create(send, FEBRUARY, resourceTags={"a": "b"})

    chosen = send("GET", f"/pools/linux?api-version={FEBRUARY}&$select=id,resourceTags").body
    refused = send("GET", f"/pools/linux?api-version={NEWEST}&$select=id,resourceTags")

    assert chosen["resourceTags"] == {"a": "b"}
    assert refused.status == 400


@pytest.mark.parametrize(("version", "is_counted"), [(FEBRUARY, False), (JULY, True), (NEWEST, True)])
def test_deallocated_nodes_are_counted_since_they_can_be(send: Any, version: str, is_counted: bool) -> None:
    _create(send, NEWEST)
    counts = send("GET", f"/nodecounts?api-version={version}").body["value"][0]

    for kind in ("dedicated", "lowPriority"):
        assert ("deallocated" in counts[kind]) == ("deallocating" in counts[kind]) == is_counted


def test_jobs_of_old_clients_do_not_show_what_came_later(send: Any) -> None:
    body = json.dumps({"id": "job", "poolInfo": {"poolId": "linux"}}).encode()
    assert send("POST", f"/jobs?api-version={OLD}", body).status == 201

    old, new = (send("GET", f"/jobs/job?api-version={version}").body for version in (OLD, NEWEST))

    assert new.keys() - old.keys() == {"allowTaskPreemption", "maxParallelTasks"}


def test_what_older_clients_send_inside_is_kept_and_shown_to_them_alone(send: Any) -> None:
    manager = {
        "id": "manager",
        "commandLine": "/bin/true",
        "authenticationTokenSettings": {"access": ["job"]},
    }
    body = json.dumps({"id": "job", "poolInfo": {"poolId": "linux"}, "jobManagerTask": manager}).encode()
    assert send("POST", f"/jobs?api-version={JULY}", body).status == 201

    shown = {version: send("GET", f"/jobs/job?api-version={version}").body for version in (JULY, NEWEST)}

    assert shown[JULY]["jobManagerTask"]["authenticationTokenSettings"] == {"access": ["job"]}
    assert "authenticationTokenSettings" not in shown[NEWEST]["jobManagerTask"]


@pytest.mark.parametrize(
    ("version", "target", "status", "code"),
    [
        pytest.param(OCTOBER, "/lifetimepoolstats", 200, None, id="pool statistics"),
        pytest.param(OCTOBER, "/lifetimejobstats", 200, None, id="job statistics"),
        pytest.param(FEBRUARY, "/lifetimejobstats", 404, "ResourceNotFound", id="later"),
        pytest.param("2018-12-01.8.0", "/nodeagentskus", 200, None, id="node agents"),
        pytest.param(JULY, "/nodeagentskus", 404, "ResourceNotFound", id="node agents later"),
        pytest.param(JULY, "/certificates", 200, None, id="certificates"),
        pytest.param(NEWEST, "/certificates", 404, "ResourceNotFound", id="certificates later"),
        pytest.param(
            JULY,
            "/certificates(thumbprintAlgorithm=sha1,thumbprint=ab12)",
            404,
            "CertificateNotFound",
            id="a certificate",
        ),
    ],
)
def test_older_operations_are_answered_to_those_who_know_them(
    send: Any, version: str, target: str, status: int, code: str | None
) -> None:
    answer = send("GET", f"{target}?api-version={version}")

    assert (answer.status, answer.body.get("code")) == (status, code)


@pytest.mark.parametrize(
    ("version", "action", "status", "code"),
    [
        pytest.param(FEBRUARY, "reimage", 409, "OperationNotValidOnNode", id="reimage before"),
        pytest.param(JULY, "reimage", 202, None, id="reimage since"),
        pytest.param(FEBRUARY, "deallocate", 404, "ResourceNotFound", id="deallocate before"),
        pytest.param(JULY, "deallocate", 202, None, id="deallocate since"),
    ],
)
def test_nodes_can_be_acted_on_as_the_version_allows(
    send: Any, make_pool: Any, version: str, action: str, status: int, code: str | None
) -> None:
    make_pool()
    node_id = send("GET", f"/pools/linux/nodes?api-version={NEWEST}").body["value"][0]["id"]
    answer = send("POST", f"/pools/linux/nodes/{node_id}/{action}?api-version={version}")

    assert (answer.status, answer.body["code"] if answer.content else None) == (status, code)


@pytest.mark.parametrize("version", ["2021-01-01", "2025-06-01.21.0", "2026-08-01", "new", "2024-02-01"])
def test_a_version_that_there_is_not_is_refused(send: Any, version: str) -> None:
    answer = send("GET", f"/pools?api-version={version}")

    assert (answer.status, answer.body["code"]) == (400, "InvalidQueryParameterValue")
    assert answer.body["values"][0] == {"key": "QueryParameterName", "value": "api-version"}


@pytest.mark.parametrize("name", ["timeout", "timeOut", "TIMEOUT"])
def test_the_time_out_is_spelled_as_the_version_has_it(send: Any, name: str) -> None:
    assert send("GET", f"/pools?API-Version={OCTOBER}&{name}=20").status == 200
    refusal = send("GET", f"/pools?api-version={OCTOBER}&{name}=soon").body
    assert refusal["values"][0] == {"key": "QueryParameterName", "value": "timeout"}


def _create(send: Any, version: str, pool_id: str = "linux", **more: Any) -> Any:
    pool = {"id": pool_id, "vmSize": "standard_d2s_v5", "virtualMachineConfiguration": MACHINE, **more}
    return send("POST", f"/pools?api-version={version}", json.dumps(pool).encode())


def _named(send: Any, pool_id: str, version: str) -> set[str]:
    return _names(send("GET", f"/pools/{pool_id}?api-version={version}").body)


def _names(value: Any) -> set[str]:
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(_names(item) for item in value.values()))


def _deepest(more: dict[str, Any]) -> set[str]:
    """The names that a version may lack: of what is new in a pool that every version has, the new part."""
    known = {*MACHINE, *REFERENCE, "virtualMachineConfiguration", "taskSchedulingPolicy", "nodeFillType"}
    return _names(more) - known - {"mode", "a"}
