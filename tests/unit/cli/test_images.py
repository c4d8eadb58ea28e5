"""``batchlinux images`` as a person at a terminal uses it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from airflow_provider_batchlinux.cli.main import main
from tests.batch_account import BatchAccount

NOBLE = "canonical:ubuntu-24_04-lts:server"


@pytest.fixture(autouse=True)
def account_of_a_connection(account: BatchAccount) -> BatchAccount:
    return account


def test_the_supported_linux_images_are_printed_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["images"]) == 0

    header, *rows = capsys.readouterr().out.splitlines()
    assert header.startswith("IMAGE ")
    assert header.endswith("END OF SUPPORT")
    assert any(NOBLE in row for row in rows)
    assert not any("windows" in row or " no " in row for row in rows)


def test_all_of_them_are_more(capsys: pytest.CaptureFixture[str]) -> None:
    main(["images"])
    usual = capsys.readouterr().out.splitlines()
    main(["images", "--all"])

    assert len(capsys.readouterr().out.splitlines()) > len(usual)


def test_the_image_that_a_name_would_get_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["images", "ubuntu 24.04"]) == 0

    marked = [line for line in capsys.readouterr().out.splitlines() if line.startswith("*")]
    assert len(marked) == 1
    assert f"{NOBLE} " in marked[0]


def test_the_vm_size_narrows_the_choice(capsys: pytest.CaptureFixture[str]) -> None:
    main(["images", "ubuntu 24.04", "--vm-size", "standard_d2s_v6"])

    assert "server-gen1" not in capsys.readouterr().out


def test_json_can_be_read_by_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    main(["images", "ubuntu 24.04", "--json"])

    first = json.loads(capsys.readouterr().out)[0]
    assert (first["offer"], first["node_agent_sku"]) == ("ubuntu-24_04-lts", "batch.node.ubuntu 24.04")


def test_a_miss_says_what_is_near_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["images", "ubuntu 23.10"]) == 1

    assert "Nearest" in capsys.readouterr().err


def test_the_environment_names_the_account_as_for_the_azure_cli(
    account_of_a_connection: BatchAccount,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = account_of_a_connection.service
    monkeypatch.delenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT")
    monkeypatch.setenv("AZURE_BATCH_ENDPOINT", service.endpoint)
    monkeypatch.setenv("AZURE_BATCH_ACCOUNT", service.account)
    monkeypatch.setenv("AZURE_BATCH_ACCESS_KEY", service.key)

    assert main(["images"]) == 0
    assert NOBLE in capsys.readouterr().out


def test_wrong_arguments_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["imagines"])

    assert ended.value.code == 2
    assert "images" in capsys.readouterr().err


def test_asking_for_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom airflow_provider_batchlinux.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print({'airflow', 'azure', 'aiohttp'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ran.stdout.splitlines()[-1] == "set()"
    assert "--conn" in ran.stdout
