"""Reading many pools in few requests from the embedded service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_batchlinux.client.waits.reader import PoolReader, PoolReading
from airflow_provider_batchlinux.exceptions import BatchAuthenticationError, BatchRequestError
from tests.batch_account import BatchAccount


def read(account: BatchAccount, names: Sequence[str]) -> dict[str, PoolReading]:
    account.control.clear_requests()
    return account.hook.run(lambda client: PoolReader(client).read(names, 1))


@pytest.mark.parametrize(
    ("pools", "requests"),
    [
        pytest.param(1, ["GET /pools/p0", "GET /nodecounts"], id="one pool"),
        pytest.param(3, ["GET /pools", "GET /nodecounts"], id="a few pools"),
        pytest.param(12, ["GET /pools", "GET /nodecounts"], id="many pools"),
    ],
)
def test_pools_are_read_in_two_requests(account, pools, requests):
    names = [account.make_pool(f"p{number}", dedicated=number + 1) for number in range(pools)]
    for number, name in enumerate(names):
        account.wait_for_nodes({"idle": number + 1}, pool_id=name)

    found = read(account, names)

    assert account.requests() == requests
    assert {name: reading.counts for name, reading in found.items()} == {
        f"p{number}": {"idle": number + 1} for number in range(pools)
    }
    assert all(reading.pool is not None and reading.error is None for reading in found.values())


def test_every_list_is_asked_with_select(account):
    names = [account.make_pool(f"p{number}") for number in range(12)]

    read(account, names)

    [listed] = [request for request in account.control.requests() if request["path"] == "/pools"]
    assert "select=id,state,allocationState" in listed["query"]


def test_a_pool_that_no_list_shows_is_looked_for_at_its_own_address(account):
    account.idle_pool(1)

    found = read(account, ["gone", "etl"])

    assert account.requests() == ["GET /pools", "GET /pools/gone", "GET /nodecounts"]
    assert (found["gone"].pool, found["gone"].error) == (None, None)
    assert found["etl"].counts == {"idle": 1}


def test_ids_are_compared_without_regard_to_case(account):
    account.idle_pool(1)
    account.make_pool("other")

    assert read(account, ["ETL", "other"])["ETL"].counts == {"idle": 1}
    assert "GET /pools/ETL" not in account.requests()


def test_one_pool_that_is_refused_does_not_hide_the_others(account):
    account.idle_pool(1)
    account.make_pool("other")
    account.control.inject("GET", "/pools/bad", status=400, code="InvalidPropertyValue")

    found = read(account, ["bad", "etl", "other"])

    assert isinstance(found["bad"].error, BatchRequestError)
    assert found["etl"].counts == {"idle": 1}


def test_a_refusal_of_the_identity_is_no_pools_own(account):
    account.control.inject("GET", "/pools/etl", code="AuthenticationFailed")

    with pytest.raises(BatchAuthenticationError):
        read(account, ["etl"])


class PagesOfTen:
    """A client whose service counts ten pools a page, as it was documented up to 2024."""

    def __init__(self, pools: int) -> None:
        self.names = [f"p{number}" for number in range(pools)]
        self.asked: list[str | None] = []

    async def list_pools(self, _select: Any, *, where: str | None = None) -> list[dict[str, Any]]:
        return [
            {"id": name, "targetDedicatedNodes": 1, "currentDedicatedNodes": 1}
            for name in self.names
            if where is None or f"'{name}'" in where
        ]

    async def node_count_pages(self, *, where: str | None = None) -> list[dict[str, dict[str, int]]]:
        self.asked.append(where)
        named = [name for name in self.names if where is None or f"'{name}'" in where]
        return [
            {name: {"idle": 1} for name in named[start : start + 10]} for start in range(0, len(named), 10)
        ]


def test_where_counts_come_in_small_pages_pools_are_named_when_that_is_less():
    client: Any = PagesOfTen(100)
    reader = PoolReader(client)
    wanted = client.names[:25]

    async def turns() -> list[dict[str, PoolReading]]:
        return [await reader.read(wanted, turn) for turn in range(2)]

    first, second = asyncio.run(turns())

    assert first == second
    assert client.asked[0] is None
    assert len(client.asked[1:]) == 3
    assert client.asked[3] == " or ".join(f"poolId eq 'p{number}'" for number in range(20, 25))
