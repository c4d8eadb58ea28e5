"""Reconcile one user across the nodes of a pool: now, and again on nodes that become ready."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.nodes.endpoints import reachable_choice
from airflow_provider_batchlinux.client.users.grant import (
    claimed,
    end_claim,
    nodes_if_any,
    put_on_nodes,
    remove_user_from_nodes,
)
from airflow_provider_batchlinux.client.users.ledger import (
    change_entry,
    enter,
    new_generation,
    new_token,
    require_free,
    require_no_lease,
    superseded,
    unless_pool_is_gone,
)
from airflow_provider_batchlinux.client.users.revoke import Ending, begin_ending, take_off
from airflow_provider_batchlinux.core.nodes.actions import NodeChoice
from airflow_provider_batchlinux.core.nodes.addresses import AddressChoice
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.snapshots import POOL_FIELDS, PoolSnapshot
from airflow_provider_batchlinux.core.text import joined
from airflow_provider_batchlinux.core.users.access import claim, holds_claim, may_add, may_remove, note_some
from airflow_provider_batchlinux.core.users.access import revoke as revoked
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, Owed, entries_in
from airflow_provider_batchlinux.core.users.plan import (
    CHANGED,
    UserPlan,
    changed_meanwhile,
    is_growing,
    leaves_user,
    left_out,
    not_ready,
    plan_of,
    refused_too_early,
    would_lose,
)
from airflow_provider_batchlinux.core.users.user import (
    NodeUser,
    UserOutcome,
    UserRecord,
    username_warnings,
)
from airflow_provider_batchlinux.exceptions import NodeUsersError

log = logging.getLogger(__name__)

_UNSURE = "A request that adds the user may be in flight."

_FIELDS = (*POOL_FIELDS, "networkConfiguration")
_DONE = (UserOutcome.ADDED, UserOutcome.UPDATED, UserOutcome.REMOVED, UserOutcome.ABSENT)


@dataclass(frozen=True)
class UserTarget:
    """
    The nodes that get or lose a user.

    :param choice: the nodes by their ids or states.
    :param where: an OData filter that the service applies to the list of nodes; ``None`` for none.
    """

    pool_id: str
    choice: NodeChoice = field(default_factory=NodeChoice)
    where: str | None = None

    @property
    def is_whole_pool(self) -> bool:
        """Whether the target is every node of the pool."""
        return self.choice == NodeChoice() and self.where is None

    def lacks_nodes(self, plan: UserPlan) -> bool:
        """Return whether nodes that the pool does not have yet belong to the target."""
        return self.choice.node_ids is None or bool(plan.missing)


@dataclass(frozen=True)
class SyncResult:
    """
    The outcome for every node so far.

    :param records: a record for each node that was asked or skipped, now or earlier.
    :param waiting: records of nodes that are not ready yet, as failures if they are not waited for.
    :param is_growing: whether a resize is about to add nodes.
    """

    records: tuple[UserRecord, ...]
    waiting: tuple[UserRecord, ...]
    is_growing: bool

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to wait for."""
        return not self.waiting and not self.is_growing

    @property
    def all_records(self) -> list[UserRecord]:
        """The records, including nodes that did not become ready."""
        return [*self.records, *self.waiting]


class UserWork(Protocol):
    """A change of one user on nodes: :class:`AddUser` or :class:`RemoveUser`."""

    @property
    def username(self) -> str:
        """The user's name."""

    @property
    def removing(self) -> bool:
        """Whether the user is removed."""

    @property
    def goes_on(self) -> bool:
        """Whether what earlier rounds have done holds: a change of the user since would be noticed."""

    async def on(
        self, client: BatchLinuxClient, target: UserTarget, pool: Mapping[str, Any] | None, plan: UserPlan
    ) -> list[UserRecord]:
        """Apply the change to the nodes that are due."""

    async def conclude(self, client: BatchLinuxClient, target: UserTarget, result: SyncResult) -> None:
        """Finish the change after the last round."""


