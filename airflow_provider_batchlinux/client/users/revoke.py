"""Taking a user that stands in a pool's ledger off all nodes, in one go."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.users.ledger import leave, read_ledger
from airflow_provider_batchlinux.client.users.nodes import remove_user_from_nodes
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
from airflow_provider_batchlinux.core.users.user import UserOutcome, UserRecord

__all__ = ["failed_records", "revoke_user"]


async def revoke_user(
    client: BatchLinuxClient, pool_id: str, entry: LedgerEntry, *, max_concurrency: int
) -> list[UserRecord] | None:
    """
    Take a user off all nodes, then out of the ledger, where it stays when a node refused.

    :param entry: the user as the ledger had it.
    :param max_concurrency: calls in flight at most.
    :return: what was done on each node; ``None`` when the entry has changed meanwhile, so nothing was done.
    """
    if (await read_ledger(client, pool_id) or {}).get(entry.username) != entry:
        return None
    records = await remove_user_from_nodes(client, pool_id, entry.username, max_concurrency=max_concurrency)
    if not failed_records(records):
        await leave(client, pool_id, entry)
    return records


def failed_records(records: Sequence[UserRecord]) -> list[UserRecord]:
    """Choose the nodes on which it could not be done."""
    return [record for record in records if record.outcome is UserOutcome.FAILED]
