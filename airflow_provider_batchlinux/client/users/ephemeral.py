"""Users that live for one task: what an earlier try of it left behind, and all nodes at once."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.users.ledger import leave, read_ledger
from airflow_provider_batchlinux.client.users.nodes import Address, nodes_if_any, remove_user_from_nodes
from airflow_provider_batchlinux.client.users.reconcile import AddUser, SyncResult, UserTarget, visit_nodes
from airflow_provider_batchlinux.client.users.revoke import failed_records, revoke_user
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
from airflow_provider_batchlinux.core.users.user import NodeUser, failures_text
from airflow_provider_batchlinux.exceptions import NodeUsersError

__all__ = ["EPHEMERAL", "TRY", "admit_everywhere", "clear_leftovers", "dismiss_everywhere", "ephemeral_name"]

log = logging.getLogger(__name__)

EPHEMERAL = "af-"
"""What the names of ephemeral users begin with."""

TRY = "try_number"
"""What the ledger calls the try of a task that holds an ephemeral user."""


def ephemeral_name() -> str:
    """Make a user name that nobody else has."""
    return EPHEMERAL + secrets.token_hex(6)


async def clear_leftovers(
    client: BatchLinuxClient, pool_id: str, by: Mapping[str, str], *, max_concurrency: int = 16
) -> None:
    """
    Take off what earlier tries of the same task instance left, because their worker died.

    :param by: the task instance and its try.
    """
    for entry in (await read_ledger(client, pool_id) or {}).values():
        if not entry.username.startswith(EPHEMERAL) or not _is_earlier(entry.by, by):
            continue
        log.warning("Pool %r: an earlier try left user %r, which is taken off.", pool_id, entry.username)
        records = await revoke_user(client, pool_id, entry, max_concurrency=max_concurrency)
        if failed := failed_records(records or []):
            log.warning("Pool %r: user %r is still on %s", pool_id, entry.username, failures_text(failed))


async def admit_everywhere(
    client: BatchLinuxClient,
    target: UserTarget,
    user: NodeUser,
    by: Mapping[str, str],
    *,
    address: Address | None,
    max_concurrency: int,
) -> SyncResult:
    """
    Put a user on the nodes that are meant, written into the pool's ledger before.

    :param address: where the records lead.
    :return: a record for each node; those that are not ready are among the ones waited for.
    """
    entry = LedgerEntry(user.username, user.expires_at, by, user.fingerprint, user.is_admin)
    await clear_leftovers(client, target.pool_id, by)
    return await visit_nodes(
        client, target, AddUser(user, entry, max_concurrency=max_concurrency, address=address)
    )


async def dismiss_everywhere(
    client: BatchLinuxClient, target: UserTarget, username: str, *, max_concurrency: int
) -> None:
    """
    Take a user off the nodes that are meant, and out of the ledger where it is still there.

    :raises NodeUsersError: some nodes may still have the user, and the ledger says so.
    """
    entry = (await read_ledger(client, target.pool_id) or {}).get(username)
    # By id, not by state: the command may have changed that.
    ids = None if target.choice.node_ids is None else {name.lower() for name in target.choice.node_ids}
    there = await nodes_if_any(client, target.pool_id)
    nodes = None if ids is None else [node for node in there if node.node_id.lower() in ids]
    records = await remove_user_from_nodes(
        client, target.pool_id, username, max_concurrency=max_concurrency, nodes=nodes
    )
    if failed := failed_records(records):
        names = [record.node_id for record in failed]
        msg = f"User {username!r} could not be taken off pool {target.pool_id!r}: {failures_text(failed)}"
        raise NodeUsersError(msg, failed=names)
    if entry is not None:
        await leave(client, target.pool_id, entry)


def _is_earlier(found: Mapping[str, str], by: Mapping[str, str]) -> bool:
    same = TRY in by and {**found, TRY: ""} == {**by, TRY: ""}
    return same and found.get(TRY) != by[TRY]
