"""The embedded Batch service as a process of its own, and the ways to it; knows no test."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.emulator import EmulatorControl, airflow_connection

__all__ = ["Service", "embedded_service"]


@dataclass(frozen=True)
class Service:
    """
    A running embedded service.

    :param storage: endpoint, account and key of its storage account.
    :param root: holds its nodes' directories while it runs.
    """

    endpoint: str
    account: str
    key: str
    control_token: str
    storage: dict[str, str]
    root: Path | None
    process: subprocess.Popen[str]

    @property
    def settings(self) -> AccountSettings:
        """How the client reaches the account; it gives up after ten seconds of failures."""
        return AccountSettings(
            self.endpoint, self.account, AuthKind.SHARED_KEY, account_key=self.key, retry_budget=10.0
        )

    @property
    def control(self) -> EmulatorControl:
        """What happens to the account from the outside."""
        return EmulatorControl(self.endpoint, self.control_token)

    def connection(self) -> str:
        """Give the Airflow connection as JSON."""
        return airflow_connection(self.endpoint, self.account, self.key, retry_budget=30)

    def storage_connection(self) -> str:
        """Give the Airflow connection to its storage account as JSON."""
        account = self.storage
        return json.dumps({"conn_type": "wasb", "host": account["endpoint"], "password": account["key"]})

    def node_directories(self) -> list[Path]:
        """List what lies in the nodes' root."""
        return [] if self.root is None else list(self.root.rglob("tvmps_*"))


@contextmanager
def embedded_service(root: Path | None = None, **options: object) -> Iterator[Service]:
    """
    Serve until the block ends.

    :param root: where the nodes' directories are made; ``None`` takes the system's place for such.
    :param options: further ones of the command, such as ``speed``.
    """
    if root is not None:
        root.mkdir()
        options["root"] = root
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "airflow_provider_batchlinux.emulator", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline().removeprefix("ready "))
            told = {name: ready[name] for name in ("endpoint", "account", "key", "control_token", "storage")}
            yield Service(**told, root=root, process=process)
        finally:
            process.terminate()