async def pool_of(client: BatchLinuxClient, target: UserTarget) -> Mapping[str, Any] | None:
    """Return the REST body of the pool with what :func:`reconcile` needs; ``None`` if it does not exist."""
    return await client.find_pool_body(target.pool_id, list(_FIELDS))


async def reconcile(
    client: BatchLinuxClient,
    target: UserTarget,
    pool: Mapping[str, Any] | None,
    work: UserWork,
    so_far: Sequence[UserRecord] = (),
) -> SyncResult:
    """
    Apply a change to all nodes that can take it now.

    :param pool: the pool as :func:`pool_of` returned it.
    :param so_far: the records of earlier rounds. Nodes that are done are not asked again if the work goes on;
        nodes that failed are.
    """
    if work.removing:
        nodes = await nodes_if_any(client, target.pool_id, where=target.where)
    else:
        nodes = await client.list_nodes(target.pool_id, where=target.where)
    done = [record.node_id for record in so_far if record.outcome in _DONE and work.goes_on]
    plan = plan_of(nodes, target.choice, done=done, removing=work.removing)
    removed = {record.node_id for record in so_far if record.outcome is UserOutcome.REMOVED}
    fresh = [
        replace(record, outcome=UserOutcome.REMOVED)
        if record.outcome is UserOutcome.ABSENT and record.node_id in removed
        else record
        for record in await work.on(client, target, pool, plan)
    ]
    growing = not work.removing and is_growing(PoolSnapshot.from_rest(pool) if pool else None)
    # A node in none of the chosen states is not meant, so it owes nothing.
    owes = work.removing and target.choice.states is None
    others = [left_out(node, work.username, removing=owes) for node in plan.skipped]
    if plan.missing and not growing:
        log.warning("Pool %r has no nodes %s.", target.pool_id, joined(plan.missing))
        others += [UserRecord(name, "gone", UserOutcome.GONE, work.username) for name in plan.missing]
    records = {record.node_id.lower(): record for record in (*so_far, *fresh, *others)}
    early = []
    if target.choice.states is None:
        early = [record for record in fresh if refused_too_early(record)]
    for record in early:
        del records[record.node_id.lower()]
    return SyncResult(
        records=tuple(records.values()),
        waiting=(*early, *(not_ready(node, work.username) for node in plan.waiting)),
        is_growing=growing and target.choice.states is None and target.lacks_nodes(plan),
    )


