"""The storage account of the embedded service, and what its jobs and tasks show; knows no cases."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_batchlinux.emulator.blobs.client import BlobContainer
from tests.batch_account import BatchAccount


@dataclass(frozen=True)
class Storage:
    """The storage account of the embedded service, and a way to set the connection to it."""

    account: BatchAccount
    monkeypatch: pytest.MonkeyPatch

    @property
    def endpoint(self) -> str:
        return self.account.service.storage.endpoint

    @property
    def key(self) -> str:
        return self.account.service.storage.key

    def connect(self, conn_id: str = "wasb_default", conn_type: str = "wasb", **fields: Any) -> None:
        fields = {"host": self.endpoint, **fields}
        value = json.dumps({"conn_type": conn_type, **fields})
        self.monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", value)

    def container(self, name: str, **options: Any) -> BlobContainer:
        return self.account.control.container(name, **options)


def task_of(account: BatchAccount, job_id: str) -> dict[str, Any]:
    async def read(client: Any) -> dict[str, Any]:
        return dict((await client.sdk.get_task(job_id, "main")).as_dict())

    return account.hook.run(read)
