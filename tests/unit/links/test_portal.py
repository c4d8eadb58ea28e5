"""The link to the pool's page: stored while the task still waits, and never a reason to fail."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.links.portal import BatchLinuxPoolLink
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from tests.airflow_harness import ExecutionApi, run_task
from tests.conftest import set_connection
from tests.unit.commands import operator

LINK = BatchLinuxPoolLink().xcom_key
PAGE = (
    "https://portal.azure.com/#@/resource/subscriptions/1234/resourceGroups/flights%20group"
    "/providers/Microsoft.Batch/batchAccounts/batchlinux/pools/etl"
)


@pytest.fixture
def azure(batch_emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead the default connection to an account in Azure, which is out of reach."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    extra: dict[str, Any] = {"subscription_id": "1234", "resource_group": "flights group", "retry_budget": 0}
    set_connection(monkeypatch, batch_emulator, account_url="https://batchlinux.eu.batch.azure.com", **extra)


def create() -> BatchLinuxCreatePoolOperator:
    return BatchLinuxCreatePoolOperator(
        task_id="create", pool_id="etl", image="ubuntu 24.04", vm_size="standard_d2s_v5"
    )


@pytest.mark.usefixtures("azure")
@pytest.mark.parametrize(
    "make", [pytest.param(create, id="create pool"), pytest.param(lambda: operator("true"), id="task")]
)
def test_the_link_is_stored_before_the_service_is_called(make):
    run = run_task(make())

    assert run.state == "failed"
    assert run.xcoms[LINK] == PAGE


@pytest.mark.usefixtures("account")
def test_an_account_outside_azure_has_no_page():
    run = run_task(create())

    assert run.state == "success"
    assert run.xcoms[LINK] == ""
    assert "XCom not found" not in run.log


@pytest.mark.usefixtures("azure")
def test_a_store_that_refuses_the_link_does_not_change_how_the_task_ends():
    stored = run_task(create())
    refused = run_task(create(), api=ExecutionApi(refusals=1))

    assert refused.message == stored.message
    assert "The link to pool 'etl' could not be stored." in refused.log
    assert not refused.xcoms[LINK]


def test_both_operators_offer_the_link():
    for task in (create(), operator("true")):
        assert [type(link) for link in task.operator_extra_links] == [BatchLinuxPoolLink]
