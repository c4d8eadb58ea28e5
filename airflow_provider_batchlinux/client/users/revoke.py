"""Revoke users that a pool's ledger has: one user now, or all users whose time is over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.client.users.ledger import leave, read_ledger
from airflow_provider_batchlinux.client.users.reconcile import nodes_if_any, remove_user_from_nodes
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.text import joined
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, entries_in
from airflow_provider_batchlinux.core.users.user import UserOutcome, UserRecord
from airflow_provider_batchlinux.exceptions import NodeUsersError

_CONCURRENT_POOLS = 4
_CONCURRENT_NODES = 16


async def revoke(
    client: BatchLinuxClient,
    pool_id: str,
    username: str,
    holder: Mapping[str, str] | LedgerEntry,
    *,
    node_ids: Collection[str] | None = None,
    max_concurrency: int = _CONCURRENT_NODES,
) -> list[UserRecord] | None:
    """
    Remove a user from nodes, then from the ledger. The ledger keeps the user if a node refused.

    :param holder: whose user it must be, as the ledger has it; or the whole entry, which must not have
        changed.
    :param node_ids: the only nodes that can have the user; ``None`` for all of the pool.
    :param max_concurrency: requests in flight at most.
    :return: a record for each node; ``None`` if the ledger has no such user of that holder.
    """
    entry = (await read_ledger(client, pool_id) or {}).get(username)
    if entry is None:
        return None
    if entry != holder if isinstance(holder, LedgerEntry) else dict(entry.by) != dict(holder):
        return None
    nodes = None
    if node_ids is not None:
        # By id and not by state, which the work on the node may have changed.
        wanted = {node_id.lower() for node_id in node_ids}
        nodes = [node for node in await nodes_if_any(client, pool_id) if node.node_id.lower() in wanted]
    records = await remove_user_from_nodes(
        client, pool_id, username, max_concurrency=max_concurrency, nodes=nodes
    )
    if not failed_records(records):
        await leave(client, pool_id, entry)
    return records


def failed_records(records: Sequence[UserRecord]) -> list[UserRecord]:
    """Return the records of the nodes that failed."""
    return [record for record in records if record.outcome is UserOutcome.FAILED]


@dataclass(frozen=True)
class AuditedUser:
    """A user in a pool's ledger."""

    pool_id: str
    entry: LedgerEntry


@dataclass(frozen=True)
class Revocation:
    """
    The outcome for an overdue user.

    :param records: a record for each node; ``None`` if the user's entry has changed meanwhile.
    """

    user: AuditedUser
    records: list[UserRecord] | None

    @property
    def is_done(self) -> bool:
        """Whether no node has the user any more."""
        return self.records is not None and not failed_records(self.records)

    @property
    def removed(self) -> int:
        """The number of nodes that had the user."""
        return sum(record.outcome is UserOutcome.REMOVED for record in self.records or ())


async def audited_users(client: BatchLinuxClient, pool_ids: Sequence[str] | None = None) -> list[AuditedUser]:
    """
    List the users in the ledgers of pools, except pools that are being deleted.

    :param pool_ids: the pools, which need not exist; ``None`` for all of the account.
    """
    bodies = await client.list_pools(["id", "state", "metadata"])
    wanted = None if pool_ids is None else {pool_id.lower() for pool_id in pool_ids}
    return [
        AuditedUser(str(body["id"]), entry)
        for body in bodies
        if body.get("state") != "deleting"
        if wanted is None or str(body["id"]).lower() in wanted
        for entry in entries_in(metadata_of(body)).values()
    ]


async def revoke_overdue(
    client: BatchLinuxClient, users: Sequence[AuditedUser], now: datetime
) -> list[Revocation]:
    """Revoke the users whose time is over."""

    async def revoked(user: AuditedUser) -> Revocation:
        return Revocation(user, await revoke(client, user.pool_id, user.entry.username, user.entry))

    overdue = [user for user in users if user.entry.is_over(now)]
    return await fan_out(overdue, revoked, max_concurrency=_CONCURRENT_POOLS)


def require_revoked(revocations: Sequence[Revocation]) -> None:
    """
    Raise ``NodeUsersError`` if nodes did not remove a user, with all nodes and causes.

    The users stay in the ledger, and the next audit finds them.
    """
    failures = [
        (revocation.user, record)
        for revocation in revocations
        for record in failed_records(revocation.records or ())
    ]
    if not failures:
        return
    names = [record.node_id for _, record in failures]
    causes = "".join(
        f"\n  user {user.entry.username!r} on node {record.node_id!r} of pool {user.pool_id!r} "
        f"({record.state}): {record.error}"
        for user, record in failures
    )
    where = "1 node" if len(names) == 1 else f"{len(names)} nodes"
    msg = f"Overdue users could not be removed from {where}: {joined(names)}.{causes}"
    raise NodeUsersError(msg, failed=names)
