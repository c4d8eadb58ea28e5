"""What the owner of a running emulator needs first: variables for clients, and a text that shows them."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_batchlinux.emulator.connection import airflow_connection

if TYPE_CHECKING:
    from airflow_provider_batchlinux.emulator.server import RunningEmulator

KEY_VARIABLE = "BATCHLINUX_EMULATOR_KEY"
"""Environment variable with the account key. Only its owner and root see the environment of a process."""

_PORTS = {"port": "BATCHLINUX_EMULATOR_PORT", "blob_port": "BATCHLINUX_EMULATOR_BLOB_PORT"}
_GREETING = """\
The embedded Batch service serves account {account!r} at {endpoint}. Stop it with Ctrl+C.

Airflow:
  export AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT={connection}
  export AIRFLOW_CONN_WASB_DEFAULT={storage}
Azure CLI (az batch pool list):
  export AZURE_BATCH_ACCOUNT={account} AZURE_BATCH_ENDPOINT={endpoint}
  export AZURE_BATCH_ACCESS_KEY={key}
{bundle}{management}In a browser (the account, its nodes and tasks, the last requests):
  {status}
The requests that it has answered:
  curl{trust} --header 'Authorization: Bearer {token}' --json '{{}}' {endpoint}/_emulator/requests
"""
_MANAGEMENT = """\
Azure CLI with the management plane (az batch application list -g {group} -n {account}):
  az config set core.instance_discovery=false
  az cloud register --name batchlinux --endpoint-resource-manager {url}
  az cloud set --name batchlinux
  az login --service-principal --username {client} --password={secret} --tenant {tenant}
"""


def environment_of(emulator: RunningEmulator) -> dict[str, str]:
    """Return the variables with which clients find an emulator, and the next emulator its ports and key."""
    storage = emulator.storage
    environment = {
        "AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT": airflow_connection(
            emulator.endpoint, emulator.account, emulator.key, emulator.ca
        ),
        "AIRFLOW_CONN_WASB_DEFAULT": json.dumps(
            {"conn_type": "wasb", "host": storage.endpoint, "password": storage.key}
        ),
        "AZURE_BATCH_ACCOUNT": emulator.account,
        "AZURE_BATCH_ENDPOINT": emulator.endpoint,
        "AZURE_BATCH_ACCESS_KEY": emulator.key,
        "AZURE_STORAGE_CONNECTION_STRING": (
            f"DefaultEndpointsProtocol=http;AccountName={storage.account};AccountKey={storage.key};"
            f"BlobEndpoint={storage.endpoint};"
        ),
        KEY_VARIABLE: emulator.key,
        "BATCHLINUX_EMULATOR_CONTROL_TOKEN": emulator.control_token,
        _PORTS["port"]: str(urlsplit(emulator.endpoint).port),
        _PORTS["blob_port"]: str(urlsplit(storage.endpoint).port),
    }
    if emulator.ca is not None and emulator.identity is not None:
        identity = emulator.identity
        environment |= {
            "BATCHLINUX_EMULATOR_CA": str(emulator.ca),
            "AZURE_AUTHORITY_HOST": identity.authority,
            "AZURE_TENANT_ID": identity.tenant_id,
            "AZURE_CLIENT_ID": identity.client_id,
            "AZURE_CLIENT_SECRET": identity.client_secret,
        }
    if emulator.management is not None:
        management = emulator.management
        environment |= {
            "AZURE_SUBSCRIPTION_ID": management.subscription_id,
            "BATCHLINUX_EMULATOR_MANAGEMENT_URL": management.url,
            "BATCHLINUX_EMULATOR_RESOURCE_GROUP": management.resource_group,
        }
    return environment


def greeting(emulator: RunningEmulator) -> str:
    """Return what a person needs to use an emulator, ready to be pasted into a shell."""
    environment = environment_of(emulator)
    scheme, _, host = emulator.endpoint.partition("://")
    management = ""
    if emulator.management is not None and emulator.identity is not None:
        management = _MANAGEMENT.format(
            group=emulator.management.resource_group,
            account=emulator.account,
            url=emulator.management.url,
            client=emulator.identity.client_id,
            secret=shlex.quote(emulator.identity.client_secret),
            tenant=emulator.identity.tenant_id,
        )
    ca = "" if emulator.ca is None else shlex.quote(str(emulator.ca))
    return _GREETING.format(
        bundle=f"  export REQUESTS_CA_BUNDLE={ca}\n" if ca else "",
        management=management,
        account=emulator.account,
        endpoint=emulator.endpoint,
        key=emulator.key,
        token=emulator.control_token,
        status=f"{scheme}://emulator:{emulator.control_token}@{host}/_emulator/status",
        connection=shlex.quote(environment["AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT"]),
        storage=shlex.quote(environment["AIRFLOW_CONN_WASB_DEFAULT"]),
        trust=f" --cacert {ca}" if ca else "",
    )


def write_environment(path: Path, environment: Mapping[str, str]) -> None:
    """Write variables to a file that a shell can read with ``.``, readable only by this user."""
    # Created again: an existing file may be a link, or be readable by others.
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


def kept_settings(path: Path) -> dict[str, str | int]:
    """
    Return the ports and the key that an earlier emulator has written; empty without such a file.

    :raises ValueError: the file was not written by an emulator.
    """
    if not path.exists():
        return {}
    words = shlex.split(path.read_text(encoding="utf-8"))
    found = dict(word.partition("=")[::2] for word in words if word != "export")
    try:
        return {"key": found[KEY_VARIABLE], **{name: int(found[of]) for name, of in _PORTS.items()}}
    except (KeyError, ValueError):
        msg = f"write_env is {str(path)!r}, but this file was not written by batchlinux-emulator."
        raise ValueError(msg) from None
