"""Reconcile one user across the nodes of a pool: now, and again on nodes that become ready."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Protocol

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.nodes.endpoints import find_endpoint, reachable_choice
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.client.users.ledger import check_leave, enter, leave
from airflow_provider_batchlinux.core.nodes.actions import NodeChoice
from airflow_provider_batchlinux.core.nodes.addresses import AddressChoice, private_endpoint
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
    would_lose,
)
from airflow_provider_batchlinux.core.users.user import (
    NodeUser,
    UserOutcome,
    UserRecord,
    username_warnings,
)
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchLinuxError,
    BatchRequestError,
    NodeUsersError,
)

log = logging.getLogger(__name__)

_FIELDS = (*POOL_FIELDS, "metadata", "networkConfiguration")
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

    async def on(
        self, client: BatchLinuxClient, target: UserTarget, pool: Mapping[str, Any] | None, plan: UserPlan
    ) -> list[UserRecord]:
        """Apply the change to the nodes that are due."""

    async def conclude(self, client: BatchLinuxClient, target: UserTarget, result: SyncResult) -> None:
        """Finish the change after the last round."""


async def reconcile(
    client: BatchLinuxClient, target: UserTarget, work: UserWork, so_far: Sequence[UserRecord] = ()
) -> SyncResult:
    """
    Apply a change to all nodes that can take it now.

    :param so_far: the records of earlier rounds. Nodes that are done are not asked again; nodes that failed
        are.
    """
    pool = await client.find_pool_body(target.pool_id, list(_FIELDS))
    if work.removing:
        nodes = await nodes_if_any(client, target.pool_id, where=target.where)
    else:
        nodes = await client.list_nodes(target.pool_id, where=target.where)
    done = [record.node_id for record in so_far if record.outcome in _DONE]
    plan = plan_of(nodes, target.choice, done=done, removing=work.removing)
    fresh = await work.on(client, target, pool, plan)
    growing = not work.removing and is_growing(PoolSnapshot.from_rest(pool) if pool else None)
    left_out = [UserRecord.of(node, work.username, UserOutcome.SKIPPED) for node in plan.skipped]
    if plan.missing and not growing:
        log.warning("Pool %r has no nodes %s.", target.pool_id, joined(plan.missing))
        left_out += [UserRecord(name, "gone", UserOutcome.GONE, work.username) for name in plan.missing]
    records = {record.node_id.lower(): record for record in (*so_far, *fresh, *left_out)}
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


@dataclass(frozen=True)
class AddUser:
    """
    Add a user to nodes. The pool's ledger has it before the first node does.

    :param entry: the user's entry in the ledger.
    :param recreate: if the user exists, remove it and add it again.
    :param take_over: also take over a user that another Dag run holds.
    :param address: which address the records have; ``None`` warns if the pool has no public access, and uses
        the private address.
    """

    user: NodeUser
    entry: LedgerEntry
    max_concurrency: int
    recreate: bool = False
    take_over: bool = False
    address: AddressChoice = None
    removing: bool = field(default=False, init=False)

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
        is_admin = self.entry.is_admin or (before is not None and before.is_admin and not self.recreate)
        entry = replace(self.entry, is_admin=is_admin)
        await enter(client, target.pool_id, entry, now=datetime.now(timezone.utc), take_over=self.take_over)
        return await add_user_to_nodes(
            client,
            target.pool_id,
            self.user,
            max_concurrency=self.max_concurrency,
            nodes=plan.due,
            recreate=self.recreate,
            address=address,
        )

    async def conclude(self, client: BatchLinuxClient, target: UserTarget, result: SyncResult) -> None:
        """Do nothing: removing the user is the task of another operator."""


@dataclass(frozen=True)
class RemoveUser:
    """
    Remove a user from nodes, and from the pool's ledger once no node has it.

    :param by: who removes it, as in the ledger.
    :param take_over: also remove a user that another Dag run holds.
    """

    username: str
    by: Mapping[str, str]
    max_concurrency: int
    take_over: bool = False
    removing: bool = field(default=True, init=False)

    async def on(
        self, client: BatchLinuxClient, target: UserTarget, pool: Mapping[str, Any] | None, plan: UserPlan
    ) -> list[UserRecord]:
        """Remove the user from the nodes that are due."""
        if pool is None:
            return []
        await self._entry(client, target)
        return await remove_user_from_nodes(
            client, target.pool_id, self.username, max_concurrency=self.max_concurrency, nodes=plan.due
        )

    async def conclude(self, client: BatchLinuxClient, target: UserTarget, result: SyncResult) -> None:
        """Remove the user from the ledger, unless a node may still have it."""
        if not target.is_whole_pool or any(leaves_user(record) for record in result.all_records):
            return
        entry = await self._entry(client, target)
        if entry is not None:
            await leave(client, target.pool_id, entry)

    async def _entry(self, client: BatchLinuxClient, target: UserTarget) -> LedgerEntry | None:
        now = datetime.now(timezone.utc)
        return await check_leave(
            client, target.pool_id, self.username, self.by, now=now, take_over=self.take_over
        )


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


async def add_user_to_nodes(
    client: BatchLinuxClient,
    pool_id: str,
    user: NodeUser,
    *,
    max_concurrency: int,
    nodes: Sequence[NodeSnapshot] | None = None,
    recreate: bool = False,
    address: AddressChoice = None,
) -> list[UserRecord]:
    """
    Add the user to nodes, or update it where it exists.

    A node that refuses is recorded as failed and delays no other. If the service throttles one request, all
    slow down together.

    :param max_concurrency: requests in flight at most.
    :param nodes: the nodes; ``None`` for all of the pool.
    :param recreate: where the user exists, remove and add it: an update does not change ``sudo``.
    :param address: which address the records have.
    :raises BatchAuthenticationError: the caller has no permission at all.
    """
    paced = client.paced()

    async def add(node: NodeSnapshot) -> UserRecord:
        outcome, note = await _put(paced, pool_id, node.node_id, user, recreate=recreate)
        try:
            endpoint = await find_endpoint(paced, pool_id, node, address)
        except BatchLinuxError:
            # The node has the user all the same, and an error here would record that it has not.
            endpoint = None if address == "public" else private_endpoint(node)
        return UserRecord.of(node, user.username, outcome, note=note, endpoint=endpoint)

    chosen = await client.list_nodes(pool_id) if nodes is None else nodes
    return await fan_out(chosen, _recorded(user.username, add), max_concurrency=max_concurrency)


async def remove_user_from_nodes(
    client: BatchLinuxClient,
    pool_id: str,
    username: str,
    *,
    max_concurrency: int,
    nodes: Sequence[NodeSnapshot] | None = None,
) -> list[UserRecord]:
    """
    Remove the user from nodes. A node without it, or a node or pool that is gone, is fine.

    :param max_concurrency: requests in flight at most.
    :param nodes: the nodes; ``None`` for all of the pool, except nodes without a machine or with a new one,
        which have no users.
    """
    paced = client.paced()

    async def remove(node: NodeSnapshot) -> UserRecord:
        removed = await paced.delete_node_user(pool_id, node.node_id, username)
        return UserRecord.of(node, username, UserOutcome.REMOVED if removed else UserOutcome.ABSENT)

    skipped: list[UserRecord] = []
    if nodes is None:
        plan = plan_of(await nodes_if_any(client, pool_id), NodeChoice(), removing=True)
        nodes = [*plan.due, *plan.waiting]
        skipped = [UserRecord.of(node, username, UserOutcome.SKIPPED) for node in plan.skipped]
    return [*await fan_out(nodes, _recorded(username, remove), max_concurrency=max_concurrency), *skipped]


async def nodes_if_any(
    client: BatchLinuxClient, pool_id: str, *, where: str | None = None
) -> list[NodeSnapshot]:
    """List a pool's nodes; none if the pool does not exist."""
    try:
        return await client.list_nodes(pool_id, where=where)
    except BatchRequestError as error:
        if error.code == "PoolNotFound":
            return []
        raise


