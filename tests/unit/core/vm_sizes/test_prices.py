"""The prices of a VM size, chosen among the items of Azure's price list."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.vm_sizes.prices import (
    price_filter,
    prices_in,
)

SIZE = "standard_d2s_v5"


def item(price: float = 0.1, sku: str = "D2s v5", **changes: Any) -> dict[str, Any]:
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": price,
        "armRegionName": "westeurope",
        "effectiveStartDate": "2024-01-01T00:00:00Z",
        "productName": "Virtual Machines Dsv5 Series",
        "skuName": sku,
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "armSkuName": "Standard_D2s_v5",
        **changes,
    }


def chosen(*items: dict[str, Any]) -> tuple[float | None, float | None]:
    found = prices_in(items, "westeurope", SIZE, "USD")
    return found.dedicated, found.spot


def test_a_size_has_a_price_for_dedicated_and_one_for_spot_nodes() -> None:
    assert chosen(item(0.1), item(0.02, "D2s v5 Spot")) == (0.1, 0.02)


def test_low_priority_is_the_price_of_spot_nodes_only_if_no_spot_price_exists() -> None:
    low = item(0.03, "D2s v5 Low Priority")

    assert chosen(low) == (None, 0.03)
    assert chosen(low, item(0.02, "D2s v5 Spot")) == (None, 0.02)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"productName": "Virtual Machines Dsv5 Series Windows"}, id="windows"),
        pytest.param({"productName": "Dsv5 Series CloudServices"}, id="cloud services"),
        pytest.param({"productName": "Dsv5 Series Dedicated Host"}, id="a whole host"),
        pytest.param({"type": "Reservation"}, id="a reservation"),
        pytest.param({"unitOfMeasure": "1 Month"}, id="another unit"),
        pytest.param({"armRegionName": "eastus"}, id="another region"),
        pytest.param({"armSkuName": "Standard_D4s_v5"}, id="another size"),
        pytest.param({"currencyCode": "EUR"}, id="another currency"),
        pytest.param({"tierMinimumUnits": 100.0}, id="a further tier"),
        pytest.param({"retailPrice": None}, id="no price"),
    ],
)
def test_what_is_no_hour_of_a_linux_machine_is_passed_over(other: dict[str, Any]) -> None:
    assert chosen(item(0.1), item(0.05, **{"effectiveStartDate": "2026-01-01", **other})) == (0.1, None)


def test_of_several_the_one_that_began_last_holds() -> None:
    assert chosen(item(0.1), item(0.2, effectiveStartDate="2025-01-01T00:00:00Z")) == (0.2, None)


@given(st.permutations([item(0.1), item(0.2), item(0.02, "D2s v5 Spot"), item(0.03, "D2s v5 Spot")]))
def test_the_order_of_the_list_does_not_matter(items: list[dict[str, Any]]) -> None:
    assert chosen(*items) == (0.1, 0.02)


def test_the_list_is_asked_for_one_size_in_one_region() -> None:
    assert "armRegionName eq 'westeurope' and armSkuName eq 'standard_d2s_v5'" in price_filter(
        "westeurope", SIZE
    )
