"""The ledger of users in a pool's metadata, over the real SDK, with others who write it too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.client.users import ledger as ledger_module
from airflow_provider_batchlinux.client.users.ledger import enter, new_generation, read_ledger
from airflow_provider_batchlinux.client.users.revoke import revoke
from airflow_provider_batchlinux.core.users.ledger import ALL, LedgerEntry
from airflow_provider_batchlinux.exceptions import BatchConflictError, BatchRequestError
from tests.batch_account import BatchAccount
from tests.unit.client.sessions import FixedClock, run

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
OURS = {"dag_id": "etl", "run_id": "today"}
THEIRS = {"dag_id": "etl", "run_id": "yesterday"}
ENTRY = LedgerEntry("ann", NOW + timedelta(hours=1), OURS, "SHA256:abc")
STRANGE = LedgerEntry("ann", NOW + timedelta(hours=1), THEIRS)
OVERDUE = LedgerEntry("ann", NOW - timedelta(hours=1), THEIRS)


@pytest.fixture(autouse=True)
def first_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generations are counted from 1 here, not from a random number."""
    monkeypatch.setattr(ledger_module, "new_generation", lambda: ENTRY.generation)


def result_of(account: BatchAccount, scenario: Callable[[BatchLinuxClient], Awaitable[Any]]) -> Any:
    return run(account.hook.settings(), scenario, clock=FixedClock(NOW.timestamp))


def entered(account: BatchAccount, entry: LedgerEntry, *, take_over: bool = False) -> LedgerEntry | None:
    found: LedgerEntry | None = result_of(
        account, lambda client: enter(client, "etl", entry, take_over=take_over)
    )[0]
    return found


def left(account: BatchAccount, entry: LedgerEntry) -> bool:
    """Take a user off the pool, which has no nodes; return whether that was permitted."""
    return result_of(account, lambda client: revoke(client, "etl", entry.username, entry)) is not None


def ledger(account: BatchAccount) -> dict[str, LedgerEntry] | None:
    found: dict[str, LedgerEntry] | None = result_of(account, lambda client: read_ledger(client, "etl"))
    return found


def test_an_entry_is_in_the_ledger_until_it_is_removed(account: BatchAccount) -> None:
    account.make_pool()

    assert entered(account, ENTRY) is None
    assert ledger(account) == {"ann": ENTRY}

    assert left(account, ENTRY)
    assert ledger(account) == {}


def test_many_who_enter_and_leave_at_once_are_all_heard(account: BatchAccount) -> None:
    account.make_pool()
    entries = [LedgerEntry(f"user{number}", ENTRY.expires_at, OURS) for number in range(15)]

    async def come(client: BatchLinuxClient) -> None:
        await asyncio.gather(*(enter(client, "etl", entry) for entry in entries))

    async def go(client: BatchLinuxClient) -> None:
        await asyncio.gather(*(revoke(client, "etl", entry.username, entry) for entry in entries))

    result_of(account, come)
    assert len(ledger(account) or ()) == 15

    result_of(account, go)
    assert ledger(account) == {}


def test_a_name_that_was_forgotten_begins_with_another_generation(
    account: BatchAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "new_generation", new_generation)
    account.make_pool()
    generations = set()
    for _ in range(3):
        entered(account, ENTRY)
        [entry] = (ledger(account) or {}).values()
        generations.add(entry.generation)
        assert left(account, entry)

    assert len(generations) == 3


def test_a_new_entry_returns_the_previous_one(account: BatchAccount) -> None:
    account.make_pool()
    entered(account, ENTRY)
    longer = LedgerEntry("ann", NOW + timedelta(hours=9), {**OURS, "task_id": "other"})

    assert entered(account, longer) == ENTRY
    assert ledger(account) == {"ann": longer}


def test_the_user_of_another_dag_run_is_neither_taken_nor_removed(account: BatchAccount) -> None:
    account.make_pool()
    entered(account, STRANGE)

    with pytest.raises(
        BatchConflictError, match=r"'ann' on pool 'etl' is held by .*'yesterday' until 2026"
    ) as e:
        entered(account, ENTRY)
    assert e.value.code == "UserHeld"
    assert ledger(account) == {"ann": STRANGE}


def test_the_user_of_another_dag_run_is_taken_over_when_asked(
    account: BatchAccount, caplog: pytest.LogCaptureFixture
) -> None:
    account.make_pool()
    entered(account, STRANGE)

    assert entered(account, ENTRY, take_over=True) == STRANGE

    assert "user 'ann' is taken over from dag_id 'etl', run_id 'yesterday'" in caplog.text
    assert ledger(account) == {"ann": replace(ENTRY, generation=2, owed=ALL)}


def test_a_user_whose_time_is_over_is_free(account: BatchAccount) -> None:
    account.make_pool()
    entered(account, OVERDUE)

    assert entered(account, ENTRY) == OVERDUE


def test_a_user_that_was_added_again_before_it_is_removed_stays(account: BatchAccount) -> None:
    account.make_pool()
    entered(account, OVERDUE)
    entered(account, ENTRY)

    assert not left(account, OVERDUE)

    assert ledger(account) == {"ann": replace(ENTRY, generation=2, owed=ALL)}


def test_a_pool_that_is_gone_has_no_ledger(account: BatchAccount) -> None:
    assert ledger(account) is None
    assert not left(account, ENTRY)
    with pytest.raises(BatchRequestError, match="Pool 'etl' does not exist") as caught:
        entered(account, ENTRY)
    assert caught.value.code == "PoolNotFound"


def test_other_metadata_is_left_as_it_is(account: BatchAccount) -> None:
    account.make_pool()
    result_of(account, lambda client: change_metadata(client, "etl", lambda _: {"cost": "42"}))
    entered(account, ENTRY)
    left(account, ENTRY)

    assert result_of(account, lambda client: change_metadata(client, "etl", lambda m: m)) == {"cost": "42"}
