"""What an adversary found, over the wire: access that came back, ended early or was forgotten."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import asyncssh
import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.client.transport.clock import ServiceClock
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy
from airflow_provider_batchlinux.client.users import ledger as ledger_module
from airflow_provider_batchlinux.client.users.grant import claimed, put_on_nodes
from airflow_provider_batchlinux.client.users.ledger import change_entry, enter, new_token, read_entry
from airflow_provider_batchlinux.client.users.reconcile import (
    AddUser,
    RemoveUser,
    SyncResult,
    UserTarget,
    UserWork,
    pool_of,
    reconcile,
)
from airflow_provider_batchlinux.client.users.revoke import Revocation, audited_users, revoke, revoke_overdue
from airflow_provider_batchlinux.core.nodes.actions import NodeChoice
from airflow_provider_batchlinux.core.users.access import CLAIM_TIME
from airflow_provider_batchlinux.core.users.ledger import ROOM, LedgerEntry, Owed, with_entry
from airflow_provider_batchlinux.core.users.plan import CHANGED
from airflow_provider_batchlinux.core.users.user import NodeUser, UserRecord
from airflow_provider_batchlinux.exceptions import BatchConflictError, BatchRequestError
from tests.airflow_harness import run_task, run_trigger
from tests.batch_account import BatchAccount, eventually
from tests.unit.client.sessions import FixedClock, run
from tests.unit.client.users.test_lease import OURS, THEIRS, Lease, inside, lease
from tests.unit.leases import lease as lease_of
from tests.unit.leases import ledger
from tests.unit.operators.node_users.test_node_users import add

__all__ = ["lease"]

HOUR = timedelta(hours=1)
TARGET = UserTarget("etl")


async def whole(client: BatchLinuxClient, work: UserWork, target: UserTarget = TARGET) -> SyncResult:
    """Apply a change to the whole pool or to the given nodes, as an operator does."""
    result = await reconcile(client, target, await pool_of(client, target), work)
    await work.conclude(client, target, result)
    return result


async def audit(client: BatchLinuxClient) -> list[Revocation]:
    return await revoke_overdue(client, await audited_users(client), client.clock.now())


def adding(key: asyncssh.SSHKey, by: dict[str, str], **options: Any) -> AddUser:
    public = key.export_public_key().decode()
    user = NodeUser("ann", datetime.now(timezone.utc) + HOUR, ssh_public_key=public)
    entry = LedgerEntry("ann", user.expires_at, by, user.fingerprint)
    return AddUser(user, entry, max_concurrency=1, address="private", **options)


def at(lease: Lease, later: timedelta, scenario: Callable[[BatchLinuxClient], Awaitable[Any]]) -> Any:
    lease.now += later
    return lease.ask(scenario)


def test_a_removal_while_a_node_is_deallocated_ends_the_lease_and_holds_after_the_start(account, key, lease):
    lease.look()
    node_id = account.put_node("deallocated")

    result = lease.ask(lambda client: whole(client, RemoveUser("ann", OURS, 4)))
    assert {record.node_id: record.outcome.value for record in result.records}[node_id] == "owed"
    assert lease.look() is None
    assert f"still to be taken off 1 node: '{node_id}'" in lease.wait.status

    account.control.set_node("etl", node_id, "idle")
    assert inside(account, key) == {node_id}
    ended = lease.look()
    assert ended is not None
    assert ended["ended"] == "revoked"
    assert inside(account, key) == set()
    assert lease.ledger() == {}


async def add_another(client: BatchLinuxClient) -> None:
    """Give the name to a user of another run."""
    await whole(client, adding(asyncssh.generate_private_key("ssh-ed25519"), THEIRS))


@pytest.mark.parametrize(
    ("end", "state", "payer"),
    [
        pytest.param("expiry", "deallocated", "lease", id="lease expires, deallocated, the lease pays"),
        pytest.param("expiry", "offline", "lease", id="lease expires, offline, the lease pays"),
        pytest.param("kill", "deallocated", "audit", id="lease is killed, deallocated, an audit pays"),
        pytest.param("kill", "offline", "add", id="lease is killed, offline, the next user's task pays"),
        pytest.param("audit", "deallocated", "audit", id="audit revokes, deallocated, the next audit pays"),
        pytest.param("audit", "unknown", "add", id="audit revokes, unknown, the next user's task pays"),
    ],
)
def test_what_was_skipped_at_the_end_stays_owed_and_is_paid_by_the_next_look(
    account, key, lease, end, state, payer
):
    owe_and_pay(account, key, lease, end, state, payer)


@pytest.mark.parametrize(("end", "payer"), [("expiry", "lease"), ("kill", "add"), ("audit", "audit")])
def test_a_node_that_reboots_at_the_end_owes_the_removal_until_it_is_back(
    slow_account, key, public_key, end, payer
):
    slow_account.make_pool(dedicated=2, ssh=True)
    slow_account.control.advance(3600)
    slow_account.wait_for_nodes({"idle": 2})

    lease = Lease(slow_account, public_key, now=slow_account.control.now())
    owe_and_pay(slow_account, key, lease, end, "rebooting", payer)


def owe_and_pay(
    account: BatchAccount, key: asyncssh.SSHKey, lease: Lease, end: str, state: str, payer: str
) -> None:
    """End an access while a node is in a state, and let another look pay once it is idle again."""
    lease.look()
    node_id = account.put_node(state)

    if end == "expiry":
        assert lease.look(HOUR) is None
    elif end == "kill":
        taken = lease.ask(lambda client: revoke(client, "etl", "ann", OURS))
        assert taken.owed == [node_id]
    else:
        [revocation] = at(lease, HOUR, audit)
        assert (revocation.owed, revocation.is_done) == ([node_id], False)
    entry = lease.ledger()["ann"]
    assert entry.is_revoked
    assert entry.owed.covers(node_id)

    account.control.set_node("etl", node_id, "idle")
    # Its SSH server may take a moment to be back.
    eventually(lambda: inside(account, key) == {node_id})
    if payer == "lease":
        assert lease.look(timedelta(minutes=1)) is not None
    else:
        lease.ask(audit if payer == "audit" else add_another)

    assert inside(account, key) == set()
    assert not lease.ledger() or lease.ledger()["ann"].by == THEIRS


@pytest.mark.parametrize("payer", [audit, "add"])
def test_of_some_nodes_those_that_cannot_be_asked_owe_the_removal_and_the_others_keep_the_user(
    account, key, payer
):
    account.idle_pool(3, ssh=True)
    settings = account.hook.settings()
    work = adding(key, OURS)
    run(settings, lambda client: whole(client, work))
    asleep = account.put_node("deallocated")
    taken, kept = (node.node_id for node in account.nodes() if node.node_id != asleep)

    some = UserTarget("etl", NodeChoice([asleep, taken]))
    result = run(settings, lambda client: whole(client, RemoveUser("ann", OURS, 4), some))
    assert {record.node_id: record.outcome.value for record in result.records} == {
        asleep: "owed",
        taken: "removed",
    }
    account.control.set_node("etl", asleep, "idle")
    assert inside(account, key) == {asleep, kept}
    if payer == "add":
        # The same run wants the user there again: what is owed is removed first.
        run(settings, lambda client: whole(client, adding(key, OURS), UserTarget("etl", NodeChoice([kept]))))
    else:
        [paid] = run(settings, payer)
        assert paid.reason == "nodes owe the removal of a user"

    assert inside(account, key) == {kept}


def test_a_removal_from_some_nodes_of_a_user_that_no_ledger_has_remembers_what_they_owe(account):
    account.idle_pool(2)
    settings = account.hook.settings()
    asleep = account.put_node("deallocated")
    [awake] = (node.node_id for node in account.nodes() if node.node_id != asleep)

    def remove(node_id: str) -> None:
        target = UserTarget("etl", NodeChoice([node_id]))
        run(settings, lambda client: whole(client, RemoveUser("ann", OURS, 1), target))

    remove(awake)
    assert ledger(account) == {}
    remove(asleep)
    entry = run(settings, lambda client: read_entry(client, "etl", "ann"))
    assert entry is not None
    assert (entry.is_revoked, entry.owed) == (True, Owed.of([asleep]))
    account.control.set_node("etl", asleep, "idle")
    remove(asleep)
    assert ledger(account) == {}


def test_a_removal_from_some_nodes_is_refused_while_a_lease_keeps_the_user_on_all(account, key, lease):
    lease.look()
    [first, *_] = account.nodes()
    some = UserTarget("etl", NodeChoice([first.node_id]))
    before = inside(account, key)

    with pytest.raises(BatchConflictError, match="Remove it from the whole pool") as caught:
        lease.ask(lambda client: whole(client, RemoveUser("ann", OURS, 4), some))

    assert caught.value.code == "UserLeased"
    assert inside(account, key) == before


async def until_entry(client: BatchLinuxClient, holds: Callable[[LedgerEntry], bool]) -> None:
    """Look at the user's entry until something holds."""
    while not ((entry := await read_entry(client, "etl", "ann")) and holds(entry)):
        pass


