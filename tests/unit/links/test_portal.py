"""The link to the pool's page: stored while the task still waits, and never a reason to fail."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.links.pool_page import BatchLinuxPoolPageLink
from airflow_provider_batchlinux.links.portal import (
    BatchLinuxJobLink,
    BatchLinuxNodeLink,
    BatchLinuxPoolLink,
    BatchLinuxPortalLink,
)
from airflow_provider_batchlinux.operators.node_users import BatchLinuxRemoveNodeUsersOperator
from airflow_provider_batchlinux.operators.nodes import BatchLinuxStartNodesOperator
from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from airflow_provider_batchlinux.sensors.pool import BatchLinuxPoolGoneSensor, BatchLinuxPoolSteadySensor
from tests.airflow_harness import ExecutionApi, run_task
from tests.conftest import set_connection
from tests.unit.commands import operator

LINK = BatchLinuxPoolLink().xcom_key
ACCOUNT = (
    "https://portal.azure.com/#@/resource/subscriptions/1234/resourceGroups/flights%20group"
    "/providers/Microsoft.Batch/batchAccounts/batchlinux"
)
PAGES: dict[type[BatchLinuxPortalLink], str] = {
    BatchLinuxPoolLink: f"{ACCOUNT}/pools/etl",
    BatchLinuxNodeLink: f"{ACCOUNT}/pools/etl/nodes",
    BatchLinuxJobLink: f"{ACCOUNT}/jobs",
}
POOL, NODES = [BatchLinuxPoolLink], [BatchLinuxPoolLink, BatchLinuxNodeLink]
PAGE = BatchLinuxPoolPageLink().xcom_key


def user(cls: Any, **options: Any) -> Any:
    return cls(task_id="user", pool_id="etl", username="nora", **options)


def links_of(task: Any) -> list[type[BatchLinuxPortalLink]]:
    page, *portal = [type(link) for link in task.operator_extra_links]
    assert page is BatchLinuxPoolPageLink
    return portal


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


def delete(**options: Any) -> BatchLinuxDeletePoolOperator:
    return BatchLinuxDeletePoolOperator(task_id="delete", pool_id="etl", **options)


def sensor(cls: Any, **options: Any) -> Any:
    return cls(task_id="wait", **{"pool_id": "etl", "deferrable": True, **options})


@pytest.mark.usefixtures("azure")
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(create, id="create pool"),
        pytest.param(lambda: operator("true"), id="task"),
        pytest.param(delete, id="delete pool"),
        pytest.param(lambda: BatchLinuxStartNodesOperator(task_id="start", pool_id="etl"), id="nodes"),
        pytest.param(lambda: user(BatchLinuxRemoveNodeUsersOperator), id="users"),
        pytest.param(lambda: sensor(BatchLinuxNodesIdleSensor), id="nodes idle"),
        pytest.param(lambda: sensor(BatchLinuxPoolSteadySensor), id="pool steady"),
        pytest.param(lambda: sensor(BatchLinuxPoolGoneSensor), id="pool gone"),
    ],
)
def test_the_link_is_stored_before_the_service_is_called(make):
    run = run_task(make())

    assert run.state == "failed"
    for link in links_of(make()):
        assert run.xcoms[link().xcom_key] == PAGES[link]


@pytest.mark.usefixtures("account")
def test_an_account_outside_azure_has_no_page():
    run, command = run_task(create()), run_task(operator("true", deferrable=True))

    assert run.state == "success"
    assert run.xcoms[LINK] == ""
    assert [command.xcoms[link().xcom_key] for link in PAGES] == ["", "", ""]
    assert "XCom not found" not in run.log


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("connections", "base_url", "address"),
    [
        ("", "http://localhost:8080", ""),
        ("another", "http://localhost:8080", ""),
        ("azure_batch_linux_default", "http://localhost:8080", "/batch-pools/pool?"),
        ("a, azure_batch_linux_default", "https://example.org/air/flow/", "/air/flow/batch-pools/pool?"),
    ],
)
def test_the_pool_in_airflow_is_linked_if_the_page_shows_its_account(
    connections, base_url, address, monkeypatch
):
    monkeypatch.setenv("AIRFLOW__BATCH_LINUX__UI_CONNECTIONS", connections)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    query = "conn=azure_batch_linux_default&pool=etl"

    for run in (run_task(create()), run_task(sensor(BatchLinuxPoolSteadySensor))):
        assert run.xcoms[PAGE] == (address and f"{address}{query}")


@pytest.mark.usefixtures("azure")
def test_a_store_that_refuses_the_link_does_not_change_how_the_task_ends():
    stored = run_task(create())
    refused = run_task(create(), api=ExecutionApi(refusals=1))

    assert refused.message == stored.message
    assert "The link 'Pool in Airflow' of pool 'etl' could not be stored." in refused.log
    assert not refused.xcoms[PAGE]


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("pool_id", ["", None, "None", "a/b"])
def test_a_sensor_of_no_pool_fails_for_that_and_not_for_its_link(pool_id):
    run = run_task(sensor(BatchLinuxNodesIdleSensor, pool_id=pool_id))

    assert f"pool_id={pool_id!r}" in run.message


@pytest.mark.parametrize("never_fail", [True, False])
def test_a_connection_that_is_wrong_is_told_by_the_look_and_not_by_the_link(never_fail, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", raising=False)

    run = run_task(sensor(BatchLinuxNodesIdleSensor, never_fail=never_fail))

    assert run.state == ("skipped" if never_fail else "failed")


@pytest.mark.usefixtures("account")
def test_a_pool_that_is_kept_has_its_link():
    run = run_task(delete(keep_on_failure=60), api=ExecutionApi(task_states={"work": "failed"}))

    assert LINK in run.xcoms


def test_each_task_offers_the_links_that_it_has():
    sensors = (BatchLinuxNodesIdleSensor, BatchLinuxPoolSteadySensor, BatchLinuxPoolGoneSensor)
    for task in (create(), delete(), *map(sensor, sensors)):
        assert links_of(task) == POOL
    assert links_of(user(BatchLinuxRemoveNodeUsersOperator)) == NODES
    assert links_of(operator("true")) == [BatchLinuxPoolLink, BatchLinuxJobLink, BatchLinuxNodeLink]


@pytest.mark.parametrize(
    ("endpoint", "portal"),
    [
        ("https://a.eu.batch.azure.com", "https://portal.azure.com/"),
        ("https://a.eu.batch.usgovcloudapi.net", "https://portal.azure.us/"),
        ("https://a.eu.batch.chinacloudapi.cn", "https://portal.azure.cn/"),
    ],
)
@pytest.mark.parametrize("link", PAGES)
def test_without_the_account_s_place_each_link_leads_to_the_list_of_accounts(link, endpoint, portal):
    page = link.page_of(endpoint, "a", "etl", subscription_id=None, resource_group="g")

    assert page == f"{portal}#browse/Microsoft.Batch%2FbatchAccounts"
