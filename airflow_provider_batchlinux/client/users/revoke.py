"""End the access of users that a pool's ledger has, and pay what nodes owe: one user, or all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.client.users.grant import end_claim, nodes_if_any, remove_owed
from airflow_provider_batchlinux.client.users.ledger import (
    Guard,
    change_entry,
    new_token,
    unless_pool_is_gone,
)
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.text import counted, joined
from airflow_provider_batchlinux.core.users.access import (
    claim,
    may_add,
    may_pay,
    may_remove,
    pay,
    settle,
)
from airflow_provider_batchlinux.core.users.access import revoke as revoked
from airflow_provider_batchlinux.core.users.ledger import ALL, LedgerEntry, Owed, entries_in
from airflow_provider_batchlinux.core.users.plan import CHANGED, is_unanswered, leaves_user
from airflow_provider_batchlinux.core.users.user import UserOutcome, UserRecord
from airflow_provider_batchlinux.exceptions import NodeUsersError

# Times the nodes below: the account's request limit is shared with the other tasks.
_CONCURRENT_POOLS = 4
_CONCURRENT_NODES = 16


@dataclass(frozen=True)
class Ending:
    """
    An access that is being ended, on all nodes or on some of them.

    :param entry: the revoked entry, with a claim; that of some nodes may be active.
    :param token: the claim.
    :param by_holder: whether the holder itself ends it, so that it needs no reminder.
    """

    pool_id: str
    entry: LedgerEntry
    token: str
    by_holder: bool

    @property
    def is_unsure(self) -> bool:
        """Whether a request that adds the user may be carried out after a node was asked to remove it."""
        return any(one.adds for one in self.entry.claims)

    def guard(self, client: BatchLinuxClient) -> Guard:
        """Return the look before each node: the entry must still be this one."""
        return Guard(
            client,
            self.pool_id,
            self.entry.username,
            partial(may_remove if self.entry.is_revoked else may_add, generation=self.entry.generation),
            self.token,
            adds=False,
        )

    async def settle(self, client: BatchLinuxClient, records: Sequence[UserRecord]) -> LedgerEntry | None:
        """
        Note which nodes still owe the removal, and return the user's entry afterwards.

        Without its claim, what it knows of the nodes may no longer be true, and is not noted.

        :param records: of all nodes that can have the user.
        """
        if any(record.code == CHANGED for record in records):
            return await end_claim(client, self.pool_id, self.entry.username, self.token, records)
        owed = Owed.of(record.node_id for record in records if self.is_unsure or leaves_user(record))
        token = "" if any(map(is_unanswered, records)) else self.token
        guard = self.guard(client)

        def change(found: LedgerEntry | None) -> LedgerEntry | None:
            if not guard.is_held(found):
                return found
            return settle(found, owed, token, client.clock.now(), by_holder=self.by_holder)

        return await unless_pool_is_gone(change_entry(client, self.pool_id, self.entry.username, change))


async def begin_ending(
    client: BatchLinuxClient,
    pool_id: str,
    username: str,
    may: Callable[[LedgerEntry | None], LedgerEntry | None],
    *,
    by_holder: bool,
    nodes: Owed = ALL,
) -> Ending | None:
    """
    Mark a user as revoked, so that nothing adds it any more.

    :param may: returns the entry to revoke, given the present one; ``None`` to leave it as it is.
    :param nodes: the only nodes that can have the user.
    :return: ``None`` if there is nothing to end.
    """
    token, ended = new_token(), False

    def change(found: LedgerEntry | None) -> LedgerEntry | None:
        nonlocal ended
        entry = may(found)
        ended = entry is not None
        if entry is None:
            return found
        now = client.clock.now()
        return claim(revoked(entry, now, nodes), token, now, adds=False)

    entry = await unless_pool_is_gone(change_entry(client, pool_id, username, change))
    return Ending(pool_id, entry, token, by_holder) if ended and entry is not None else None


@dataclass(frozen=True)
class TakenOff:
    """
    What was done about a user that is not wanted any more.

    :param records: a record for each node that could have the user.
    :param entry: its entry in the ledger afterwards; ``None`` if it is forgotten.
    """

    records: list[UserRecord]
    entry: LedgerEntry | None

    @property
    def owed(self) -> list[str]:
        """The nodes that may still have the user."""
        return [record.node_id for record in self.records if leaves_user(record)]

    @property
    def is_done(self) -> bool:
        """Whether no node can have the user any more."""
        return not self.owed and (self.entry is None or not self.entry.is_revoked or not self.entry.owed)


async def take_off(
    client: BatchLinuxClient,
    ending: Ending,
    *,
    nodes: Sequence[NodeSnapshot] | None = None,
    max_concurrency: int = _CONCURRENT_NODES,
) -> TakenOff:
    """
    Remove a revoked user from the nodes that owe it, and settle.

    :param nodes: all nodes of the pool; ``None`` lists them.
    """
    nodes = await nodes_if_any(client, ending.pool_id) if nodes is None else nodes
    records = await remove_owed(
        client,
        ending.pool_id,
        ending.entry.username,
        ending.entry.owed,
        nodes,
        ending.guard(client),
        max_concurrency=max_concurrency,
    )
    return TakenOff(records, await ending.settle(client, records))


async def revoke(
    client: BatchLinuxClient,
    pool_id: str,
    username: str,
    holder: Mapping[str, str] | LedgerEntry,
    *,
    node_ids: Collection[str] | None = None,
    max_concurrency: int = _CONCURRENT_NODES,
) -> TakenOff | None:
    """
    End the access of a user. What nodes owe stays in the ledger.

    :param holder: whose user it must be, as the ledger has it; or the whole entry, which must not have
        changed.
    :param node_ids: the only nodes that can have the user; ``None`` for all of the pool.
    :param max_concurrency: requests in flight at most.
    :return: ``None`` if the ledger has no such user of that holder.
    """

    def may(found: LedgerEntry | None) -> LedgerEntry | None:
        if found is None:
            return None
        is_his = found == holder if isinstance(holder, LedgerEntry) else dict(found.by) == dict(holder)
        return found if is_his else None

    nodes = ALL if node_ids is None else Owed.of(node_ids)
    by_holder = not isinstance(holder, LedgerEntry)
    ending = await begin_ending(client, pool_id, username, may, by_holder=by_holder, nodes=nodes)
    return None if ending is None else await take_off(client, ending, max_concurrency=max_concurrency)


async def pay_debts(client: BatchLinuxClient, pool_id: str, username: str) -> TakenOff | None:
    """
    Remove the users of earlier generations of a name from the nodes that owe that; the present one stays.

    :return: ``None`` if there is nothing to pay, or the holder is at work and pays itself.
    """
    token = new_token()

    def begin(found: LedgerEntry | None) -> LedgerEntry | None:
        now = client.clock.now()
        if found is None or not may_pay(found, now):
            return found
        return claim(found, token, now, adds=False, earlier=True)

    entry = await change_entry(client, pool_id, username, begin)
    if entry is None or all(one.token != token for one in entry.claims):
        return None
    guard = Guard(
        client,
        pool_id,
        username,
        partial(may_add, generation=entry.generation),
        token,
        adds=False,
        earlier=True,
    )
    nodes = await nodes_if_any(client, pool_id)
    records = await remove_owed(
        client, pool_id, username, entry.owed, nodes, guard, max_concurrency=_CONCURRENT_NODES
    )
    owed = Owed.of(record.node_id for record in records if leaves_user(record))
    kept = "" if any(map(is_unanswered, records)) else token
    after = await change_entry(
        client,
        pool_id,
        username,
        lambda found: pay(found, owed, kept, client.clock.now()) if guard.is_held(found) else found,
    )
    return TakenOff(records, after)


@dataclass(frozen=True)
class AuditedUser:
    """A user in a pool's ledger."""

    pool_id: str
    entry: LedgerEntry

    def reason(self, now: datetime) -> str | None:
        """Return why nodes are asked to remove a user of this name; ``None`` if they are not."""
        if self.entry.is_revoked:
            return "revoked, and nodes owe the removal"
        if self.entry.is_over(now):
            return f"its time was over at {self.entry.expires_at.isoformat(timespec='seconds')}"
        return "nodes owe the removal of a user" if may_pay(self.entry, now) else None


