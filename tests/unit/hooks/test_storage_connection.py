"""Connections to Azure Storage in the forms that Airflow's own hooks take."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.client.transport.account import AuthKind
from airflow_provider_batchlinux.hooks._storage_connection import read_storage_settings

URL = "https://fabrikam.blob.core.windows.net"
ENTRA = {"host": "fabrikam.blob.core.windows.net", "login": "app", "password": "s3cret"}


def read(
    *, login: str | None = None, password: str | None = None, host: str | None = None, **extra: Any
) -> Any:
    return read_storage_settings("files", login=login, password=password, host=host, extra=extra)


@pytest.mark.parametrize(
    ("connection", "url", "key", "sas"),
    [
        pytest.param({"login": "fabrikam", "password": "a2V5"}, URL, "a2V5", None, id="name and key"),
        pytest.param({"host": f"{URL}/", "password": "a2V5"}, URL, "a2V5", None, id="URL and key"),
        pytest.param(
            {"host": "fabrikam.dfs.core.windows.net", "password": "a2V5"},
            URL,
            "a2V5",
            None,
            id="data lake host",
        ),
        pytest.param(
            {"login": "fabrikam", "shared_access_key": "a2V5"}, URL, "a2V5", None, id="key in the extra"
        ),
        pytest.param(
            {"login": "fabrikam", "extra__wasb__shared_access_key": "a2V5"}, URL, "a2V5", None, id="old name"
        ),
        pytest.param(
            {"account_name": "fabrikam", "account_key": "a2V5"},
            URL,
            "a2V5",
            None,
            id="as the file system has it",
        ),
        pytest.param({"login": "fabrikam", "sas_token": "?sv=1&sig=x"}, URL, None, "sv=1&sig=x", id="SAS"),
        pytest.param({"sas_token": f"{URL}/?sv=1&sig=x"}, URL, None, "sv=1&sig=x", id="SAS with URL"),
        pytest.param(
            {"connection_string": "AccountName=fabrikam;AccountKey=a2V5==;EndpointSuffix=core.windows.net"},
            URL,
            "a2V5==",
            None,
            id="connection string",
        ),
        pytest.param(
            {"connection_string": f"BlobEndpoint={URL};SharedAccessSignature=sv=1&sig=x"},
            URL,
            None,
            "sv=1&sig=x",
            id="connection string with SAS",
        ),
    ],
)
def test_a_key_or_sas_is_found_where_airflow_has_it(
    connection: dict[str, Any], url: str, key: str | None, sas: str | None
) -> None:
    settings = read(**connection)

    assert (settings.account.endpoint, settings.account.account_name) == (url, "fabrikam")
    assert (settings.account.auth, settings.account.account_key, settings.sas) == (
        AuthKind.SHARED_KEY,
        key,
        sas,
    )
    assert "a2V5" not in repr(settings)
    assert "sig=x" not in repr(settings)


def test_an_identity_of_entra_is_an_application_or_that_of_the_worker() -> None:
    application = read(**ENTRA, tenant_id="t").account
    of_worker = read(login="fabrikam", managed_identity_client_id="c").account

    assert (application.auth, application.tenant_id) == (AuthKind.CLIENT_SECRET, "t")
    assert (application.client_id, application.client_secret) == ("app", "s3cret")
    assert (of_worker.auth, of_worker.client_id, of_worker.endpoint) == (AuthKind.DEFAULT, "c", URL)


@pytest.mark.parametrize(
    ("connection", "problem"),
    [
        ({"password": "a2V5"}, "it names no account"),
        ({"login": "app", "password": "s3cret", "tenant_id": "t"}, "it names no account"),
        ({"host": URL, "login": "app", "tenant_id": "t"}, "with tenant_id it needs its secret as password"),
        (
            {"host": "http://fabrikam.blob.core.windows.net", "password": "a2V5"},
            "is not encrypted: use https",
        ),
        ({"host": "http://127.0.0.1:1/a"}, "is not encrypted: use https"),
        ({"connection_string": "AccountName=fabrikam"}, "has neither AccountKey nor SharedAccessSignature"),
    ],
)
def test_what_is_missing_is_named(connection: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        read(**connection)

    assert "s3cret" not in str(raised.value)
