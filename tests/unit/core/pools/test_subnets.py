"""A subnet's id and its addresses."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.core.pools.preflight import Subnet, network_of, subnet_in

NETWORK = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v"
SUBNET = f"{NETWORK}/subnets/nodes"


@pytest.mark.parametrize(
    ("subnet_id", "expected"),
    [
        pytest.param(SUBNET, NETWORK, id="a subnet"),
        pytest.param(SUBNET.upper(), NETWORK.upper(), id="in capitals"),
        pytest.param(f"{SUBNET}/", NETWORK, id="with a slash"),
        pytest.param(NETWORK, None, id="a network"),
        pytest.param("nodes", None, id="a name"),
    ],
)
def test_the_id_of_a_subnet_names_its_network(subnet_id: str, expected: str | None) -> None:
    assert network_of(subnet_id) == expected


def test_a_subnet_is_found_without_regard_to_case() -> None:
    usages = [
        {"id": f"{NETWORK}/subnets/other", "limit": 11, "currentValue": 1},
        {"id": SUBNET.upper(), "limit": 251, "currentValue": 12},
    ]

    found = subnet_in(usages, f"{SUBNET}/")

    assert found is not None
    assert (found.limit, found.used, found.free) == (251, 12, 239)
    assert subnet_in(usages, f"{NETWORK}/subnets/none") is None


@pytest.mark.parametrize("odd", [{}, {"limit": None}, {"limit": -1}, {"limit": "many"}])
def test_one_without_a_limit_is_not_judged(odd: dict[str, Any]) -> None:
    assert subnet_in([{"id": SUBNET, "currentValue": 1, **odd}], SUBNET) is None


def test_one_that_is_overfull_has_nothing_left() -> None:
    assert Subnet(SUBNET, 3, 5).free == 0
