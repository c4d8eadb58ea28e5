"""The network configuration that lets people log in to a pool's nodes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.ssh_access import (
    MAX_SOURCES,
    is_closed,
    nat_pool,
    open_to_world,
    source_problems,
)

NETWORKS = st.lists(
    st.ip_addresses(v=4).map(str) | st.sampled_from(["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32"]),
    min_size=1,
    max_size=MAX_SOURCES,
)
NODE_COUNTS = st.integers(0, 20_000)


@pytest.mark.parametrize(
    "sources",
    [
        pytest.param([], id="none, which keeps SSH closed"),
        pytest.param(["203.0.113.0/24"], id="a network"),
        pytest.param(("203.0.113.7", "2001:db8::/32"), id="an address and a network of version 6"),
        pytest.param(["0.0.0.0/0"], id="everybody"),
        pytest.param([f"10.{n}.0.0/16" for n in range(MAX_SOURCES)], id="as many as allowed"),
    ],
)
def test_networks_that_the_service_takes_have_no_problems(sources: Sequence[str]) -> None:
    assert source_problems(sources) == []


@pytest.mark.parametrize(
    ("sources", "complaint"),
    [
        pytest.param("203.0.113.0/24", "give a list of networks, such as ['203.0.113.0/24']", id="a text"),
        pytest.param(["example.org"], "holds 'example.org', which is no IP network", id="a host name"),
        pytest.param(
            ["203.0.113.7/24"], "holds '203.0.113.7/24', which is", id="an address inside a network"
        ),
        pytest.param([""], "holds '', which is no IP network", id="empty"),
        pytest.param([3405803776], "holds 3405803776, which is", id="a number"),
        pytest.param(["10.0.0.1"] * 25, "holds 25 networks; the service takes at most 24", id="too many"),
    ],
)
def test_networks_that_the_service_refuses_are_named(sources: Sequence[str], complaint: str) -> None:
    [problem] = source_problems(sources)

    assert complaint in problem


def test_every_wrong_network_is_named_at_once() -> None:
    problems = source_problems(["a", "10.0.0.0/8", "b"])

    assert [re.findall(r"holds ('\w')", problem) for problem in problems] == [["'a'"], ["'b'"]]


@given(NETWORKS, NODE_COUNTS)
def test_the_given_networks_are_allowed_before_all_others_are_refused(
    sources: list[str], node_count: int
) -> None:
    rules = nat_pool(sources, node_count)["networkSecurityGroupRules"]
    in_effect = sorted(rules, key=lambda rule: int(rule["priority"]))

    assert [(rule["access"], rule["sourceAddressPrefix"]) for rule in in_effect] == [
        *(("allow", source) for source in sources),
        ("deny", "*"),
    ]


@given(NETWORKS, NODE_COUNTS)
def test_the_rules_stay_within_the_services_limits(sources: list[str], node_count: int) -> None:
    rules = nat_pool(sources, node_count)["networkSecurityGroupRules"]
    priorities = [rule["priority"] for rule in rules]

    assert len(rules) <= 25
    assert len(set(priorities)) == len(priorities)
    assert all(150 <= priority <= 4096 for priority in priorities)


@given(NODE_COUNTS)
def test_the_ports_stay_within_the_services_limits(node_count: int) -> None:
    pool = nat_pool(["10.0.0.0/8"], node_count)
    first, last = pool["frontendPortRangeStart"], pool["frontendPortRangeEnd"]

    assert 1 <= first < last < 50_000
    assert last - first + 1 >= min(max(40, node_count), 10_000)


def test_ssh_is_the_port_that_is_mapped() -> None:
    pool = nat_pool(["10.0.0.0/8"], 2)

    assert (pool["protocol"], pool["backendPort"]) == ("tcp", 22)


def rule(source: str, priority: int = 150, access: str = "allow") -> dict[str, Any]:
    return {"sourceAddressPrefix": source, "priority": priority, "access": access}


def pool(*endpoints: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"networkConfiguration": {"endpointConfiguration": {"inboundNATPools": endpoints}}, **properties}


def ssh(*rules: dict[str, Any], port: int = 22, protocol: str = "tcp") -> dict[str, Any]:
    return {"name": "door", "backendPort": port, "protocol": protocol, "networkSecurityGroupRules": rules}


DENY_ALL = rule("*", 3500, "deny")
PRIVATE = {"provision": "NoPublicIPAddresses"}
BEFORE_DECEMBER = {"creationTime": "2025-06-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param(pool(ssh()), "has no rules", id="no rules"),
        pytest.param(pool({"name": "door", "backendPort": 22}), "has no rules", id="rules left out"),
        pytest.param(pool(ssh(rule("*"))), "allows '*'", id="wildcard"),
        pytest.param(pool(ssh(rule("Internet"), DENY_ALL)), "allows 'Internet'", id="service tag"),
        pytest.param(pool(ssh(rule("0.0.0.0/0"), DENY_ALL)), "allows '0.0.0.0/0'", id="version 4"),
        pytest.param(pool(ssh(rule("::/0"), DENY_ALL)), "allows '::/0'", id="version 6"),
        pytest.param(pool(ssh(rule("10.9.8.7/0"))), "allows '10.9.8.7/0'", id="with an address"),
        pytest.param(
            pool(ssh(rule("0.0.0.0/1", 150), rule("128.0.0.0/1", 151), DENY_ALL)),
            "'0.0.0.0/1', '128.0.0.0/1', which are all addresses together",
            id="two halves",
        ),
        pytest.param(
            pool(ssh(rule("10.0.0.0/8", 150, "deny"), rule("*", 160))), "allows '*'", id="all but one"
        ),
        pytest.param(pool(ssh(DENY_ALL), ssh(rule("*"))), "allows '*'", id="a second endpoint"),
        pytest.param(pool(**BEFORE_DECEMBER), "created at 2025-06-01", id="the former default"),
        pytest.param({**BEFORE_DECEMBER}, "created at 2025-06-01", id="no network"),
    ],
)
def test_a_pool_that_is_open_to_the_whole_internet_is_told(body: dict[str, Any], why: str) -> None:
    reason = open_to_world(body)

    assert reason is not None
    assert "open to the whole Internet" in reason
    assert why in reason


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="no network"),
        pytest.param({"networkConfiguration": None, "creationTime": "2025-12-01T00:00:00Z"}, id="new"),
        pytest.param(pool(ssh(rule("203.0.113.0/24"), DENY_ALL)), id="a network"),
        pytest.param(pool(ssh(rule("203.0.113.0/24"))), id="a network, and nothing else"),
        pytest.param(pool(ssh(rule("0.0.0.0/1"), rule("::/1"))), id="half of each"),
        pytest.param(pool(ssh(rule("*", 3500), rule("0.0.0.0/0", 150, "deny"))), id="denied before"),
        pytest.param(pool(ssh(port=8080)), id="another port"),
        pytest.param(pool(ssh(protocol="UDP")), id="UDP"),
        pytest.param(pool(ssh(DENY_ALL), **BEFORE_DECEMBER), id="closed before December"),
        pytest.param(
            {
                "networkConfiguration": {
                    "publicIPAddressConfiguration": {"provision": "NoPublicIPAddresses"}
                },
                **BEFORE_DECEMBER,
            },
            id="without public addresses",
        ),
    ],
)
def test_a_pool_that_is_not_open_to_all_is_not_warned_of(body: dict[str, Any]) -> None:
    assert open_to_world(body) is None


def test_an_empty_list_closes_ssh_by_a_rule_that_denies_all() -> None:
    closed = nat_pool([], 1)

    assert [
        (rule["access"], rule["sourceAddressPrefix"]) for rule in closed["networkSecurityGroupRules"]
    ] == [("deny", "*")]
    assert is_closed(closed)
    assert open_to_world(pool(closed)) is None


@pytest.mark.parametrize(
    ("endpoint", "closed"),
    [
        (ssh(), False),
        (ssh(rule("10.0.0.0/8"), DENY_ALL), False),
        (ssh(rule("10.0.0.0/8", 4000), DENY_ALL), True),
        (ssh(rule("10.0.0.0/8", 150, "deny")), True),
    ],
)
def test_an_endpoint_is_closed_if_no_rule_lets_a_network_in(endpoint: dict[str, Any], closed: bool) -> None:
    assert is_closed(endpoint) is closed
