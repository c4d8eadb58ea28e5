"""Reading the ledgers of many pools, and revoking the users whose time is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.client.users.revoke import failed_records, revoke_user
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.text import joined
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, entries_in
from airflow_provider_batchlinux.core.users.user import UserOutcome, UserRecord
from airflow_provider_batchlinux.exceptions import NodeUsersError

__all__ = ["AuditedUser", "Revocation", "audited_users", "require_revoked", "revoke_overdue"]

_POOLS_AT_ONCE = 4
_NODES_AT_ONCE = 16


@dataclass(frozen=True)
class AuditedUser:
    """A user that stands in a pool's ledger."""

    pool_id: str
    entry: LedgerEntry


@dataclass(frozen=True)
class Revocation:
    """
    What became of an overdue user.

    :param records: what was done on each node; ``None`` when somebody had changed its entry meanwhile.
    """

    user: AuditedUser
    records: list[UserRecord] | None

    @property
    def is_done(self) -> bool:
        """Tell whether the user is gone from all nodes."""
        return self.records is not None and not failed_records(self.records)

    @property
    def removed(self) -> int:
        """The nodes that had the user."""
        return sum(record.outcome is UserOutcome.REMOVED for record in self.records or ())


async def audited_users(client: BatchLinuxClient, pool_ids: Sequence[str] | None = None) -> list[AuditedUser]:
    """
    List the users that stand in the ledgers of pools, those that are being deleted left out.

    :param pool_ids: these pools, of which those that do not exist have none; ``None`` for all of the account.
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
    """Take those users off all nodes whose time is over."""

    async def revoke(user: AuditedUser) -> Revocation:
        records = await revoke_user(client, user.pool_id, user.entry, max_concurrency=_NODES_AT_ONCE)
        return Revocation(user, records)

    overdue = [user for user in users if user.entry.is_over(now)]
    return await fan_out(overdue, revoke, max_concurrency=_POOLS_AT_ONCE)


def require_revoked(revocations: Sequence[Revocation]) -> None:
    """
    Fail when nodes did not let a user go; it stays in the ledger, and the next audit finds it.

    :raises NodeUsersError: all of them are named, with the cause.
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
    msg = f"Overdue users could not be taken off {len(names)} nodes: {joined(names)}.{causes}"
    raise NodeUsersError(msg, failed=names)
