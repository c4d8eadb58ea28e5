"""A price list in the format of the Azure Retail Prices API, with made-up prices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from airflow_provider_batchlinux.emulator.rules.vm_sizes import SIZES

PRICE_LIST = "/_emulator/prices"
_CORE_HOUR = 0.05
_SPOT_SHARE = 0.2
_CLAUSE = re.compile(r"(\w+) eq '([^']*)'")


def answer_prices(request: web.BaseRequest) -> web.Response:
    """Answer a request for the prices of a VM size. Every core costs the same; Spot costs a fifth."""
    asked = dict(_CLAUSE.findall(request.query.get("$filter", "")))
    currency = request.query.get("currencyCode", "USD").strip("'")
    items = list(_items(asked.get("armRegionName", ""), asked.get("armSkuName", "").lower(), currency))
    return web.json_response(
        {
            "BillingCurrency": currency,
            "CustomerEntityId": "Default",
            "CustomerEntityType": "Retail",
            "Items": items,
            "NextPageLink": None,
            "Count": len(items),
        }
    )


def _items(region: str, wanted: str, currency: str) -> Iterator[dict[str, Any]]:
    for size in SIZES:
        name = str(size["name"])
        if name.lower() != wanted:
            continue
        cores = int(next(each["value"] for each in size["capabilities"] if each["name"] == "vCPUs"))
        for product, ending, share in (("", "", 1.0), ("", " Spot", _SPOT_SHARE), (" Windows", "", 2.0)):
            price = round(cores * _CORE_HOUR * share, 6)
            yield _item(name, region, currency, product, ending, price)


def _item(name: str, region: str, currency: str, product: str, ending: str, price: float) -> dict[str, Any]:
    short = name.removeprefix("Standard_").replace("_", " ")
    return {
        "currencyCode": currency,
        "tierMinimumUnits": 0.0,
        "retailPrice": price,
        "unitPrice": price,
        "armRegionName": region,
        "effectiveStartDate": "2025-01-01T00:00:00Z",
        "meterName": short + ending,
        "productName": f"Virtual Machines{product}",
        "skuName": short + ending,
        "serviceName": "Virtual Machines",
        "serviceFamily": "Compute",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": name,
    }