async def _put(
    client: BatchLinuxClient, pool_id: str, node_id: str, user: NodeUser, *, recreate: bool
) -> tuple[UserOutcome, str | None]:
    try:
        await client.create_node_user(pool_id, node_id, user.to_create_rest())
    except BatchRequestError as error:
        if error.code != "NodeUserExists":
            raise
    else:
        return UserOutcome.ADDED, None
    if recreate:
        await client.delete_node_user(pool_id, node_id, user.username)
        await client.create_node_user(pool_id, node_id, user.to_create_rest())
        return UserOutcome.UPDATED, "The user existed: removed and added again."
    await client.replace_node_user(pool_id, node_id, user.username, user.to_replace_rest())
    return UserOutcome.UPDATED, "The user existed: its right to use sudo is unchanged."


def _recorded(
    username: str, work: Callable[[NodeSnapshot], Awaitable[UserRecord]]
) -> Callable[[NodeSnapshot], Awaitable[UserRecord]]:
    """Turn the errors of single nodes into records. Missing permission is an error of all nodes."""

    async def recorded(node: NodeSnapshot) -> UserRecord:
        try:
            return await work(node)
        except BatchAuthenticationError:
            raise
        except BatchLinuxError as error:
            code = error.code if isinstance(error, BatchRequestError) else None
            outcome = UserOutcome.GONE if code == "NodeNotFound" else UserOutcome.FAILED
            return UserRecord.of(node, username, outcome, error=str(error), code=code)

    return recorded
