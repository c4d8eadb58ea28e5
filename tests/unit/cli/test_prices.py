"""``batchlinux prices`` against the price list of the embedded service."""

from __future__ import annotations

import json

import pytest

from airflow_provider_batchlinux.cli.main import main
from tests.batch_account import BatchAccount


@pytest.fixture
def price_list(account: BatchAccount) -> str:
    return f"{account.service.endpoint}/_emulator/prices"


def test_each_size_has_a_line(price_list: str, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["standard_d2s_v5", "Standard_D4s_v5"]

    code = main(["prices", *sizes, "--region", "eastus", "--currency", "eur", "--price-list", price_list])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert [line.split() for line in lines[1:]] == [
        ["standard_d2s_v5", "eastus", "0.1", "0.02", "EUR"],
        ["Standard_D4s_v5", "eastus", "0.2", "0.04", "EUR"],
    ]


def test_json_has_the_prices_of_one_node(price_list: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["prices", "standard_d2s_v5", "--region", "westeurope", "--price-list", price_list, "--json"])

    expected = {
        "vm_size": "standard_d2s_v5",
        "region": "westeurope",
        "currency": "USD",
        "dedicated_node": 0.1,
        "spot_node": 0.02,
    }
    assert json.loads(capsys.readouterr().out) == [expected]


def test_a_size_without_a_price_fails_the_command(
    price_list: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["prices", "standard_d2_v3", "--region", "westeurope", "--price-list", price_list])

    assert code == 1
    assert capsys.readouterr().out.splitlines()[1].split()[2:4] == ["-", "-"]


def test_a_list_that_cannot_be_reached_fails_the_command(account: BatchAccount) -> None:
    arguments = ["prices", "standard_d2s_v5", "--region", "eastus", "--price-list", "http://127.0.0.1:1"]

    assert main(arguments) == 1


def test_a_url_without_region_needs_the_option(
    account: BatchAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["prices", "standard_d2s_v5"])

    assert code != 0
    assert "pass --region" in capsys.readouterr().err
