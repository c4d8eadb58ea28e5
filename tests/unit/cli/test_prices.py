"""``batchlinux prices`` against the price list of the embedded service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_batchlinux.cli.main import main
from airflow_provider_batchlinux.plugins._accounts import prices_by_region
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


def test_prices_are_put_into_the_file_of_the_page(
    price_list: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prices = tmp_path / "prices.json"
    monkeypatch.setenv("AIRFLOW__BATCH_LINUX__UI_PRICES_FILE", str(prices))

    def write(*words: str) -> int:
        return main(["prices", *words, "--price-list", price_list, "--write", str(prices)])

    assert write("standard_d2s_v5", "--region", "westeurope") == 0
    assert write("Standard_D2s_v5", "standard_d4s_v5", "--region", "eastus", "--currency", "eur") == 0
    assert write("Standard_D2s_v5", "--region", "westeurope", "--currency", "EUR") == 0
    assert "has 3 prices" in capsys.readouterr().err
    found = prices_by_region()
    assert {region: sorted(sizes) for region, sizes in found.items() if region} == {
        "westeurope": ["standard_d2s_v5"],
        "eastus": ["standard_d2s_v5", "standard_d4s_v5"],
    }
    assert found["westeurope"]["standard_d2s_v5"].currency == "EUR"
    assert list(tmp_path.iterdir()) == [prices]

    prices.write_text("no prices")
    assert write("standard_d2s_v5", "--region", "westeurope") == 1
    assert prices.read_text() == "no prices"


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