@dataclass
class AddUser:
    """
    Add a user to nodes. The pool's ledger has it before the first node does.

    :param entry: the user's entry in the ledger.
    :param recreate: if the user exists, remove it and add it again.
    :param take_over: also take over a user that another Dag run holds.
    :param address: which address the records have; ``None`` warns if the pool has no public access, and uses
        the private address.
    :param generation: the generation that an earlier part of the task has entered into the ledger; ``None``
        if this is the first part. It is set when the user is entered.
    """

    user: NodeUser
    entry: LedgerEntry
    max_concurrency: int
    recreate: bool = False
    take_over: bool = False
    address: AddressChoice = None
    generation: int | None = None
    removing: bool = field(default=False, init=False)
    goes_on: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        """Warn of a name that not every distribution accepts."""
        for warning in username_warnings(self.username):
            log.warning("%s", warning)

    @property
    def username(self) -> str:
        """The user's name."""
        return self.user.username

    async def on(
        self, client: BatchLinuxClient, target: UserTarget, pool: Mapping[str, Any] | None, plan: UserPlan
    ) -> list[UserRecord]:
        """Add the user to the nodes that are due."""
        address = self.address
        if plan.due:
            address = await reachable_choice(client, pool or {"id": target.pool_id}, plan.due, address)
        before = entries_in(metadata_of(pool or {})).get(self.username)
        if not self.recreate and (lost := would_lose(before, self.entry)):
            msg = (
                f"User {self.username!r} on pool {target.pool_id!r} has {' and '.join(lost)}, which this "
                "update would remove. Give it again, or pass recreate=True to replace the user."
            )
            raise NodeUsersError(msg, failed=[])
        # An update does not change sudo, so the ledger keeps what the user was added with.
        stays = before is not None and not self.recreate and not before.is_over(client.clock.now())
        is_admin = self.entry.is_admin or (before is not None and before.is_admin and stays)
        token = new_token()
        _, entry = await enter(
            client,
            target.pool_id,
            replace(self.entry, is_admin=is_admin),
            take_over=self.take_over and self.generation is None,
            token=token,
            resumes=self.generation,
        )
        self.generation = entry.generation
        entry = await claimed(client, target.pool_id, entry, token)
        records, found = await put_on_nodes(
            client,
            target.pool_id,
            self.user,
            entry,
            token,
            plan.due,
            max_concurrency=self.max_concurrency,
            recreate=self.recreate,
            address=address,
        )
        if not may_add(found, entry.generation):
            await self._take_back(client, target.pool_id, entry)
            raise superseded(target.pool_id, self.username, found)
        return records

    async def conclude(self, client: BatchLinuxClient, target: UserTarget, result: SyncResult) -> None:
        """Do nothing: removing the user is the task of another operator."""

    async def _take_back(self, client: BatchLinuxClient, pool_id: str, entry: LedgerEntry) -> None:
        """Remove the user where it was added after its removal was asked for."""

        def may(found: LedgerEntry | None) -> LedgerEntry | None:
            return entry if found is None else found if may_remove(found, entry.generation) else None

        ending = await begin_ending(client, pool_id, self.username, may, by_holder=False)
        if ending is not None:
            await take_off(client, ending, max_concurrency=self.max_concurrency)


