"""What the tests of reliability start from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.batch_account import BatchAccount
from tests.conftest import set_connection
from tests.faults import Door, ScenarioClock


@pytest.fixture
def scenario(monkeypatch: pytest.MonkeyPatch) -> ScenarioClock:
    """Give the clock of all retries, which only their own waits move."""
    clock = ScenarioClock()
    clock.rule_retries(monkeypatch)
    return clock


@pytest.fixture
def patient_account(account: BatchAccount, monkeypatch: pytest.MonkeyPatch) -> BatchAccount:
    """Give an empty account, and a connection with the default retry budget."""
    set_connection(monkeypatch, account.service, retry_budget=300)
    return account


@pytest.fixture
def door(account: BatchAccount, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """Give a door before the account, which the connection leads to."""
    door = Door(account.service.endpoint)
    set_connection(monkeypatch, account.service, account_url=door.url, retry_budget=300)
    yield door
    door.remove()
