"""The option ``--azure``, tried on an embedded service that takes the place of a real account."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

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


def test_the_option_runs_tests_against_the_account(batch_emulator: RunningEmulator) -> None:
    run = _pytest(batch_emulator.endpoint, batch_emulator)

    assert run.returncode == 0, run.stdout
    assert "2 passed, 1 skipped" in run.stdout
    assert "It steers the embedded service" in run.stdout
    assert any(request["operation"] == "create_pool" for request in batch_emulator.control.requests())
    check_empty(ContractAccount(batch_emulator.endpoint, batch_emulator.account, batch_emulator.key))


def test_the_option_refuses_to_run_without_an_account(batch_emulator: RunningEmulator) -> None:
    run = _pytest("", batch_emulator)

    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--azure needs AZURE_BATCH_URL" in run.stderr


def test_without_the_option_nothing_changes(
    contract_account: ContractAccount, batch_emulator: RunningEmulator
) -> None:
    assert contract_account.endpoint == batch_emulator.endpoint
    assert (contract_account.patience, contract_account.pause) == (10.0, 0.01)


def _pytest(url: str, emulator: RunningEmulator) -> subprocess.CompletedProcess[str]:
    folder = os.path.dirname(__file__)
    chosen = (
        "test_wire.py::test_a_create_is_answered_without_a_body_and_with_its_place",
        "test_wire.py::test_an_error_has_the_shape_of_the_service",
        "test_pools.py::test_a_pool_over_quota_is_refused",
    )
    tests = [os.path.join(folder, name) for name in chosen]
    account = {
        "AZURE_BATCH_URL": url,
        "AZURE_BATCH_ACCOUNT": emulator.account,
        "AZURE_BATCH_KEY": emulator.key,
        "AZURE_BATCH_PAUSE": "0",
    }
    command = [sys.executable, "-m", "pytest", "--azure", "-rs", "-p", "no:cacheprovider", "-q", *tests]
    return subprocess.run(
        command, env={**os.environ, **account}, capture_output=True, text=True, timeout=100, check=False
    )
