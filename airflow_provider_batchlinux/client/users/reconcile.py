"""Visiting the nodes of a pool to put a user there or to take it away, as often as nodes become ready."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Protocol

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.users.ledger import check_leave, enter, leave, read_ledger
from airflow_provider_batchlinux.client.users.nodes import (
    Address,
    add_user_to_nodes,
    nodes_if_any,
    remove_user_from_nodes,
)
from airflow_provider_batchlinux.client.users.revoke import revoke_user
from airflow_provider_batchlinux.core.nodes.actions import NodeChoice
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.snapshots import POOL_FIELDS, NodeSnapshot, PoolSnapshot
from airflow_provider_batchlinux.core.text import joined
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, entries_in
from airflow_provider_batchlinux.core.users.plan import (
    UserPlan,
    is_growing,
    leaves_user,
    not_ready,
    plan_of,
    refused_too_early,
    unreachable_reason,
    would_lose,
)
from airflow_provider_batchlinux.core.users.user import NodeUser, UserOutcome, UserRecord
from airflow_provider_batchlinux.exceptions import BatchLinuxError, BatchRequestError, NodeUsersError

__all__ = [
    "AddUser",
    "NodesForUserWait",
    "RemoveUser",
    "SyncResult",
    "UserTarget",
    "UserWork",
    "take_back",
    "visit_nodes",
]

log = logging.getLogger(__name__)

_SITE_FIELDS = (*POOL_FIELDS, "metadata", "networkConfiguration")


@dataclass(frozen=True)
class UserTarget:
    """
    The nodes that a user is meant for.

    :param choice: by their ids or states.
    :param where: an OData filter that the service applies to the list of nodes; ``None`` for none.
    """

    pool_id: str
    choice: NodeChoice = field(default_factory=NodeChoice)
    where: str | None = None

    @property
    def is_whole_pool(self) -> bool:
        """Whether all nodes of the pool are meant."""
        return self.choice == NodeChoice() and self.where is None


@dataclass(frozen=True)
class SyncResult:
    """
    What became of the user on every node so far.

    :param records: one for each node that was called for or skipped, in this visit or an earlier one.
    :param waiting: records of nodes that are on their way, as failures should nobody wait for them.
    :param is_growing: the pool is about to get nodes that its list does not hold yet.
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
        """The records, with those of nodes that were waited for in vain."""
        return [*self.records, *self.waiting]


class UserWork(Protocol):
    """What is done about a user: putting it there, or taking it away."""

    @property
    def username(self) -> str:
        """The user's name."""

    @property
    def removing(self) -> bool:
        """Whether the user is taken away."""

    async def on(
        self, client: BatchLinuxClient, target: UserTarget, pool: Mapping[str, Any] | None, plan: UserPlan
    ) -> list[UserRecord]:
        """Do it on the nodes that are due."""

    async def conclude(self, client: BatchLinuxClient, target: UserTarget, visit: SyncResult) -> None:
        """Do what is left when the last visit is over."""


async def visit_nodes(
    client: BatchLinuxClient, target: UserTarget, work: UserWork, so_far: Sequence[UserRecord] = ()
) -> SyncResult:
    """
    Do what is due on the nodes of a pool at this moment.

    :param so_far: the records of earlier visits; nodes where it is done are not called for again, those
        that failed are.
    """
    pool = await client.find_pool_body(target.pool_id, list(_SITE_FIELDS))
    nodes = await _nodes(client, target, work)
    plan = plan_of(nodes, target.choice, done=_done(so_far), removing=work.removing)
    fresh = await work.on(client, target, pool, plan)
    early = [record for record in fresh if refused_too_early(record)]
    if target.choice.states is not None:
        early = []
    growing = not work.removing and is_growing(PoolSnapshot.from_rest(pool) if pool else None)
    return SyncResult(
        records=_merged(so_far, [*fresh, *_left_out(plan, work, growing=growing)], without=early),
        waiting=(*early, *(not_ready(node, work.username) for node in plan.waiting)),
        is_growing=growing and target.choice.states is None and _lacks_nodes(target, plan),
    )


