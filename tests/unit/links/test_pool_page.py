"""Addresses of pages in the Azure portal."""

from __future__ import annotations

import pytest

from airflow_provider_batchlinux.links.portal import BatchLinuxPoolLink

PUBLIC = "https://etl.westeurope.batch.azure.com"


def page(
    endpoint: str = PUBLIC, subscription_id: str | None = "1234", resource_group: str | None = "data"
) -> str:
    return BatchLinuxPoolLink.page_of(
        endpoint, "etl", "nightly", subscription_id=subscription_id, resource_group=resource_group
    )


@pytest.mark.parametrize(
    ("endpoint", "portal"),
    [
        pytest.param(PUBLIC, "https://portal.azure.com/", id="public"),
        pytest.param("https://etl.chinaeast2.batch.chinacloudapi.cn", "https://portal.azure.cn/", id="china"),
        pytest.param(
            "https://etl.usgovvirginia.batch.usgovcloudapi.net", "https://portal.azure.us/", id="government"
        ),
        pytest.param("https://ETL.WestEurope.Batch.Azure.COM/", "https://portal.azure.com/", id="upper case"),
    ],
)
def test_every_cloud_has_its_own_portal(endpoint: str, portal: str) -> None:
    assert page(endpoint).startswith(portal)


def test_a_pools_page_is_found_by_its_resource_id() -> None:
    assert page() == (
        "https://portal.azure.com/#@/resource/subscriptions/1234/resourceGroups/data"
        "/providers/Microsoft.Batch/batchAccounts/etl/pools/nightly"
    )


@pytest.mark.parametrize(
    ("subscription", "group"),
    [
        pytest.param(None, "data", id="no subscription"),
        pytest.param("1234", None, id="no resource group"),
        pytest.param("", "", id="empty"),
    ],
)
def test_without_the_accounts_place_the_page_lists_batch_accounts(
    subscription: str | None, group: str | None
) -> None:
    listing = "https://portal.azure.com/#browse/Microsoft.Batch%2FbatchAccounts"

    assert page(subscription_id=subscription, resource_group=group) == listing


def test_a_name_cannot_leave_its_place_in_the_address() -> None:
    assert "/resourceGroups/a%2Fb%20c%3F/" in page(resource_group="a/b c?")


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param("http://127.0.0.1:8443", id="the embedded service"),
        pytest.param("https://batch.azure.com.example.org", id="a name that only begins like Azure's"),
        pytest.param("", id="none"),
    ],
)
def test_an_account_outside_azure_has_no_page(endpoint: str) -> None:
    assert page(endpoint) == ""
