"""Asking the public price list: what is sent, several pages, what goes wrong."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from airflow_provider_batchlinux.client.pools.prices import find_prices
from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.core.vm_sizes.prices import NodePrices

KEY = base64.b64encode(b"confidential").decode()
SIZE = "standard_d2s_v5"
URL = "https://etl.westeurope.batch.azure.com"
Answer = Callable[[web.BaseRequest], web.Response]


def item(price: float, sku: str) -> dict[str, Any]:
    return {
        "currencyCode": "USD",
        "retailPrice": price,
        "armRegionName": "westeurope",
        "productName": "Virtual Machines Dsv5 Series",
        "skuName": sku,
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "armSkuName": "Standard_D2s_v5",
    }


def asked(answer: Answer) -> tuple[NodePrices | None, list[web.BaseRequest]]:
    """Ask a list that answers so, and give the prices with the requests that it got."""
    requests: list[web.BaseRequest] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        requests.append(request)
        return answer(request)

    async def work() -> NodePrices | None:
        runner = web.ServerRunner(web.Server(handle))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        url = f"http://{host}:{port}/prices"
        settings = AccountSettings(URL, "etl", AuthKind.SHARED_KEY, account_key=KEY)
        try:
            return await find_prices(settings, SIZE, region="westeurope", currency="USD", url=url)
        finally:
            await runner.cleanup()

    return asyncio.run(work()), requests


def one_page(_request: web.BaseRequest) -> web.Response:
    return web.json_response({"Items": [item(0.1, "D2s v5")], "NextPageLink": None})


def test_nothing_of_the_account_is_sent() -> None:
    found, [request] = asked(one_page)

    assert found == NodePrices(SIZE, "westeurope", "USD", 0.1, None)
    assert request.query["currencyCode"] == "'USD'"
    sent = repr((dict(request.headers), request.raw_path)).lower()
    assert not [secret for secret in ("authorization", "cookie", "etl", "confidential") if secret in sent]


def test_all_pages_are_read() -> None:
    def answer(request: web.BaseRequest) -> web.Response:
        if "skip" in request.query:
            return web.json_response({"Items": [item(0.02, "D2s v5 Spot")], "NextPageLink": None})
        link = f"http://{request.host}/prices?skip=100"
        return web.json_response({"Items": [item(0.1, "D2s v5")], "NextPageLink": link})

    found, requests = asked(answer)

    assert found is not None
    assert (found.dedicated, found.spot, len(requests)) == (0.1, 0.02, 2)


def test_a_list_without_an_end_is_left_after_some_pages() -> None:
    def answer(request: web.BaseRequest) -> web.Response:
        return web.json_response({"Items": [], "NextPageLink": f"http://{request.host}/prices"})

    assert len(asked(answer)[1]) == 5


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: web.Response(status=503), id="it is away"),
        pytest.param(lambda _: web.Response(text="<html>"), id="no json"),
        pytest.param(lambda _: web.json_response([]), id="no object"),
        pytest.param(lambda _: web.json_response({"items": []}), id="no items"),
        pytest.param(lambda _: web.json_response({"Items": [1]}), id="items that are none"),
    ],
)
def test_an_answer_of_no_use_is_told_and_fails_nothing(
    answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    assert asked(answer)[0] is None
    assert "The price of 'standard_d2s_v5' is unknown" in caplog.text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param(URL, "westeurope", id="public cloud"),
        pytest.param("https://etl.usgovvirginia.batch.usgovcloudapi.net", "usgovvirginia", id="other cloud"),
        pytest.param("http://127.0.0.1:8080", None, id="no region"),
    ],
)
def test_the_region_is_read_from_the_url(url: str, expected: str | None) -> None:
    settings = AccountSettings(url, "etl", AuthKind.SHARED_KEY, account_key=KEY)

    assert settings.region == expected
