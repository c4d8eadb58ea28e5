"""Send the requests about a user to nodes, under a claim in the pool's ledger."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.nodes.endpoints import find_endpoint
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.client.users.ledger import (
    Guard,
    change_entry,
    read_entry,
    superseded,
    unless_pool_is_gone,
)
from airflow_provider_batchlinux.core.nodes.addresses import AddressChoice, private_endpoint
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.users.access import claim, may_add, release
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, Owed
from airflow_provider_batchlinux.core.users.plan import (
    changed_meanwhile,
    is_unanswered,
    leaves_user,
    left_out,
    owed_plan,
)
from airflow_provider_batchlinux.core.users.user import NodeUser, UserOutcome, UserRecord
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchLinuxError,
    BatchRequestError,
)

log = logging.getLogger(__name__)

_FENCE_PAUSE = 0.5
"""Seconds between two looks whether requests about an earlier user have ended."""


async def claimed(client: BatchLinuxClient, pool_id: str, entry: LedgerEntry, token: str) -> LedgerEntry:
    """
    Wait until no request about an earlier user of the name can be in flight, and claim the entry then.

    :param entry: the user's entry, which has the claim unless there was something to wait for.
    :raises BatchConflictError: the user was removed or given to another holder meanwhile.
    """

    def begin(found: LedgerEntry | None) -> LedgerEntry | None:
        now = client.clock.now()
        if found is None or not may_add(found, entry.generation) or found.fenced_until(now) is not None:
            return found
        return claim(found, token, now, adds=True)

    found: LedgerEntry | None = entry
    is_told = False
    while found is not None and may_add(found, entry.generation):
        if any(one.token == token for one in found.claims):
            return found
        until = found.fenced_until(client.clock.now()) or client.clock.now()
        if not is_told:
            is_told = True
            log.info(
                "Pool %r: waiting until requests about an earlier user %r have ended, at the latest at %s.",
                pool_id, entry.username, until.isoformat(timespec="seconds"),
            )  # fmt: skip
        await client.retry.sleep(_FENCE_PAUSE)
        found = await change_entry(client, pool_id, entry.username, begin)
    raise superseded(pool_id, entry.username, found)


async def put_on_nodes(
    client: BatchLinuxClient,
    pool_id: str,
    user: NodeUser,
    entry: LedgerEntry,
    token: str,
    nodes: Sequence[NodeSnapshot],
    *,
    every_node: Sequence[NodeSnapshot] | None = None,
    max_concurrency: int,
    recreate: bool = False,
    address: AddressChoice = None,
) -> tuple[list[UserRecord], LedgerEntry | None]:
    """
    Add a user to nodes under a claim; before that, remove what nodes have of earlier users of the name.

    The claim ends when all requests were answered. It stays if one was not, or if this is cancelled.

    :param entry: the user's entry, which has the claim and is not fenced.
    :param token: the claim.
    :param nodes: the nodes that get the user.
    :param every_node: all nodes of the pool; ``None`` lists them if they are needed.
    :return: the records of the nodes, and the user's entry afterwards.
    """
    guard = Guard(
        client,
        pool_id,
        user.username,
        partial(may_add, generation=entry.generation),
        token,
        adds=True,
    )
    owing: dict[str, UserRecord] = {}
    if entry.owed:
        every_node = await client.list_nodes(pool_id) if every_node is None else every_node
        owing = await _pay_first(client, entry, every_node, guard, max_concurrency)
    records = await add_user_to_nodes(
        client,
        pool_id,
        user,
        max_concurrency=max_concurrency,
        nodes=[node for node in nodes if node.node_id not in owing],
        recreate=recreate,
        address=address,
        guard=guard,
    )
    asked = {record.node_id: record for record in (*owing.values(), *records)}
    found = await end_claim(client, pool_id, user.username, token, (*owing.values(), *records))
    return [asked[node.node_id] for node in nodes], found


async def end_claim(
    client: BatchLinuxClient, pool_id: str, username: str, token: str, records: Sequence[UserRecord]
) -> LedgerEntry | None:
    """Release a claim, unless a request may still be carried out; return the user's entry afterwards."""
    if any(map(is_unanswered, records)):
        return await read_entry(client, pool_id, username)

    def change(found: LedgerEntry | None) -> LedgerEntry | None:
        return None if found is None else release(found, token, client.clock.now())

    return await unless_pool_is_gone(change_entry(client, pool_id, username, change))