@dataclass(frozen=True)
class AddUser:
    """
    Put a user on nodes, and write it into the pool's ledger before.

    :param entry: what the ledger is to say of the user.
    :param recreate: where the user exists, remove and add it.
    :param take_over: also take over a user that another Dag run holds.
    :param address: where people log in; ``None`` warns when the pool has no way in from outside, and leads
        to the address within its network.
    """

    user: NodeUser
    entry: LedgerEntry
    max_concurrency: int
    recreate: bool = False
    take_over: bool = False
    address: Address | None = None
    removing: bool = field(default=False, init=False)

    @property
    def username(self) -> str:
        """The user's name."""
        return self.user.username

    async def on(
        self, client: BatchLinuxClient, target: UserTarget, pool: Mapping[str, Any] | None, plan: UserPlan
    ) -> list[UserRecord]:
        """Put the user on the nodes that are due."""
        address = await self._way_in(client, target.pool_id, pool or {}, plan.due)
        before = entries_in(metadata_of(pool or {})).get(self.username)
        self._require_nothing_lost(before, target.pool_id)
        await enter(client, target.pool_id, self._entry(before), now=_utc_now(), take_over=self.take_over)
        return await add_user_to_nodes(
            client,
            target.pool_id,
            self.user,
            max_concurrency=self.max_concurrency,
            nodes=plan.due,
            recreate=self.recreate,
            address=address,
        )

    async def conclude(self, client: BatchLinuxClient, target: UserTarget, visit: SyncResult) -> None:
        """Leave all as it is: the user's end is for others to see to."""

    def _entry(self, before: LedgerEntry | None) -> LedgerEntry:
        # An update leaves sudo where it was given before.
        kept = before is not None and before.is_admin and not self.recreate
        return replace(self.entry, is_admin=self.entry.is_admin or kept)

    def _require_nothing_lost(self, before: LedgerEntry | None, pool_id: str) -> None:
        lost = would_lose(before, self.entry) if not self.recreate else []
        if not lost:
            return
        msg = (
            f"User {self.username!r} is on pool {pool_id!r} with {' and '.join(lost)}, which an update "
            "without it would take away. Give it again, or pass recreate=True to begin anew with what is "
            "given."
        )
        raise NodeUsersError(msg, failed=[])

    async def _way_in(
        self, client: BatchLinuxClient, pool_id: str, pool: Mapping[str, Any], nodes: Sequence[NodeSnapshot]
    ) -> Address | None:
        if self.address == "private" or not nodes:
            return self.address
        reason = unreachable_reason(pool, nodes)
        if reason is None or await _answers_login(client, pool_id, nodes[0]):
            return self.address
        if self.address == "public":
            msg = f"{reason} Nothing was done."
            raise NodeUsersError(msg, failed=[])
        log.warning("%s", reason)
        return "private"


@dataclass(frozen=True)
class RemoveUser:
    """
    Take a user off nodes, and strike it from the pool's ledger when it is off all of them.

    :param by: who does so, as the ledger writes it.
    :param take_over: also take off a user that another Dag run holds.
    """

    username: str
    by: Mapping[str, str]
    max_concurrency: int
    take_over: bool = False
    removing: bool = field(default=True, init=False)

    async def on(
        self, client: BatchLinuxClient, target: UserTarget, pool: Mapping[str, Any] | None, plan: UserPlan
    ) -> list[UserRecord]:
        """Take the user off the nodes that are due."""
        if pool is None:
            return []
        await self._entry(client, target)
        return await remove_user_from_nodes(
            client, target.pool_id, self.username, max_concurrency=self.max_concurrency, nodes=plan.due
        )

    async def conclude(self, client: BatchLinuxClient, target: UserTarget, visit: SyncResult) -> None:
        """Strike the user from the ledger, unless a node may still have it."""
        if not target.is_whole_pool or any(leaves_user(record) for record in visit.all_records):
            return
        entry = await self._entry(client, target)
        if entry is not None:
            await leave(client, target.pool_id, entry)

    async def _entry(self, client: BatchLinuxClient, target: UserTarget) -> LedgerEntry | None:
        return await check_leave(
            client, target.pool_id, self.username, self.by, now=_utc_now(), take_over=self.take_over
        )