@dataclass(frozen=True)
class Revocation:
    """
    The outcome for a user that is overdue or owed.

    :param taken: what was done; ``None`` if the user's entry has changed meanwhile, or in a dry run.
    :param reason: why nodes were asked.
    """

    user: AuditedUser
    taken: TakenOff | None
    reason: str = ""

    @property
    def is_done(self) -> bool:
        """Whether no node has the user any more."""
        return self.taken is not None and self.taken.is_done

    @property
    def removed(self) -> int:
        """The number of nodes that had the user."""
        records = self.taken.records if self.taken else ()
        return sum(record.outcome is UserOutcome.REMOVED for record in records)

    @property
    def owed(self) -> list[str]:
        """The nodes that may still have the user."""
        return self.taken.owed if self.taken else []

    @property
    def owed_nodes(self) -> list[dict[str, str]]:
        """The same, as entries of a result."""
        user = {"pool_id": self.user.pool_id, "username": self.user.entry.username}
        return [{**user, "node_id": node_id} for node_id in self.owed]

    def to_dict(self) -> dict[str, str]:
        """Return the user as an entry of a result, with the reason."""
        return {
            "pool_id": self.user.pool_id,
            "username": self.user.entry.username,
            "reason": self.reason,
        }


async def audited_users(client: BatchLinuxClient, pool_ids: Sequence[str] | None = None) -> list[AuditedUser]:
    """
    List the users in the ledgers of pools, except pools that are being deleted.

    :param pool_ids: the pools, which need not exist; ``None`` for all of the account.
    """
    bodies = await client.list_pools(["id", "state", "metadata"])
    wanted = None if pool_ids is None else {pool_id.lower() for pool_id in pool_ids}
    return users_of([body for body in bodies if wanted is None or str(body["id"]).lower() in wanted])


