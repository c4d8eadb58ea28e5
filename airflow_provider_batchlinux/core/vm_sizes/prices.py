"""The prices of nodes in Azure's public price list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_HOUR = "1 Hour"
_SPOT_ENDINGS = (" spot", " low priority")
"""In order of preference: Spot machines were called low-priority machines before."""

_OTHER_PRODUCTS = ("windows", "cloudservices", "cloud services", "dedicated host")


@dataclass(frozen=True)
class NodePrices:
    """
    The list price per hour of one Linux node: only the machine, without discounts.

    :param currency: such as ``USD``.
    :param dedicated: the price of a dedicated node; ``None`` if it is not in the list.
    :param spot: the current price of a Spot node; ``None`` if it is not in the list.
    """

    vm_size: str
    region: str
    currency: str
    dedicated: float | None
    spot: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the prices of one node as plain values."""
        return {"currency": self.currency, "dedicated_node": self.dedicated, "spot_node": self.spot}


def price_filter(region: str, vm_size: str) -> str:
    """
    Return the filter that requests a VM size from the price list.

    Without an ``api-version`` the list ignores the case of values, as Microsoft documents, and Batch writes
    VM sizes in lower case.
    """
    return (
        f"serviceName eq 'Virtual Machines' and armRegionName eq '{region}'"
        f" and armSkuName eq '{vm_size}' and priceType eq 'Consumption'"
    )


def prices_in(items: Iterable[Mapping[str, Any]], region: str, vm_size: str, currency: str) -> NodePrices:
    """
    Return the prices of a VM size from the items of the price list.

    Only items for Linux machines by the hour, of the first tier, count. Of several, the one that took effect
    last is used, then the cheapest.

    :param items: the items as the price list returns them.
    :param currency: the requested currency.
    """
    fitting = [item for item in items if _fits(item, region, vm_size, currency)]
    spot = None
    for ending in _SPOT_ENDINGS:
        spot = spot if spot is not None else _latest(item for item in fitting if _kind(item) == ending)
    dedicated = _latest(item for item in fitting if _kind(item) == "")
    return NodePrices(vm_size, region, currency, dedicated, spot)


def _fits(item: Mapping[str, Any], region: str, vm_size: str, currency: str) -> bool:
    product = str(item.get("productName", "")).lower()
    wanted = {
        "armRegionName": region,
        "armSkuName": vm_size,
        "currencyCode": currency,
        "type": "Consumption",
        "unitOfMeasure": _HOUR,
    }
    return (
        all(str(item.get(name, "")).lower() == value.lower() for name, value in wanted.items())
        and not item.get("tierMinimumUnits")
        and not any(other in product for other in _OTHER_PRODUCTS)
        and isinstance(item.get("retailPrice"), (int, float))
    )


def _kind(item: Mapping[str, Any]) -> str:
    name = str(item.get("skuName", "")).lower()
    return next((ending for ending in _SPOT_ENDINGS if name.endswith(ending)), "")


def _latest(items: Iterable[Mapping[str, Any]]) -> float | None:
    ranked = sorted(items, key=lambda item: -float(item["retailPrice"]))
    ranked.sort(key=lambda item: str(item.get("effectiveStartDate", "")))
    return float(ranked[-1]["retailPrice"]) if ranked else None
