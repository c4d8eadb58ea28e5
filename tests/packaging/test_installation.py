"""Airflow finds the provider where its wheel is installed, as Airflow's own commands show."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_batchlinux import __version__
from airflow_provider_batchlinux.get_provider_info import get_provider_info
from tests.packaging.conftest import Installation

NAME = "airflow-provider-batchlinux"
INFO = get_provider_info()

Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def providers(installation: Installation) -> Ask:
    """Give a function that runs ``airflow providers``, and returns the rows that it prints."""

    def ask(*arguments: str) -> list[dict[str, Any]]:
        answer = installation.run("python", "-m", "airflow", "providers", *arguments, "--output", "json")
        rows: list[dict[str, Any]] = json.loads(answer)
        return rows

    return ask


def test_the_package_is_found_where_it_was_installed(installation: Installation) -> None:
    where = installation.run("python", "-c", "import airflow_provider_batchlinux as it; print(it.__file__)")

    assert where.startswith(str(installation.folder))


def test_airflow_lists_the_provider(providers: Ask) -> None:
    [row] = [row for row in providers("list") if row["package_name"] == NAME]

    assert row["version"] == __version__


def test_airflow_knows_all_that_the_provider_offers(providers: Ask) -> None:
    [row] = providers("get", NAME, "--full")

    kinds = ["hooks", "operators", "sensors", "triggers", "extra-links", "integrations"]
    assert {kind: row[kind] for kind in kinds} == {kind: INFO[kind] for kind in kinds}


def test_airflow_finds_the_hook_of_the_connection_type(providers: Ask) -> None:
    [row] = [row for row in providers("hooks") if row["connection_type"] == "azure_batch_linux"]

    assert row == {
        "connection_type": "azure_batch_linux",
        "class": "airflow_provider_batchlinux.hooks.batch_linux.BatchLinuxHook",
        "conn_id_attribute_name": "batch_linux_conn_id",
        "package_name": NAME,
        "hook_name": "Azure Batch (Linux)",
    }


def test_airflow_finds_the_link_to_the_portal(providers: Ask) -> None:
    found = {row["extra_link_class_name"] for row in providers("links")}

    assert set(INFO["extra-links"]) <= found


def test_airflow_finds_the_triggers(providers: Ask) -> None:
    found = {row["class"] for row in providers("triggers") if row["package_name"] == NAME}

    assert found == set(INFO["triggers"][0]["python-modules"])


def test_the_embedded_service_is_a_command(installation: Installation) -> None:
    assert "--port" in installation.run("batchlinux-emulator", "--help")


def test_pytest_knows_the_fixture_and_its_marker(installation: Installation) -> None:
    (installation.home / "test_it.py").write_text(
        "import pytest\n\n"
        "@pytest.mark.batch_emulator(account='etl')\n"
        "def test_it(batch_emulator):\n"
        "    assert batch_emulator.account == 'etl'\n"
    )

    assert "1 passed" in installation.run("python", "-m", "pytest", "-q", "--strict-markers", "test_it.py")
