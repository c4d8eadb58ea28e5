"""The embedded Batch service as a process of its own, and the way to it for Airflow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Service", "embedded_service"]


@dataclass(frozen=True)
class Service:
    """A running embedded service; ``root`` holds its nodes' directories while it runs."""

    endpoint: str
    account: str
    key: str
    root: Path
    process: subprocess.Popen[str]

    def connection(self) -> str:
        """Give the Airflow connection as JSON."""
        extra = {"account_url": self.endpoint, "retry_budget": 30}
        fields = {"conn_type": "azure_batch_linux", "login": self.account, "password": self.key}
        return json.dumps({**fields, "extra": extra})

    def node_directories(self) -> list[Path]:
        """List what lies in the nodes' root."""
        return list(self.root.rglob("tvmps_*"))


@contextmanager
def embedded_service(root: Path, *, speed: float) -> Iterator[Service]:
    """
    Serve until the block ends.

    :param root: where the nodes' directories are made.
    :param speed: how many times faster than Azure the nodes come.
    """
    root.mkdir()
    module = "airflow_provider_batchlinux.emulator"
    options = ["--port", "0", "--profile", "realistic", "--speed", str(speed), "--root", str(root)]
    command = [sys.executable, "-m", module, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline().removeprefix("ready "))
            yield Service(ready["endpoint"], ready["account"], ready["key"], root, process)
        finally:
            process.terminate()
