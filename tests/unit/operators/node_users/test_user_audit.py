"""The operator that tells who has access to what, and revokes what is overdue, by whom nodes let in."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.client.users.ledger import enter
from airflow_provider_batchlinux.client.users.revoke import audited_users, revoke_overdue
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
from airflow_provider_batchlinux.exceptions import NodeUsersError
from airflow_provider_batchlinux.operators.node_users import (
    BatchLinuxAddNodeUsersOperator,
    BatchLinuxAuditNodeUsersOperator,
)
from tests.airflow_harness import TaskRun, run_task
from tests.batch_account import BatchAccount
from tests.unit.logins import lets_in

HOUR = timedelta(hours=1)


def put(pool_id: str, username: str, public_key: str) -> None:
    add = BatchLinuxAddNodeUsersOperator(
        task_id="add", pool_id=pool_id, username=username, ssh_public_key=public_key, expires_in=HOUR
    )
    assert run_task(add).state == "success"


def set_end(account: BatchAccount, pool_id: str, username: str, end: datetime) -> None:
    """Write another end into the ledger; the service goes on to let the user in."""
    entry = LedgerEntry(username, end, {"person": "ops"})

    async def scenario(client: Any) -> None:
        await enter(client, pool_id, entry, take_over=True)

    account.hook.run(scenario)


def make_overdue(account: BatchAccount, pool_id: str, username: str) -> None:
    set_end(account, pool_id, username, datetime.now(timezone.utc) - HOUR)


def audit(**options: Any) -> TaskRun:
    return run_task(BatchLinuxAuditNodeUsersOperator(task_id="audit", **options))


def names(run: TaskRun) -> dict[tuple[str, str], bool]:
    return {(user["pool_id"], user["username"]): user["overdue"] for user in run.result["users"]}


@pytest.fixture
def pools(account: BatchAccount, public_key: str) -> BatchAccount:
    """Give two pools with a user each, of which bob on the second is overdue."""
    account.idle_pool(1, ssh=True)
    account.idle_pool(2, pool_id="other", ssh=True)
    put("etl", "ann", public_key)
    put("other", "bob", public_key)
    make_overdue(account, "other", "bob")
    return account


def test_it_tells_who_is_on_which_pool_and_who_is_overdue(pools, key):
    run = audit()

    assert names(run) == {("etl", "ann"): False, ("other", "bob"): True}
    assert (run.result["overdue"], run.result["revoked"]) == (1, 0)
    assert run.result["users"][0]["key"] == key.get_fingerprint()
    assert "task_id 'add'" in run.log
    assert "(overdue)" in run.log
    assert len(lets_in(pools, "bob", pool_id="other", client_keys=[key])) == 2


@pytest.mark.parametrize("revoke", [True, "true"])
def test_it_revokes_only_overdue_users(pools, key, revoke):
    run = audit(revoke=revoke)

    assert run.result["revoked"] == 1
    assert "User 'bob' was taken off 2 nodes of pool 'other'." in run.log
    assert lets_in(pools, "bob", pool_id="other", client_keys=[key]) == set()
    assert len(lets_in(pools, "ann", client_keys=[key])) == 1
    assert names(audit()) == {("etl", "ann"): False}


def test_it_looks_at_the_pools_that_are_named(pools):
    run = audit(pool_ids=["ETL", "none"], revoke=True)

    assert names(run) == {("etl", "ann"): False}
    assert "pool_ids names pools that do not exist: none." in run.log
    assert names(audit())[("other", "bob")]


@pytest.mark.parametrize("pool_ids", [[], "[]", ["elt"]])
def test_a_selection_without_a_pool_fails_unless_that_is_allowed(
    account: BatchAccount, pool_ids: Any
) -> None:
    account.idle_pool(1)

    assert "pool_ids selects no pool, so no user was looked at." in audit(pool_ids=pool_ids).message
    assert audit(pool_ids=pool_ids, allow_empty=True).result["users"] == []


def test_a_node_that_does_not_let_the_user_go_fails_it_after_all_others(pools, key):
    node_id = pools.put_node("unusable", pool_id="other")

    run = audit(revoke=True)

    assert isinstance(run.error, NodeUsersError)
    assert run.error.failed == [node_id]
    assert f"user 'bob' on node '{node_id}' of pool 'other' (unusable)" in run.message
    assert names(audit())[("other", "bob")]


def test_an_entry_that_cannot_be_read_is_overdue_and_revoked(pools):
    mark = {"airflow_batchlinux_user_cleo": "?"}
    pools.hook.run(lambda client: change_metadata(client, "etl", lambda marks: {**marks, **mark}))

    assert names(audit())[("etl", "cleo")]
    assert audit(revoke=True).result["revoked"] == 2
    assert ("etl", "cleo") not in names(audit())


def test_who_was_prolonged_after_the_look_stays(pools, key):
    async def scenario(client: Any) -> Any:
        users = await audited_users(client)
        later = LedgerEntry("bob", datetime.now(timezone.utc) + HOUR, {"person": "ops"})
        await enter(client, "other", later)
        return await revoke_overdue(client, users, datetime.now(timezone.utc))

    [revocation] = pools.hook.run(scenario)

    assert revocation.taken is None
    assert not revocation.is_done
    assert len(lets_in(pools, "bob", pool_id="other", client_keys=[key])) == 2


def test_neither_true_nor_false_is_refused(account):
    assert "revoke='maybe' is not true or false" in audit(revoke="maybe").message
