"""Airflow finds the provider where its wheel is installed, as Airflow's own commands show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_batchlinux import __version__
from airflow_provider_batchlinux.get_provider_info import get_provider_info
from tests.packaging.conftest import Installation

NAME = "airflow-provider-batchlinux"
INFO = get_provider_info()

COMMANDS = {
    "list": ["list"],
    "get": ["get", NAME, "--full"],
    **{kind: [kind] for kind in ("hooks", "links", "triggers")},
}
# Airflow takes seconds to start, so one process runs all commands.
SCRIPT = """
import contextlib, io, json, sys
from airflow.cli.cli_parser import get_parser

answers = {}
for name, arguments in json.loads(sys.argv[1]).items():
    parsed = get_parser().parse_args(["providers", *arguments, "--output", "json"])
    with contextlib.redirect_stdout(io.StringIO()) as said:
        parsed.func(parsed)
    answers[name] = json.loads(said.getvalue())
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def providers(installation: Installation) -> Mapping[str, list[dict[str, Any]]]:
    """Give the rows that the subcommands of ``airflow providers`` print."""
    said = installation.run("python", "-c", SCRIPT, json.dumps(COMMANDS))
    answers: dict[str, list[dict[str, Any]]] = json.loads(said.splitlines()[-1])
    return answers


def test_the_package_is_found_where_it_was_installed(installation: Installation) -> None:
    where = installation.run("python", "-c", "import airflow_provider_batchlinux as it; print(it.__file__)")

    assert where.startswith(str(installation.folder))


def test_the_programs_for_nodes_are_installed(installation: Installation) -> None:
    names = "from importlib.resources import files as f; print(*(p.name for p in f('{}.on_node').iterdir()))"
    found = installation.run("python", "-c", names.format("airflow_provider_batchlinux"))

    assert {"run_function.py", "run_function.sh"} <= set(found.split())


def test_the_command_copies_the_example_dags_of_the_wheel(installation: Installation) -> None:
    folder = installation.run("batchlinux", "examples", "--to", str(installation.home / "dags")).strip()

    assert folder == str(installation.home / "dags" / "batchlinux_examples")
    assert (installation.home / "dags" / "batchlinux_examples" / "example_etl.py").is_file()


def test_airflow_lists_the_provider(providers: Mapping[str, list[dict[str, Any]]]) -> None:
    [row] = [row for row in providers["list"] if row["package_name"] == NAME]

    assert row["version"] == __version__


def test_airflow_knows_all_that_the_provider_offers(providers: Mapping[str, list[dict[str, Any]]]) -> None:
    [row] = providers["get"]

    kinds = ["hooks", "operators", "sensors", "triggers", "extra-links", "integrations"]
    assert {kind: row[kind] for kind in kinds} == {kind: INFO[kind] for kind in kinds}


def test_airflow_finds_the_hook_of_the_connection_type(providers: Mapping[str, list[dict[str, Any]]]) -> None:
    [row] = [row for row in providers["hooks"] if row["connection_type"] == "azure_batch_linux"]

    assert row == {
        "connection_type": "azure_batch_linux",
        "class": "airflow_provider_batchlinux.hooks.batch_linux.BatchLinuxHook",
        "conn_id_attribute_name": "batch_linux_conn_id",
        "package_name": NAME,
        "hook_name": "Azure Batch (Linux)",
    }


def test_airflow_finds_the_link_to_the_portal(providers: Mapping[str, list[dict[str, Any]]]) -> None:
    found = {row["extra_link_class_name"] for row in providers["links"]}

    assert set(INFO["extra-links"]) <= found


def test_airflow_finds_the_triggers(providers: Mapping[str, list[dict[str, Any]]]) -> None:
    found = {row["class"] for row in providers["triggers"] if row["package_name"] == NAME}

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
