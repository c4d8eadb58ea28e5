"""What pools cost, as operators and the command tell it, by the embedded service's price list."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_batchlinux.cli.main import main
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from airflow_provider_batchlinux.operators.sweeper import BatchLinuxSweepPoolsOperator
from tests.airflow_harness import TaskRun, run_task
from tests.batch_account import BatchAccount
from tests.conftest import set_connection

Priced = Callable[..., None]


@pytest.fixture
def priced(account: BatchAccount, monkeypatch: pytest.MonkeyPatch) -> Priced:
    """Let the connection ask for prices."""

    def priced(**extra: str) -> None:
        url = f"{account.service.endpoint}/_emulator/prices"
        given = {"prices": "EUR", "prices_url": url, "region": "westeurope", **extra}
        set_connection(monkeypatch, account.service, **given)

    return priced


def create(**options: Any) -> TaskRun:
    request = {"pool_id": "etl", "image": "ubuntu 24.04", "vm_size": "standard_d2s_v5"}
    run = run_task(BatchLinuxCreatePoolOperator(task_id="create", **{**request, **options}))
    assert run.state == "success", run.message
    return run


EACH = {"currency": "EUR", "dedicated_node": 0.1, "spot_node": 0.02}


def test_a_pool_is_priced_where_the_connection_says_so(priced: Priced) -> None:
    priced()

    run = create(dedicated_nodes=3, spot_nodes=10)

    assert run.result["price_per_hour"] == {**EACH, "pool": 0.5}
    assert "Pool 'etl' costs about 0.5 EUR an hour with all its nodes" in run.log


def test_a_pool_that_was_there_is_priced_by_the_nodes_that_it_asks_for_now(priced: Priced) -> None:
    priced()
    create(dedicated_nodes=3)

    assert create(dedicated_nodes=3).result["price_per_hour"]["pool"] == 0.3
    resized = create(dedicated_nodes=5, if_exists="resize")
    assert resized.result["price_per_hour"]["pool"] == 0.5


def test_under_a_formula_only_a_node_is_priced(priced: Priced) -> None:
    priced()

    run = create(autoscale="$TargetDedicatedNodes = 1;")

    assert run.result["price_per_hour"] == {**EACH, "pool": None}


def test_nobody_is_asked_unless_the_connection_says_so(account: BatchAccount, priced: Priced) -> None:
    priced(prices="", prices_url="http://127.0.0.1:1")

    run = create()

    assert run.result["price_per_hour"] is None
    assert "price" not in run.log.lower()
    assert account.requests() == ["GET /supportedimages", "POST /pools"]


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        pytest.param(
            {"prices_url": "http://127.0.0.1:1/prices"},
            "The price of 'standard_d2s_v5' is not known",
            id="away",
        ),
        pytest.param({"region": ""}, "the region is not known", id="no region"),
    ],
)
def test_a_price_that_is_not_known_fails_nothing(priced: Priced, extra: dict[str, str], told: str) -> None:
    priced(**extra)

    run = create(dedicated_nodes=1)

    assert run.result["price_per_hour"] is None
    assert told in run.log


@pytest.mark.parametrize("path", ["/pools", "/_emulator/requests"])
def test_an_answer_that_is_no_price_list_fails_nothing(
    account: BatchAccount, priced: Priced, path: str
) -> None:
    priced(prices_url=f"{account.service.endpoint}{path}")

    assert create().result["price_per_hour"] is None


def test_a_size_that_the_list_does_not_have_has_no_price(priced: Priced) -> None:
    priced()

    run = create(vm_size="standard_d2_v3", dedicated_nodes=1)

    assert run.result["price_per_hour"] == {
        "currency": "EUR",
        "dedicated_node": None,
        "spot_node": None,
        "pool": None,
    }


def test_the_sweeper_tells_what_the_pools_cost_that_may_go(account: BatchAccount, priced: Priced) -> None:
    priced()
    create(dedicated_nodes=2, spot_nodes=1)
    create(pool_id="odd", vm_size="standard_d2_v3", dedicated_nodes=1)
    account.wait_for_nodes({"idle": 3})
    account.wait_for_nodes({"idle": 1}, pool_id="odd")

    run = run_task(BatchLinuxSweepPoolsOperator(task_id="sweep"))

    assert run.result["price_per_day"] == {"currency": "EUR", "amount": 5.28, "unpriced": 1}
    assert "These cost about 5.28 EUR a day by list" in run.log


class TestCommand:
    def test_it_prints_a_line_for_each_size(self, priced: Priced, capsys: pytest.CaptureFixture[str]) -> None:
        priced()

        code = main(
            ["prices", "standard_d2s_v5", "Standard_D4s_v5", "--region", "eastus", "--currency", "usd"]
        )

        lines = capsys.readouterr().out.splitlines()
        assert code == 0
        assert [line.split() for line in lines[1:]] == [
            ["standard_d2s_v5", "eastus", "0.1", "0.02", "USD"],
            ["Standard_D4s_v5", "eastus", "0.2", "0.04", "USD"],
        ]

    def test_it_speaks_json(self, priced: Priced, capsys: pytest.CaptureFixture[str]) -> None:
        priced()

        main(["prices", "standard_d2s_v5", "--json"])

        expected = {"vm_size": "standard_d2s_v5", "region": "westeurope", **EACH}
        assert json.loads(capsys.readouterr().out) == [expected]

    def test_it_fails_when_a_price_cannot_be_had(self, priced: Priced) -> None:
        priced(prices_url="http://127.0.0.1:1")

        assert main(["prices", "standard_d2s_v5"]) == 1
