"""The option ``--azure``, tried on an embedded service that takes the place of a real account."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.batch import BatchClient, models

from airflow_provider_batchlinux.emulator import RunningEmulator
from tests.contract.azure_account import (
    ContractAccount,
    account_from,
    check_empty,
    make_empty,
    why_skipped,
)

URL = "https://etl.westeurope.batch.azure.com"


@pytest.fixture
def real(batch_emulator: RunningEmulator) -> ContractAccount:
    """Give the embedded account as if it were a real one."""
    return ContractAccount(batch_emulator.endpoint, batch_emulator.account, batch_emulator.key)


def test_the_environment_says_which_account() -> None:
    by_key = account_from({"AZURE_BATCH_URL": f"{URL}/", "AZURE_BATCH_KEY": "a2V5"})
    by_token = account_from({"AZURE_BATCH_URL": URL, "AZURE_BATCH_ACCOUNT": "other"})

    assert (by_key.endpoint, by_key.account, by_key.key) == (URL, "etl", "a2V5")
    assert (by_token.account, by_token.key) == ("other", None)
    assert by_key.patience > 600
    assert "a2V5" not in repr(by_key)


@pytest.mark.parametrize("environ", [{}, {"AZURE_BATCH_URL": ""}, {"AZURE_BATCH_URL": "etl"}])
def test_an_environment_without_an_account_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="AZURE_BATCH_URL"):
        account_from(environ)


def test_what_steers_the_service_is_skipped() -> None:
    assert why_skipped(["client", "send"]) is None
    assert "control plane" in str(why_skipped(["client", "batch_emulator"]))


def test_an_account_in_use_is_left_alone(real: ContractAccount, make_pool: Callable[..., str]) -> None:
    check_empty(real)
    make_pool("production", dedicated=0)

    with pytest.raises(ValueError, match="production"):
        check_empty(real)


def test_what_a_test_leaves_behind_is_deleted(
    real: ContractAccount, client: BatchClient, make_pool: Callable[..., str]
) -> None:
    pool_info = models.BatchPoolInfo(pool_id=make_pool(dedicated=0))
    client.create_job(models.BatchJobCreateOptions(id="job", pool_info=pool_info))

    make_empty(real)

    check_empty(real)


def test_the_command_reports_how_an_account_differs(secure_emulator: RunningEmulator, tmp_path: Path) -> None:
    """The embedded service over TLS takes the place of the account; it differs by its Entra tenant."""
    chosen = "without_a_body_and_with_its_place or test_a_pool_over_quota or (not_signed and header)"
    files = ["--files", "wire/test_wire.py", "test_pools.py"]
    options = ["--only", chosen, *files, "--results", str(tmp_path), "--dags"]
    environment = {**_environment(secure_emulator), "AZURE_BATCH_CA_FILE": str(secure_emulator.ca)}

    run = _run("tests.azure", secure_emulator.endpoint, *options, environment=environment)

    assert run.returncode == 0, run.stdout + run.stderr
    assert "contract tests: 2 passed, 1 skipped" in (tmp_path / "report.md").read_text()
    assert "It steers the embedded service" in run.stdout
    assert "the account is empty" in run.stdout
    assert any(request["operation"] == "create_pool" for request in secure_emulator.control.requests())
    rows = json.loads((tmp_path / "differences.json").read_text())
    assert [row["what"] for row in rows] == [
        "only the account answers GET /pools 401 AuthenticationFailed",
        "only the embedded service answers GET /pools 403 AuthenticationFailed",
    ]
    assert rows[0]["recording"]["answer"]["code"] == "AuthenticationFailed"


@pytest.mark.parametrize("most_nodes", [2, 1])
def test_the_guard_ends_what_runs_and_empties_the_account(
    real: ContractAccount, batch_emulator: RunningEmulator, make_pool: Callable[..., str], most_nodes: int
) -> None:
    make_pool("left", dedicated=2)
    command = [sys.executable, "-m", "tests.azure.guard", str(most_nodes), "600"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen(command, env=_environment(batch_emulator), **pipes) as guard,
        subprocess.Popen(["sleep", "600"], start_new_session=True) as runner,
    ):
        assert guard.stdin is not None
        guard.stdin.write(f"{runner.pid}\n")
        guard.stdin.flush()
        if most_nodes < 2:
            assert runner.wait(60) == -signal.SIGKILL
        # The input ends when the run ends or is killed.
        said, _ = guard.communicate()

    assert (guard.returncode, runner.returncode) == (0, -signal.SIGKILL)
    assert said.splitlines()[-1] == "the account is empty"
    assert said.startswith("2 nodes are more than the 1 that are allowed") is (most_nodes < 2)
    check_empty(real)


def test_the_option_refuses_to_run_without_an_account(batch_emulator: RunningEmulator) -> None:
    environment = {**_environment(batch_emulator), "AZURE_BATCH_URL": ""}
    tests = os.path.join(os.path.dirname(__file__), "wire", "test_wire.py")

    run = _run("pytest", "--azure", "-p", "no:cacheprovider", "-q", tests, environment=environment)

    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--azure needs AZURE_BATCH_URL" in run.stderr


def test_without_the_option_nothing_changes(
    contract_account: ContractAccount, batch_emulator: RunningEmulator
) -> None:
    assert contract_account.endpoint == batch_emulator.endpoint
    assert (contract_account.patience, contract_account.pause) == (10.0, 0.01)


def _environment(emulator: RunningEmulator) -> dict[str, str]:
    """Return the environment for an embedded service as if it were a real account."""
    return {
        **os.environ,
        "AZURE_BATCH_URL": emulator.endpoint,
        "AZURE_BATCH_ACCOUNT": emulator.account,
        "AZURE_BATCH_KEY": emulator.key,
        "AZURE_BATCH_PAUSE": "0.05",
    }


def _run(module: str, *arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