async def until_asked(account: BatchAccount) -> None:
    """Wait until a node was asked to add a user; the answer may be held."""
    await asyncio.to_thread(
        eventually, lambda: any(request.endswith("/users") for request in account.requests())
    )


def test_a_killed_add_whose_request_lands_afterwards_stays_owed(account, key):
    account.idle_pool(1, ssh=True)
    account.control.inject("POST", "/users", drop="before")
    settings = account.hook.settings()
    work = adding(key, OURS)

    run(settings, lambda client: whole(client, work), RetryPolicy(budget=0))
    taken = run(settings, lambda client: revoke(client, "etl", "ann", OURS))
    [node] = account.nodes()
    late = work.user.to_create_rest()
    run(settings, lambda client: client.create_node_user("etl", node.node_id, late))

    assert taken is not None
    assert not taken.is_done
    assert len(inside(account, key)) == 1
    later = datetime.now(timezone.utc) + CLAIM_TIME
    [revocation] = run(settings, audit, clock=FixedClock(later.timestamp))
    assert revocation.is_done
    assert inside(account, key) == set()
    assert ledger(account) == {}


def test_an_end_while_a_request_is_in_flight_is_final_when_that_has_been_answered(account, key):
    account.idle_pool(1, ssh=True)
    account.control.inject("POST", "/users", delay=0.3)

    async def both(client: BatchLinuxClient) -> Any:
        task = asyncio.ensure_future(whole(client, adding(key, OURS)))
        await until_entry(client, lambda entry: bool(entry.claims))
        taken = await revoke(client, "etl", "ann", OURS)
        await asyncio.wait([task])
        return taken, task.exception()

    taken, error = run(account.hook.settings(), both)

    assert not taken.is_done
    assert isinstance(error, BatchConflictError)
    assert error.code == "UserChanged"
    assert inside(account, key) == set()
    assert ledger(account) == {}