async def remove_owed(
    client: BatchLinuxClient,
    pool_id: str,
    username: str,
    owed: Owed,
    nodes: Sequence[NodeSnapshot],
    guard: Guard,
    *,
    max_concurrency: int,
) -> list[UserRecord]:
    """Remove a user from the nodes that owe it, and return a record for each of these."""
    plan = owed_plan(nodes, owed)
    asked = [*plan.due, *plan.waiting]
    records = await remove_user_from_nodes(
        client, pool_id, username, max_concurrency=max_concurrency, nodes=asked, guard=guard
    )
    return [*records, *(left_out(node, username, removing=True) for node in plan.skipped)]


async def add_user_to_nodes(
    client: BatchLinuxClient,
    pool_id: str,
    user: NodeUser,
    *,
    max_concurrency: int,
    nodes: Sequence[NodeSnapshot] | None = None,
    recreate: bool = False,
    address: AddressChoice = None,
    guard: Guard | None = None,
) -> list[UserRecord]:
    """
    Add the user to nodes, or update it where it exists.

    A node that refuses is recorded as failed and delays no other. If the service throttles one request, all
    slow down together.

    :param max_concurrency: requests in flight at most.
    :param nodes: the nodes; ``None`` for all of the pool.
    :param recreate: where the user exists, remove and add it: an update does not change ``sudo``.
    :param address: which address the records have.
    :param guard: looks whether the user is still wanted before each node; ``None`` does not look.
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
    return await fan_out(chosen, _recorded(user.username, add, guard), max_concurrency=max_concurrency)


async def remove_user_from_nodes(
    client: BatchLinuxClient,
    pool_id: str,
    username: str,
    *,
    max_concurrency: int,
    nodes: Sequence[NodeSnapshot],
    guard: Guard,
) -> list[UserRecord]:
    """
    Remove the user from nodes. A node without it, or a node or pool that is gone, is fine.

    :param max_concurrency: requests in flight at most.
    :param guard: looks whether the user is still to be removed before each node.
    """
    paced = client.paced()

    async def remove(node: NodeSnapshot) -> UserRecord:
        removed = await paced.delete_node_user(pool_id, node.node_id, username)
        return UserRecord.of(node, username, UserOutcome.REMOVED if removed else UserOutcome.ABSENT)

    return await fan_out(nodes, _recorded(username, remove, guard), max_concurrency=max_concurrency)


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


async def _pay_first(
    client: BatchLinuxClient,
    entry: LedgerEntry,
    nodes: Sequence[NodeSnapshot],
    guard: Guard,
    max_concurrency: int,
) -> dict[str, UserRecord]:
    """Remove earlier users of the name, note what is still owed, and return the records of those nodes."""
    pool_id, username = guard.pool_id, guard.username
    records = await remove_owed(
        client, pool_id, username, entry.owed, nodes, guard, max_concurrency=max_concurrency
    )
    owing = {record.node_id: record for record in records if leaves_user(record)}

    def noted(found: LedgerEntry | None) -> LedgerEntry | None:
        return replace(found, owed=Owed.of(owing)) if guard.is_held(found) else found

    await change_entry(client, pool_id, username, noted)
    return owing


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
    username: str, work: Callable[[NodeSnapshot], Awaitable[UserRecord]], guard: Guard | None
) -> Callable[[NodeSnapshot], Awaitable[UserRecord]]:
    """Turn the errors of single nodes into records. Missing permission is an error of all nodes."""

    async def recorded(node: NodeSnapshot) -> UserRecord:
        try:
            if guard is not None and not await guard.holds():
                return changed_meanwhile(node, username)
            return await work(node)
        except BatchAuthenticationError:
            raise
        except BatchLinuxError as error:
            code = error.code if isinstance(error, BatchRequestError) else None
            outcome = UserOutcome.GONE if code == "NodeNotFound" else UserOutcome.FAILED
            return UserRecord.of(node, username, outcome, error=str(error), code=code)

    return recorded