@dataclass
class NodesForUserWait:
    """
    Wait until no node that is meant is on its way any more.

    :param removing: a node with a new machine has no users, and is not waited for.
    """

    client: BatchLinuxClient
    target: UserTarget
    removing: bool
    status: str = field(default="", init=False)

    async def poll(self) -> dict[str, Any] | None:
        """Look once: the pool's id when it is over, ``None`` to go on waiting."""
        pool = await self.client.find_pool(self.target.pool_id)
        nodes = await nodes_if_any(self.client, self.target.pool_id, where=self.target.where)
        plan = plan_of(nodes, self.target.choice, removing=self.removing)
        growing = not self.removing and is_growing(pool) and _lacks_nodes(self.target, plan)
        coming = "; more nodes are on their way" if growing else ""
        self.status = f"Pool {self.target.pool_id!r}: {plan}{coming}."
        return None if plan.waiting or growing else {"pool_id": self.target.pool_id}


async def take_back(
    client: BatchLinuxClient, pool_id: str, username: str, by: Mapping[str, str], *, max_concurrency: int
) -> None:
    """
    Take a user off all nodes that a task instance was about to put there, unless somebody else has it now.

    :param by: the task instance, as it stands in the ledger.
    """
    entry = (await read_ledger(client, pool_id) or {}).get(username)
    if entry is None or dict(entry.by) != dict(by):
        return
    records = await revoke_user(client, pool_id, entry, max_concurrency=max_concurrency) or ()
    failed = [record.node_id for record in records if record.outcome is UserOutcome.FAILED]
    if failed:
        log.warning("User %r may still be on nodes %s of pool %r.", username, joined(failed), pool_id)
    else:
        log.info("Took user %r off pool %r, because its task was ended.", username, pool_id)


async def _nodes(client: BatchLinuxClient, target: UserTarget, work: UserWork) -> list[NodeSnapshot]:
    if work.removing:
        return await nodes_if_any(client, target.pool_id, where=target.where)
    return await client.list_nodes(target.pool_id, where=target.where)


async def _answers_login(client: BatchLinuxClient, pool_id: str, node: NodeSnapshot) -> bool:
    # Pools from before December 2025 have a way in that their body does not show.
    try:
        await client.remote_login(pool_id, node.node_id)
    except BatchLinuxError as error:
        return not isinstance(error, BatchRequestError)
    return True


def _lacks_nodes(target: UserTarget, plan: UserPlan) -> bool:
    return target.choice.node_ids is None or bool(plan.missing)


def _left_out(plan: UserPlan, work: UserWork, *, growing: bool) -> list[UserRecord]:
    skipped = [UserRecord.of(node, work.username, UserOutcome.SKIPPED) for node in plan.skipped]
    if growing:
        return skipped
    if plan.missing:
        log.warning("The pool has no nodes %s.", joined(plan.missing))
    gone = [UserRecord(node_id, "gone", UserOutcome.GONE, work.username) for node_id in plan.missing]
    return [*skipped, *gone]


def _done(records: Sequence[UserRecord]) -> Collection[str]:
    over = (UserOutcome.ADDED, UserOutcome.UPDATED, UserOutcome.REMOVED, UserOutcome.ABSENT)
    return [record.node_id for record in records if record.outcome in over]


def _merged(
    before: Sequence[UserRecord], fresh: Sequence[UserRecord], *, without: Sequence[UserRecord]
) -> tuple[UserRecord, ...]:
    records = {record.node_id.lower(): record for record in (*before, *fresh)}
    for record in without:
        del records[record.node_id.lower()]
    return tuple(records.values())


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)
