"""What several tests of operators and triggers start from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from tests.airflow_harness import RUN_ID
from tests.batch_account import BatchAccount
from tests.unit.commands import Loop, Runs
from tests.unit.storage import Storage


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """Give a command that is let go at the end in any case."""
    loop = Loop(tmp_path)
    yield loop
    loop.go.touch()


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Give a record of which commands have run."""
    return Runs(tmp_path)


@pytest.fixture(scope="session")
def key() -> asyncssh.SSHKey:
    """Give a key pair."""
    return asyncssh.generate_private_key("ssh-ed25519", comment="tester")


@pytest.fixture(scope="session")
def public_key(key: asyncssh.SSHKey) -> str:
    """Give the public half as one line."""
    return key.export_public_key().decode()


@pytest.fixture
def tasks_are(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give a way to set what the API server answers for the states of tasks that are asked for."""

    def set_states(**states: str | None) -> None:
        def get_task_states(*, task_ids: list[str], **_asked: Any) -> dict[str, dict[str, str | None]]:
            return {RUN_ID: {name: state for name, state in states.items() if name in task_ids}}

        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(get_task_states))

    return set_states


@pytest.fixture
def storage(account: BatchAccount, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """Give the storage account, reached by key, with a pool that has an idle node."""
    account.idle_pool(1)
    storage = Storage(account, monkeypatch)
    storage.connect(login="batchlinuxstorage", password=storage.key)
    return storage