def users_of(pools: Iterable[Mapping[str, Any]]) -> list[AuditedUser]:
    """
    Return the users in the ledgers of pools, except pools that are being deleted.

    :param pools: REST bodies with ``id``, ``state`` and ``metadata``.
    """
    return [
        AuditedUser(str(body["id"]), entry)
        for body in pools
        if body.get("state") != "deleting"
        for entry in entries_in(metadata_of(body)).values()
        if not entry.is_settled
    ]


async def revoke_overdue(
    client: BatchLinuxClient, users: Sequence[AuditedUser], now: datetime, *, dry_run: bool = False
) -> list[Revocation]:
    """
    Remove the users whose time is over, and pay what nodes owe.

    :param dry_run: only return which users these are, and why.
    """

    async def revoked(user: AuditedUser) -> Revocation:
        if dry_run:
            taken = None
        elif user.entry.is_over(now):
            taken = await revoke(client, user.pool_id, user.entry.username, user.entry)
        else:
            taken = await pay_debts(client, user.pool_id, user.entry.username)
        return Revocation(user, taken, user.reason(now) or "")

    due = [user for user in users if user.reason(now) is not None]
    return await fan_out(due, revoked, max_concurrency=_CONCURRENT_POOLS)


def failed_records(records: Sequence[UserRecord]) -> list[UserRecord]:
    """Return the records of the nodes that failed."""
    return [record for record in records if record.outcome is UserOutcome.FAILED]


def require_revoked(revocations: Sequence[Revocation]) -> None:
    """
    Raise ``NodeUsersError`` if nodes did not remove a user, with all nodes and causes.

    The users stay in the ledger, and the next audit finds them.
    """
    failures = [
        (revocation.user, record)
        for revocation in revocations
        for record in failed_records(revocation.taken.records if revocation.taken else ())
    ]
    if not failures:
        return
    names = [record.node_id for _, record in failures]
    causes = "".join(
        f"\n  user {user.entry.username!r} on node {record.node_id!r} of pool {user.pool_id!r} "
        f"({record.state}): {record.error}"
        for user, record in failures
    )
    where = counted(len(names), "node")
    msg = f"Overdue users could not be removed from {where}: {joined(names)}.{causes}"
    raise NodeUsersError(msg, failed=names)
