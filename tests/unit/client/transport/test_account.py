"""A Batch account and how to prove who we are to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind

KEY = "c2VjcmV0LWtleQ=="
SETTINGS = AccountSettings(
    "https://etl.westeurope.batch.azure.com", "etl", AuthKind.SHARED_KEY, account_key=KEY
)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="a shared key"),
        pytest.param({"endpoint": "http://127.0.0.1:8443"}, id="an embedded service"),
        pytest.param({"endpoint": "https://[::1]:8443"}, id="an address of version 6"),
        pytest.param({"auth": AuthKind.DEFAULT, "account_key": None}, id="the default identity"),
        pytest.param({"auth": AuthKind.MANAGED_IDENTITY, "account_key": None}, id="a managed identity"),
        pytest.param({"auth": AuthKind.WORKLOAD_IDENTITY, "account_key": None}, id="a workload identity"),
        pytest.param(
            {
                "auth": AuthKind.CLIENT_SECRET,
                "account_key": None,
                "tenant_id": "t",
                "client_id": "c",
                "client_secret": "s3cret",
            },
            id="a client secret",
        ),
        pytest.param({"auth": AuthKind.DEFAULT, "account_key": "not used"}, id="a key that is not used"),
        pytest.param({"retry_budget": 0.0}, id="no second try"),
        pytest.param({"id_prefix": "a" * 16}, id="a long prefix"),
    ],
)
def test_settings_that_can_work_have_no_problems(changes: dict[str, Any]) -> None:
    assert replace(SETTINGS, **changes).problems() == []


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        pytest.param({"account_name": ""}, ["auth='shared_key' needs account_name."], id="no account name"),
        pytest.param({"account_key": None}, ["auth='shared_key' needs account_key."], id="no key"),
        pytest.param(
            {"account_key": "c2VjcmV0LWtleQ"},
            ["The account key is not base64; copy one of the two access keys whole."],
            id="a key that was cut off",
        ),
        pytest.param(
            {"auth": AuthKind.CLIENT_SECRET},
            [f"auth='client_secret' needs {name}." for name in ("tenant_id", "client_id", "client_secret")],
            id="no client secret",
        ),
        pytest.param(
            {"retry_budget": -1.0},
            ["retry_budget=-1.0 is not a number of seconds from 0 up."],
            id="less than no budget",
        ),
        pytest.param(
            {"retry_budget": float("nan")},
            ["retry_budget=nan is not a number of seconds from 0 up."],
            id="a budget that is no number",
        ),
        pytest.param(
            {"id_prefix": "a.b"},
            ["id_prefix='a.b' is not 1 to 16 letters, digits, '-' or '_'."],
            id="a prefix that no id can have",
        ),
    ],
)
def test_settings_that_cannot_work_are_named(changes: dict[str, Any], problems: list[str]) -> None:
    assert replace(SETTINGS, **changes).problems() == problems


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param("", id="empty"),
        pytest.param("etl.westeurope.batch.azure.com", id="no scheme"),
        pytest.param("ftp://etl.westeurope.batch.azure.com", id="another scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("https://etl:port", id="a port that is no number"),
        pytest.param("https://etl:99999", id="a port out of range"),
        pytest.param("https://[::1", id="an open bracket"),
        pytest.param("https://etl:0", id="port 0"),
        pytest.param("https://et\nl", id="a line end within"),
        pytest.param("https://et l", id="a blank within"),
        pytest.param("https://etl\\other", id="a backslash"),
    ],
)
def test_an_endpoint_that_is_no_url_is_named(endpoint: str) -> None:
    assert replace(SETTINGS, endpoint=endpoint).problems() == [
        f"account_url={endpoint!r} is not a URL such as https://name.region.batch.azure.com."
    ]


@pytest.mark.parametrize("scheme", ["https://", "HTTPS://"])
@pytest.mark.parametrize("rest", ["/pools", "//", "/?sig=s3cret", "?sig=s3cret", "#s3cret", "/%20", "?"])
def test_more_than_an_address_is_refused_and_not_repeated(scheme: str, rest: str) -> None:
    [problem] = replace(SETTINGS, endpoint=f"{scheme}etl.example.org:8443{rest}").problems()

    assert problem == f"account_url has more than the address: use {scheme}etl.example.org:8443."


def test_the_query_of_what_is_no_url_is_not_repeated() -> None:
    [problem] = replace(SETTINGS, endpoint="etl.example.org/?sig=s3cret").problems()

    assert "account_url='etl.example.org/' is not a URL" in problem


@pytest.mark.parametrize("name", ["et l", "etl\n", "étl", "etl/x"])
def test_a_login_that_is_no_account_name_is_named(name: str) -> None:
    [problem] = replace(SETTINGS, account_name=name).problems()

    assert problem == f"login={name!r} is not the name of a Batch account: letters and digits."


@given(st.text())
def test_any_endpoint_is_judged_and_none_breaks_the_judgement(endpoint: str) -> None:
    assert len(replace(SETTINGS, endpoint=endpoint).problems()) <= 1


def test_all_problems_are_named_at_once() -> None:
    settings = AccountSettings("", "", AuthKind.SHARED_KEY, id_prefix="", retry_budget=-1)

    assert len(settings.problems()) == 5


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"account_key": "s3cret"}, id="an account key"),
        pytest.param({"client_secret": "s3cret"}, id="a client secret"),
        pytest.param({"auth": AuthKind.CLIENT_SECRET, "client_secret": "s3cret"}, id="one that is used"),
    ],
)
def test_no_secret_is_shown(changes: dict[str, Any]) -> None:
    settings = replace(SETTINGS, **changes)

    assert "s3cret" not in f"{settings} {settings!r} {settings.problems()}"


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param("https://etl:s3cret@etl.westeurope.batch.azure.com", id="in a URL"),
        pytest.param("etl:s3cret@etl.westeurope.batch.azure.com", id="without a scheme"),
        pytest.param("https://etl:s3cret@[", id="in what is no URL"),
    ],
)
def test_a_password_in_the_endpoint_is_refused_and_not_repeated(endpoint: str) -> None:
    assert replace(SETTINGS, endpoint=endpoint).problems() == [
        "account_url holds a user name or password; give the address alone."
    ]


@pytest.mark.parametrize(
    ("endpoint", "scope"),
    [
        ("https://etl.westeurope.batch.azure.com", "https://batch.core.windows.net//.default"),
        (
            "https://ETL.usgovvirginia.batch.USGovCloudAPI.net",
            "https://batch.core.usgovcloudapi.net//.default",
        ),
        ("https://etl.chinaeast2.batch.chinacloudapi.cn.", "https://batch.chinacloudapi.cn//.default"),
        ("https://127.0.0.1:8443", "https://batch.core.windows.net//.default"),
    ],
)
def test_tokens_are_for_the_cloud_of_the_account(endpoint: str, scope: str) -> None:
    assert replace(SETTINGS, endpoint=endpoint).token_scope == scope
