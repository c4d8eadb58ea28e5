"""From the fields of an Airflow connection to account settings."""

from __future__ import annotations

import re
from typing import Any

import pytest

from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.hooks._account_connection import settings_of

URL = "https://etl.westeurope.batch.azure.com"
KEY = "c2VjcmV0LWtleQ=="


def read(
    extra: dict[str, Any] | None = None,
    *,
    login: str | None = "etl",
    password: str | None = KEY,
    host: str | None = None,
    port: int | None = None,
) -> AccountSettings:
    found = {"account_url": URL} if extra is None else extra
    return settings_of(login=login, password=password, host=host, port=port, extra=found)


def test_a_connection_of_airflows_own_kind_is_read_unchanged() -> None:
    assert read() == AccountSettings(URL, "etl", AuthKind.SHARED_KEY, account_key=KEY)


def test_every_field_of_the_form_is_read() -> None:
    settings = read(
        {
            "account_url": f"{URL}/",
            "auth": "client_secret",
            "tenant_id": "tenant",
            "client_id": "client",
            "client_secret": "s3cret",
            "subscription_id": "1234",
            "resource_group": "data",
            "management_url": "https://management.usgovcloudapi.net/",
            "id_prefix": "prod",
            "retry_budget": "60",
        },
        password=None,
    )

    assert settings == AccountSettings(
        endpoint=URL,
        account_name="etl",
        auth=AuthKind.CLIENT_SECRET,
        tenant_id="tenant",
        client_id="client",
        client_secret="s3cret",
        subscription_id="1234",
        resource_group="data",
        management_url="https://management.usgovcloudapi.net",
        id_prefix="prod",
        retry_budget=60.0,
    )


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"account_url": f" {URL} "}, id="with blanks around it"),
        pytest.param({"extra__azure_batch__account_url": URL}, id="from an old form of Airflow's own"),
        pytest.param({"extra__azure_batch_linux__account_url": URL}, id="from an old form of ours"),
        pytest.param(
            {"account_url": "", "extra__azure_batch__account_url": URL}, id="next to an empty field"
        ),
        pytest.param({"account_url": URL, "something_else": {"a": 1}}, id="next to a field of others"),
    ],
)
def test_the_accounts_url_is_found(extra: dict[str, Any]) -> None:
    assert read(extra).endpoint == URL


@pytest.mark.parametrize(
    ("host", "port", "endpoint"),
    [
        pytest.param("etl.westeurope.batch.azure.com", None, URL, id="a host"),
        pytest.param("etl.westeurope.batch.azure.com", 8443, f"{URL}:8443", id="a host and a port"),
        pytest.param("http://127.0.0.1", 8443, "http://127.0.0.1:8443", id="a scheme, a host and a port"),
        pytest.param(f"{URL}/", None, URL, id="a whole URL"),
    ],
)
def test_the_host_of_a_connection_uri_is_the_accounts_url(host: str, port: int | None, endpoint: str) -> None:
    assert read({}, host=host, port=port).endpoint == endpoint


def test_the_accounts_url_goes_before_the_host() -> None:
    assert read(host="other.westeurope.batch.azure.com", port=1).endpoint == URL


def test_the_accounts_name_is_taken_from_its_url_where_no_login_is_given() -> None:
    assert read(login=None).account_name == "etl"


@pytest.mark.parametrize("end", ["\n", "\r\n", " ", "\t"])
def test_blanks_and_line_ends_around_login_and_key_are_dropped(end: str) -> None:
    assert read(login=f"etl{end}", password=f"{KEY}{end}") == read()


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param("http://127.0.0.1:8443", id="an address"),
        pytest.param("https://proxy.example.org", id="a host of another form"),
    ],
)
def test_no_name_is_made_up_from_a_url_that_does_not_hold_it(endpoint: str) -> None:
    with pytest.raises(ValueError, match=re.escape("auth='shared_key' needs account_name.")):
        read({"account_url": endpoint}, login=None)


@pytest.mark.parametrize(
    ("extra", "password", "auth"),
    [
        pytest.param({}, KEY, AuthKind.SHARED_KEY, id="a key"),
        pytest.param({}, f" {KEY}\n", AuthKind.SHARED_KEY, id="a key with blanks around it"),
        pytest.param({}, None, AuthKind.DEFAULT, id="no key"),
        pytest.param({}, " ", AuthKind.DEFAULT, id="an empty key"),
        pytest.param({"auth": "managed_identity"}, None, AuthKind.MANAGED_IDENTITY, id="managed identity"),
        pytest.param({"auth": "workload_identity"}, None, AuthKind.WORKLOAD_IDENTITY, id="workload identity"),
        pytest.param({"auth": "default"}, KEY, AuthKind.DEFAULT, id="named, and a key"),
    ],
)
def test_the_way_to_authenticate_is_the_one_named_or_the_one_that_fits(
    extra: dict[str, Any], password: str | None, auth: AuthKind
) -> None:
    assert read({"account_url": URL, **extra}, password=password).auth is auth


@pytest.mark.parametrize(
    ("extra", "tenant_id", "client_id"),
    [
        pytest.param({"managed_identity_client_id": "c"}, None, "c", id="a managed identity"),
        pytest.param({"workload_identity_tenant_id": "t"}, "t", None, id="a workload identity"),
        pytest.param(
            {"client_id": "own", "managed_identity_client_id": "c"}, None, "own", id="our own field first"
        ),
    ],
)
def test_the_identity_fields_of_airflows_own_connection_are_read(
    extra: dict[str, str], tenant_id: str | None, client_id: str | None
) -> None:
    settings = read({"account_url": URL, **extra}, password=None)

    assert (settings.tenant_id, settings.client_id) == (tenant_id, client_id)


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        pytest.param({}, "account_url='' is not a URL", id="no URL"),
        pytest.param(
            {"account_url": URL, "auth": "magic"}, "auth='magic' is not one of shared_key", id="auth"
        ),
        pytest.param({"account_url": URL, "retry_budget": "5m"}, "retry_budget='5m' is not a", id="budget"),
        pytest.param(
            {"account_url": URL, "retry_budget": -1}, "retry_budget=-1.0 is not a", id="less than none"
        ),
        pytest.param(
            {"account_url": URL, "management_url": "http://x"},
            "management_url='http://x' is not a URL such as https://management.usgovcloudapi.net.",
            id="a management plane without TLS",
        ),
        pytest.param(
            {"account_url": URL, "management_url": "https://me:s3cret@x"},
            "management_url holds a user name or password",
            id="a management plane with a password",
        ),
        pytest.param({"account_url": URL, "id_prefix": "ü"}, "id_prefix='ü' is not", id="prefix"),
    ],
)
def test_a_connection_that_cannot_work_is_refused(extra: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        read(extra)


def test_all_problems_of_a_connection_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"(?s)auth=.*retry_budget=.*account_url=") as refused:
        read({"auth": "magic", "retry_budget": "5m"})

    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("extra", "password"),
    [
        pytest.param({"account_url": "no url"}, "s3cret!", id="a key that is not base64"),
        pytest.param({"auth": "client_secret", "client_secret": "s3cret"}, None, id="a client secret"),
        pytest.param({"account_url": "https://etl:s3cret@host"}, KEY, id="a password in the URL"),
    ],
)
def test_no_secret_is_repeated_in_a_refusal(extra: dict[str, Any], password: str | None) -> None:
    with pytest.raises(ValueError, match=r".+") as refused:
        read(extra, password=password)

    assert "s3cret" not in str(refused.value)
