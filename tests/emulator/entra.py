"""Identities of the local Entra tenant, as Azure's own credentials."""

from __future__ import annotations

from typing import Any

from azure.identity import ClientSecretCredential

from airflow_provider_batchlinux.emulator import RunningEmulator

__all__ = ["credential"]


def credential(emulator: RunningEmulator, kind: Any = ClientSecretCredential, *, reader: bool = False) -> Any:
    """
    Give the credential of an application of the tenant.

    :param kind: the class of the credential, synchronous or asynchronous.
    :param reader: whether it is the application that may only read.
    """
    facts = emulator.identity
    assert facts is not None
    who = (
        (facts.reader_client_id, facts.reader_client_secret)
        if reader
        else (facts.client_id, facts.client_secret)
    )
    return kind(
        facts.tenant_id,
        *who,
        authority=facts.authority,
        disable_instance_discovery=True,
        connection_verify=str(emulator.ca),
    )
