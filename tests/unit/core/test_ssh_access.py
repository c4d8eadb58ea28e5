"""The network configuration that lets people log in to a pool's nodes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.ssh_access import MAX_SOURCES, nat_pool, source_problems

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