def test_a_slow_removal_leaves_alone_the_user_of_another_run_that_takes_the_name(account, key, monkeypatch):
    monkeypatch.setattr(ledger_module, "FRESH", 0.0)
    account.idle_pool(2, ssh=True)
    theirs = asyncssh.generate_private_key("ssh-ed25519")
    settings = account.hook.settings()
    run(settings, lambda client: whole(client, adding(key, OURS)))
    account.control.inject("DELETE", "/users", hold=0.3)

    async def both(client: BatchLinuxClient) -> SyncResult:
        async def take_the_name() -> None:
            await until_entry(client, lambda entry: entry.is_revoked)
            await whole(client, adding(theirs, THEIRS))

        result, _ = await asyncio.gather(whole(client, RemoveUser("ann", OURS, 1)), take_the_name())
        return result

    removal = run(settings, both, RetryPolicy(budget=5))

    assert sorted(str(record.code) for record in removal.records) == ["None", CHANGED]
    assert len(inside(account, theirs)) == 2
    assert inside(account, key) == set()
    [entry] = ledger(account).values()
    assert entry["by"] == THEIRS
    assert "revoked" not in entry


def test_a_task_that_was_suspended_leaves_alone_what_its_retry_has_added(account, key, monkeypatch):
    monkeypatch.setattr(ledger_module, "FRESH", 0.0)
    account.idle_pool(2, ssh=True)
    theirs = asyncssh.generate_private_key("ssh-ed25519")
    now = datetime.now(timezone.utc)

    async def suspended(client: BatchLinuxClient) -> list[UserRecord]:
        nonlocal now
        await whole(client, adding(theirs, THEIRS))
        first, token = adding(key, OURS, take_over=True), new_token()
        _, entered = await enter(client, "etl", first.entry, take_over=True, token=token)
        entry = await claimed(client, "etl", entered, token)
        now += CLAIM_TIME
        await whole(client, adding(key, OURS))
        nodes = await client.list_nodes("etl")
        records, _ = await put_on_nodes(client, "etl", first.user, entry, token, nodes, max_concurrency=1)
        return records

    clock = FixedClock(lambda: now.timestamp())
    records = run(account.hook.settings(), suspended, RetryPolicy(budget=5), clock)

    assert [record.code for record in records] == [CHANGED, CHANGED]
    assert len(inside(account, key)) == 2
    assert inside(account, theirs) == set()
    [entry] = ledger(account).values()
    assert entry["by"] == OURS
    assert "owed" not in entry