@dataclass
class RemoveUser:
    """
    Remove a user from nodes, and from the pool's ledger once no node has it.

    The whole pool: the user is revoked first, so that no lease and no request that is slower adds it again.
    Some nodes: the user stays wanted on the others, and what could not be asked owes the removal.

    If the user is added again between two rounds, nothing more is done and noted: it is another user then.

    :param by: who removes it, as in the ledger.
    :param take_over: also remove a user that another Dag run holds.
    """

    username: str
    by: Mapping[str, str]
    max_concurrency: int
    take_over: bool = False
    removing: bool = field(default=True, init=False)
    _began: LedgerEntry | None = field(default=None, init=False)

    @property
    def goes_on(self) -> bool:
        """Whether this has asked nodes before. The rest of a deferred task has not, and asks all again."""
        return self._began is not None

    async def on(
        self, client: BatchLinuxClient, target: UserTarget, pool: Mapping[str, Any] | None, plan: UserPlan
    ) -> list[UserRecord]:
        """Remove the user from the nodes that are due."""
        if pool is None:
            return []
        if target.is_whole_pool:
            ending = await self._begin(client, target.pool_id)
        else:
            ending = await self._begin_some(client, target, plan)
        if ending is None:
            return [changed_meanwhile(node, self.username) for node in plan.due] if self.goes_on else []
        self._began = ending.entry
        records = await remove_user_from_nodes(
            client,
            target.pool_id,
            self.username,
            max_concurrency=self.max_concurrency,
            nodes=plan.due,
            guard=ending.guard(client),
        )
        await end_claim(client, target.pool_id, self.username, ending.token, records)
        if ending.is_unsure:
            return [replace(record, outcome=UserOutcome.OWED, note=_UNSURE) for record in records]
        return records

    async def conclude(self, client: BatchLinuxClient, target: UserTarget, result: SyncResult) -> None:
        """Remove the user from the ledger, unless a node may still have it."""
        records = result.all_records
        if any(record.code == CHANGED for record in records):
            return
        if target.is_whole_pool:
            ending = await self._begin(client, target.pool_id)
            after = None if ending is None else await ending.settle(client, records)
        else:
            after = await self._note_some(client, target.pool_id, records)
        owed = [record.node_id for record in records if leaves_user(record)]
        if after is None or not after.owed or not (owed or target.is_whole_pool):
            return
        where = f"nodes {joined(owed)}" if owed else "any node: requests that add it may be in flight"
        log.warning(
            "Pool %r: user %r may still be on %s. The ledger keeps that; a lease, an audit with revoke=True, "
            "the sweeper or the next user of this name removes it.",
            target.pool_id, self.username, where,
        )  # fmt: skip

    async def _begin(self, client: BatchLinuxClient, pool_id: str) -> Ending | None:
        now = client.clock.now()

        def may(found: LedgerEntry | None) -> LedgerEntry | None:
            require_free(pool_id, found, self.by, now, take_over=self.take_over)
            if found is None:
                return self._unknown(now)
            return found if self._is_same(found) else None

        return await begin_ending(client, pool_id, self.username, may, by_holder=False)

    async def _begin_some(
        self, client: BatchLinuxClient, target: UserTarget, plan: UserPlan
    ) -> Ending | None:
        """Set a claim, so that no user is added to nodes while some are asked."""
        pool_id, token, now = target.pool_id, new_token(), client.clock.now()
        asleep = plan.skipped if target.choice.states is None else ()
        chosen = Owed.of(node.node_id for node in (*plan.due, *plan.waiting, *asleep))

        def change(found: LedgerEntry | None) -> LedgerEntry | None:
            require_free(pool_id, found, self.by, now, take_over=self.take_over)
            require_no_lease(pool_id, found, now)
            if found is not None and not self._is_same(found):
                return found
            # Without an entry, the ledger must know which nodes may have the user.
            entry = found or revoked(self._unknown(now), now, chosen)
            return claim(entry, token, now, adds=False)

        entry = await unless_pool_is_gone(change_entry(client, pool_id, self.username, change))
        if entry is None or not holds_claim(entry, token, now):
            return None
        return Ending(pool_id, entry, token, by_holder=False)

    def _unknown(self, now: datetime) -> LedgerEntry:
        """Return an entry of the user for a ledger that has none."""
        return LedgerEntry(self.username, now, self.by, generation=new_generation())

    def _is_same(self, found: LedgerEntry) -> bool:
        """Return whether the user is still the one of the first round, in the same state."""
        began = self._began or found
        return (found.generation, found.is_revoked) == (began.generation, began.is_revoked)

    async def _note_some(
        self, client: BatchLinuxClient, pool_id: str, records: Sequence[UserRecord]
    ) -> LedgerEntry | None:
        """Note which of some nodes still owe the removal, and which no longer do."""
        owed = Owed.of(record.node_id for record in records if leaves_user(record))
        done = [record.node_id for record in records if record.outcome in _DONE]

        def change(found: LedgerEntry | None) -> LedgerEntry | None:
            # Of a later user all nodes owe the removal of this one.
            if found is None or not self._is_same(found):
                return found
            return note_some(found, done, owed, client.clock.now())

        return await unless_pool_is_gone(change_entry(client, pool_id, self.username, change))


@dataclass
class NodesForUserWait:
    """
    Wait until no node of a target is starting any more.

    :param removing: a node with a new machine has no users, so it is not waited for.
    """

    client: BatchLinuxClient
    target: UserTarget
    removing: bool
    status: str = field(default="", init=False)

    async def poll(self) -> dict[str, Any] | None:
        """Return the pool's id if there is nothing to wait for, else ``None``."""
        pool = await self.client.find_pool(self.target.pool_id)
        nodes = await nodes_if_any(self.client, self.target.pool_id, where=self.target.where)
        plan = plan_of(nodes, self.target.choice, removing=self.removing)
        growing = not self.removing and is_growing(pool) and self.target.lacks_nodes(plan)
        coming = "; the pool is still adding nodes" if growing else ""
        self.status = f"Pool {self.target.pool_id!r}: {plan}{coming}."
        return None if plan.waiting or growing else {"pool_id": self.target.pool_id}
