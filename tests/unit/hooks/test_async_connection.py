"""Connections that triggers read where Airflow can be asked only synchronously."""

from __future__ import annotations

import asyncio
from threading import Barrier, BrokenBarrierError

import pytest
from airflow.providers.common.compat.sdk import BaseHook
from airflow.sdk.execution_time import task_runner

from airflow_provider_batchlinux.hooks._async_connection import async_connection


def test_triggers_in_one_process_ask_airflow_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """In ``airflow dags test``. Two questions at once may get each other's answers."""
    both = Barrier(2)

    def ask(conn_id: str) -> str:
        with pytest.raises(BrokenBarrierError):
            both.wait(0.1)
        return conn_id

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", object(), raising=False)
    monkeypatch.setattr(BaseHook, "get_connection", ask)

    async def read() -> list[object]:
        return list(await asyncio.gather(async_connection("one"), async_connection("two")))

    assert asyncio.run(read()) == ["one", "two"]
