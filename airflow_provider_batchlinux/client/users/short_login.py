"""One user on one node for the time of one login: put there, and taken off; knows no terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.users.ledger import leave, read_ledger
from airflow_provider_batchlinux.client.users.nodes import Address, nodes_if_any, remove_user_from_nodes
from airflow_provider_batchlinux.client.users.reconcile import AddUser, UserTarget, visit_nodes
from airflow_provider_batchlinux.core.nodes.actions import NodeChoice
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, counts_of
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
from airflow_provider_batchlinux.core.users.user import NodeUser, UserOutcome, UserRecord, failures_text
from airflow_provider_batchlinux.exceptions import NodeUsersError, PoolNotReadyError

__all__ = ["add_login", "pick_node", "remove_login"]


async def pick_node(client: BatchLinuxClient, pool_id: str) -> str:
    """
    Choose a node to look around on: an idle one, or else one that runs tasks.

    :raises PoolNotReadyError: there is neither.
    """
    nodes = await client.list_nodes(pool_id)
    for state in ("idle", "running"):
        for node in nodes:
            if node.state == state:
                return node.node_id
    msg = (
        f"Pool {pool_id!r} has no idle or running node to log in to, but {_counted(nodes)}. Wait for one, or "
        "name the node."
    )
    raise PoolNotReadyError(msg, pool_id=pool_id)


async def add_login(
    client: BatchLinuxClient,
    pool_id: str,
    node_id: str,
    user: NodeUser,
    by: Mapping[str, str],
    *,
    address: Address = "public",
) -> UserRecord:
    """
    Put a user on a node, written into the pool's ledger before.

    :param by: who the user is for, as the ledger is to say it.
    :param address: where the record leads: from outside, or within the virtual network.
    :raises NodeUsersError: the node did not take the user, or has no such address.
    :raises BatchConflictError: somebody else holds a user of that name.
    """
    entry = LedgerEntry(
        user.username, user.expires_at, by, user.fingerprint, user.is_admin, bool(user.password)
    )
    work = AddUser(user, entry, max_concurrency=1, address=address)
    visit = await visit_nodes(client, UserTarget(pool_id, NodeChoice([node_id])), work)
    (record,) = visit.all_records
    if not record.has_user:
        if _was_refused(record):
            await leave(client, pool_id, entry)
        msg = (
            f"User {user.username!r} could not be put on node {node_id!r} of pool {pool_id!r}: {_why(record)}"
        )
        raise NodeUsersError(msg, failed=[node_id], codes={node_id: record.code})
    if record.address is None:
        msg = f"Node {node_id!r} of pool {pool_id!r} names no {address} address to log in at."
        raise NodeUsersError(msg, failed=[node_id])
    return record


async def remove_login(
    client: BatchLinuxClient, pool_id: str, node_id: str, username: str, by: Mapping[str, str]
) -> bool:
    """
    Take a user off its node and out of the ledger; it is fine when the node or the pool is gone.

    :param by: for whom it was put there; a user of somebody else is left alone.
    :return: ``False`` when there was nothing of theirs to take off.
    :raises NodeUsersError: the node may still have the user, and the ledger says so.
    """
    entry = (await read_ledger(client, pool_id) or {}).get(username)
    if entry is None or dict(entry.by) != dict(by):
        return False
    nodes = [node for node in await nodes_if_any(client, pool_id) if node.node_id == node_id]
    records = await remove_user_from_nodes(client, pool_id, username, max_concurrency=1, nodes=nodes)
    failed = [record for record in records if record.outcome is UserOutcome.FAILED]
    if failed:
        msg = f"User {username!r} could not be taken off pool {pool_id!r}: {failures_text(failed)}"
        raise NodeUsersError(msg, failed=[node_id], codes={node_id: failed[0].code})
    await leave(client, pool_id, entry)
    return True


def _was_refused(record: UserRecord) -> bool:
    """Tell whether the user is surely not on the node: without an answer, it may be."""
    return record.code is not None or record.outcome is not UserOutcome.FAILED


def _why(record: UserRecord) -> str:
    if record.outcome is UserOutcome.GONE:
        return "the pool has no such node."
    return record.error or f"the node is {record.state}."


def _counted(nodes: Sequence[NodeSnapshot]) -> str:
    counts = counts_of(nodes)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no nodes at all"
