"""A connection that reaches the management plane of an embedded service, for tests; knows no operator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_batchlinux.client.transport.account import AccountSettings
from airflow_provider_batchlinux.emulator import RunningEmulator
from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook

IDENTITY = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"
)


def connect(monkeypatch: pytest.MonkeyPatch, emulator: RunningEmulator, **more: Any) -> AccountSettings:
    """
    Put the default connection into the environment: an Entra identity that may do everything.

    :param more: changes of the connection's extra; ``None`` takes something out of it.
    """
    identity, management = emulator.identity, emulator.management
    assert identity is not None
    assert management is not None
    extra = {
        "account_url": emulator.endpoint,
        "ca_file": str(emulator.ca),
        "retry_budget": 0,
        "auth": "client_secret",
        "tenant_id": identity.tenant_id,
        "client_id": identity.client_id,
        "client_secret": identity.client_secret,
        "authority_host": identity.authority,
        "management_url": management.url,
        "subscription_id": management.subscription_id,
        "resource_group": management.resource_group,
        **more,
    }
    connection = {
        "conn_type": "azure_batch_linux",
        "login": emulator.account,
        "extra": {name: value for name, value in extra.items() if value is not None},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", json.dumps(connection))
    return BatchLinuxHook().settings()


def as_reader(emulator: RunningEmulator) -> dict[str, str]:
    """Give the extra of an identity that may only read."""
    assert emulator.identity is not None
    facts = emulator.identity
    return {"client_id": facts.reader_client_id, "client_secret": facts.reader_client_secret}