def test_a_task_that_was_suspended_does_not_report_the_user_of_another_run_as_its_own(
    account, key, monkeypatch
):
    monkeypatch.setattr(ledger_module, "FRESH", 0.0)
    account.idle_pool(2, ssh=True)
    theirs = asyncssh.generate_private_key("ssh-ed25519")
    account.control.inject("POST", "/users", hold=1)
    now = datetime.now(timezone.utc)

    async def suspended(client: BatchLinuxClient) -> BaseException | None:
        nonlocal now
        task = asyncio.ensure_future(whole(client, adding(key, OURS)))
        await until_asked(account)
        now += CLAIM_TIME
        await revoke(client, "etl", "ann", OURS)
        assert await read_entry(client, "etl", "ann") is None
        await whole(client, adding(theirs, THEIRS))
        await asyncio.wait([task])
        return task.exception()

    error = run(
        account.hook.settings(), suspended, RetryPolicy(budget=5), FixedClock(lambda: now.timestamp())
    )

    assert isinstance(error, BatchConflictError)
    assert error.code == "UserChanged"
    assert len(inside(account, theirs)) == 2
    [entry] = ledger(account).values()
    assert (entry["by"], "revoked" in entry) == (THEIRS, False)


SOME = UserTarget("etl", NodeChoice(states=("idle",)))


@pytest.mark.parametrize("target", [TARGET, SOME], ids=["whole pool", "some nodes"])
def test_a_removal_notes_nothing_about_a_user_that_is_added_again_before_it_is_over(account, key, target):
    account.idle_pool(2, ssh=True)
    removal = RemoveUser("ann", OURS, 4)

    async def both(client: BatchLinuxClient) -> None:
        await whole(client, adding(key, OURS))
        result = await reconcile(client, target, await pool_of(client, target), removal)
        await revoke(client, "etl", "ann", OURS)
        await whole(client, adding(key, OURS))
        owing = Owed.of([result.records[0].node_id])
        await change_entry(client, "etl", "ann", lambda found: found and replace(found, owed=owing))
        await removal.conclude(client, target, result)

    run(account.hook.settings(), both)

    assert len(inside(account, key)) == 2
    [entry] = ledger(account).values()
    assert ("revoked" in entry, "owed" in entry) == (False, True)


def test_the_rest_of_a_deferred_removal_asks_all_nodes_since_the_user_may_be_another_one(account, key):
    account.idle_pool(2, ssh=True)

    async def both(client: BatchLinuxClient) -> SyncResult:
        await whole(client, adding(key, OURS))
        pool = await pool_of(client, TARGET)
        before = await reconcile(client, TARGET, pool, RemoveUser("ann", OURS, 4))
        await whole(client, adding(key, OURS))
        rest = RemoveUser("ann", OURS, 4)
        result = await reconcile(client, TARGET, pool, rest, before.records)
        await rest.conclude(client, TARGET, result)
        return result

    result = run(account.hook.settings(), both)

    assert [record.outcome.value for record in result.records] == ["removed", "removed"]
    assert inside(account, key) == set()
    assert ledger(account) == {}


def test_a_user_that_was_removed_while_its_task_was_deferred_is_not_added_again(account, key):
    account.idle_pool(1, ssh=True)
    work = adding(key, OURS)
    settings = account.hook.settings()
    run(settings, lambda client: whole(client, work))
    run(settings, lambda client: whole(client, RemoveUser("ann", OURS, 1)))

    with pytest.raises(BatchConflictError) as caught:
        run(settings, lambda client: whole(client, adding(key, OURS, generation=(work.generation or 0) + 1)))

    assert caught.value.code == "UserChanged"
    assert inside(account, key) == set()


