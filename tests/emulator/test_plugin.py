"""What the fixtures give, and what having them costs those who do not use them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from airflow.sdk.bases.hook import BaseHook

from airflow_provider_batchlinux.emulator import EmulatorOptions, RunningEmulator

ROOT = Path(__file__).parents[2]
PLUGIN = "airflow_provider_batchlinux.emulator.pytest_plugin"
HEAVY = {"aiohttp", "airflow", "asyncio", "asyncssh", "azure", "jwt"}

# Stands for an environment without the extra, in which nothing of it is installed.
WITHOUT_EXTRA = """
import sys
for name in ("asyncssh", "jwt", "trustme"):
    sys.modules[name] = None
"""


def run_python(script: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a script in a separate process."""
    command = [sys.executable, "-c", script, *arguments]
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    script = "import sys, pytest; before = set(sys.modules)\n"
    script += f"import {PLUGIN}; print(*(name.split('.')[0] for name in set(sys.modules) - before))"
    ran = run_python(script)

    assert ran.returncode == 0, ran.stderr
    assert set(ran.stdout.split()) & HEAVY == set()


def test_without_the_extra_only_its_users_fail_and_read_the_remedy(tmp_path: Path) -> None:
    tests = "def test_with(batch_emulator):\n    pass\n\n\ndef test_without():\n    pass\n"
    (tmp_path / "test_it.py").write_text(tests)
    run = f"import pytest; pytest.main(['-q', '-p', 'no:cacheprovider', '-p', {PLUGIN!r}])"
    ran = run_python(WITHOUT_EXTRA + run, cwd=tmp_path)

    assert "1 passed, 1 error" in ran.stdout
    assert "pip install airflow-provider-batchlinux[emulator]" in ran.stdout


def test_without_the_extra_the_command_says_so() -> None:
    script = f"{WITHOUT_EXTRA}from airflow_provider_batchlinux.emulator.__main__ import main; main([])"
    ran = run_python(script)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("batchlinux-emulator cannot serve: ")
    assert "pip install airflow-provider-batchlinux[emulator]" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    import airflow_provider_batchlinux.emulator as package

    with pytest.raises(AttributeError, match="'RunEmulator'"):
        _ = package.RunEmulator


def test_the_connection_leads_to_the_service(batch_connection: str, batch_emulator: RunningEmulator) -> None:
    connection = BaseHook.get_connection(batch_connection)

    assert (connection.login, connection.password) == (batch_emulator.account, batch_emulator.key)
    assert connection.extra_dejson["account_url"] == batch_emulator.endpoint


def test_a_test_without_a_marker_shares_the_service(
    batch_emulator: RunningEmulator, shared_batch_emulator: RunningEmulator
) -> None:
    assert batch_emulator is shared_batch_emulator
    assert batch_emulator.control.requests() == []


@pytest.mark.batch_emulator(account="alone", seed=7)
def test_a_marked_test_has_a_separate_service(
    batch_emulator: RunningEmulator, shared_batch_emulator: RunningEmulator
) -> None:
    assert batch_emulator.account == "alone"
    assert batch_emulator.endpoint != shared_batch_emulator.endpoint
    assert batch_emulator.control.fault_rates()["seed"] == 7


def test_the_options_of_the_session_are_those_of_the_instant_profile(
    batch_emulator_options: EmulatorOptions,
) -> None:
    assert (batch_emulator_options.profile, batch_emulator_options.clock) == ("instant", "system")
