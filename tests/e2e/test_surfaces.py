"""What an ops team sees of the provider in the UI and the API, apart from runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.account import Account
from tests.e2e.conftest import Secrets
from tests.e2e.rest import AirflowApi

CONN_TYPE = "azure_batch_linux"


@pytest.fixture
def connection(account: Account) -> dict[str, Any]:
    """Give a connection as the form in the UI sends it."""
    fields = json.loads(account.service.connection())
    return {**fields, "connection_id": "tried_in_the_form", "extra": json.dumps(fields["extra"])}


def test_the_provider_is_listed(api: AirflowApi):
    listed = api.get("/api/v2/providers", limit=200)["providers"]

    assert [entry for entry in listed if entry["package_name"] == "airflow-provider-batchlinux"]


def test_the_connection_form_has_the_fields_of_the_provider(api: AirflowApi):
    [form] = [meta for meta in api.get("/ui/connections/hook_meta") if meta["connection_type"] == CONN_TYPE]

    assert form["hook_name"] == "Azure Batch (Linux)"
    assert form["standard_fields"]["login"]["title"] == "Batch account name"
    assert form["standard_fields"]["host"]["title"] == "Account URL"
    assert {"auth", "client_secret", "retry_budget"} <= set(form["extra_fields"])


def test_a_good_connection_is_tested_with_success(
    api: AirflowApi, account: Account, connection: dict[str, Any]
):
    answer = api.send("POST", "/api/v2/connections/test", connection)

    sentence = f"Connected to {account.service.endpoint} as shared_key."
    assert answer == {"status": True, "message": sentence}


def test_a_wrong_key_is_named_by_the_connection_test(
    api: AirflowApi, connection: dict[str, Any], hidden: Secrets
):
    answer = api.send("POST", "/api/v2/connections/test", {**connection, "password": hidden.wrong_key})

    assert answer["status"] is False
    assert "key" in answer["message"]
    assert hidden.wrong_key not in answer["message"]


def test_the_connection_test_names_an_address_without_a_server(api: AirflowApi, connection: dict[str, Any]):
    extra = json.dumps({"account_url": "http://127.0.0.1:9"})
    answer = api.send("POST", "/api/v2/connections/test", {**connection, "extra": extra})

    assert answer["status"] is False
    assert "No answer from the service" in answer["message"]