@pytest.mark.parametrize("end", ["expires_in", "expires_at"])
def test_a_lease_that_is_retried_after_its_end_only_removes_the_user(slow_account, key, public_key, end):
    slow_account.make_pool(dedicated=1, ssh=True)
    slow_account.control.advance(3600)
    slow_account.wait_for_nodes({"idle": 1})
    until = slow_account.control.now() + HOUR
    options = {"expires_in": HOUR} if end == "expires_in" else {"expires_in": None, "expires_at": until}
    operator = lease_of(public_key, **options)
    assert run_task(operator).state == "deferred"
    node_id = slow_account.put_node("unknown")
    slow_account.control.advance(3601)

    tried = run_task(operator, try_number=2)
    assert tried.state == "deferred"
    slow_account.control.set_node("etl", node_id, "idle")
    assert tried.deferral is not None
    result = run_trigger(tried.deferral)["result"]

    assert result["ended"] == "expired"
    assert inside(slow_account, key) == set()


def test_a_retry_before_the_end_keeps_the_end_of_the_first_try(account, public_key):
    account.idle_pool(1)
    operator = lease_of(public_key)
    run_task(operator)
    [before] = ledger(account).values()

    assert run_task(operator, try_number=2).state == "deferred"

    [after] = ledger(account).values()
    assert after["until"] == before["until"]


def test_a_retried_add_keeps_the_end_of_the_first_try_and_one_after_the_end_is_refused(
    slow_account, public_key
):
    slow_account.make_pool(dedicated=1)
    slow_account.control.advance(3600)
    slow_account.wait_for_nodes({"idle": 1})
    operator = add(ssh_public_key=public_key, username="ann", expires_in=HOUR)

    def end(**tried: Any) -> str:
        assert run_task(operator, **tried).state == "success"
        [entry] = ledger(slow_account).values()
        return str(entry["until"])

    first = end()
    slow_account.control.advance(600)
    assert end(try_number=2) == first
    slow_account.control.advance(3601)
    late = run_task(operator, try_number=2)

    assert late.state != "success"
    assert "The time of user 'ann' was over at" in late.message


def test_a_machine_whose_clock_is_ahead_leaves_the_user_of_another_run(account, key):
    account.idle_pool(1, ssh=True)
    settings = account.hook.settings()
    work = adding(key, OURS)
    work.entry = LedgerEntry("ann", datetime.now(timezone.utc) + timedelta(minutes=5), OURS)
    run(settings, lambda client: whole(client, work))

    def ahead(scenario: Callable[[BatchLinuxClient], Awaitable[Any]]) -> Any:
        return run(settings, scenario, clock=ServiceClock(lambda: time.time() + 600))

    assert ahead(audit) == []
    with pytest.raises(BatchConflictError):
        ahead(lambda client: whole(client, RemoveUser("ann", THEIRS, 1)))
    with pytest.raises(BatchConflictError):
        ahead(add_another)
    assert len(inside(account, key)) == 1


def test_a_ledger_without_room_refuses_a_user_before_any_node_has_it_and_warns_before(account, caplog):
    account.make_pool()
    settings = account.hook.settings()
    until = datetime.now(timezone.utc) + HOUR

    def fill(share: float) -> None:
        marks: dict[str, str] = {}
        while sum(len(name) + len(text) for name, text in marks.items()) < ROOM * share:
            marks = with_entry(marks, LedgerEntry(f"user{len(marks)}", until, OURS, "SHA256:" + "k" * 43))
        run(settings, lambda client: change_metadata(client, "etl", lambda _: marks))

    def enter_ann() -> None:
        run(settings, lambda client: enter(client, "etl", LedgerEntry("ann", until, OURS)))

    fill(0.8)
    enter_ann()
    assert "its ledger has room for about" in caplog.text
    fill(1.0)
    with pytest.raises(BatchRequestError, match="is full") as caught:
        enter_ann()
    assert caught.value.code == "UserLedgerFull"
