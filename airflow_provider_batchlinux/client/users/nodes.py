"""One user on many nodes of a pool, put there or taken away in parallel, with a record for each node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.nodes.actions import NodeChoice
from airflow_provider_batchlinux.core.snapshots import Endpoint, NodeSnapshot
from airflow_provider_batchlinux.core.ssh_access import SSH_PORT
from airflow_provider_batchlinux.core.users.plan import plan_of
from airflow_provider_batchlinux.core.users.user import NodeUser, UserOutcome, UserRecord
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchLinuxError,
    BatchRequestError,
)

__all__ = ["Address", "add_user_to_nodes", "nodes_if_any", "remove_user_from_nodes"]

Address = Literal["public", "private"]

KEPT_RIGHTS = "The user was there: its right to use sudo is as it was."


async def add_user_to_nodes(
    client: BatchLinuxClient,
    pool_id: str,
    user: NodeUser,
    *,
    max_concurrency: int,
    nodes: Sequence[NodeSnapshot] | None = None,
    recreate: bool = False,
    address: Address | None = None,
) -> list[UserRecord]:
    """
    Add the user to nodes, or update it where it exists.

    A node that refuses is recorded as failed and holds up no other. When the service asks one call for
    patience, all slow down together.

    :param max_concurrency: calls in flight at most.
    :param nodes: the nodes; ``None`` for all that the pool has.
    :param recreate: where the user exists, remove and add it, since an update leaves the right to use
        ``sudo`` as it was.
    :param address: where the records lead: ``None`` for the address that is reached from outside where
        there is one, else that within the virtual network.
    :raises BatchAuthenticationError: the caller may not do this at all.
    """
    putting = _Putting(client.paced(), pool_id, user, recreate, address)
    chosen = await client.list_nodes(pool_id) if nodes is None else nodes
    return await fan_out(chosen, _recorded(user.username, putting.on), max_concurrency=max_concurrency)


async def remove_user_from_nodes(
    client: BatchLinuxClient,
    pool_id: str,
    username: str,
    *,
    max_concurrency: int,
    nodes: Sequence[NodeSnapshot] | None = None,
) -> list[UserRecord]:
    """
    Remove the user from nodes; a node without it, or a node or pool that is gone, is fine.

    :param max_concurrency: calls in flight at most.
    :param nodes: the nodes; ``None`` for all that the pool has. Of these, a node without a machine or with a
        new one is skipped, since it has no users.
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
    """List a pool's nodes; none when there is no such pool."""
    try:
        return await client.list_nodes(pool_id, where=where)
    except BatchRequestError as error:
        if error.code == "PoolNotFound":
            return []
        raise


@dataclass(frozen=True)
class _Putting:
    """How one user is put on a node."""

    client: BatchLinuxClient
    pool_id: str
    user: NodeUser
    recreate: bool
    address: Address | None

    async def on(self, node: NodeSnapshot) -> UserRecord:
        outcome, note = await self._put(node.node_id)
        endpoint = await self._endpoint(node)
        return UserRecord.of(node, self.user.username, outcome, note=note, endpoint=endpoint)

    async def _put(self, node_id: str) -> tuple[UserOutcome, str | None]:
        try:
            await self._create(node_id)
        except BatchRequestError as error:
            if error.code != "NodeUserExists":
                raise
            return UserOutcome.UPDATED, await self._update(node_id)
        return UserOutcome.ADDED, None

    async def _update(self, node_id: str) -> str | None:
        if self.recreate:
            await self.client.delete_node_user(self.pool_id, node_id, self.user.username)
            await self._create(node_id)
            return "The user was there: removed, and added anew."
        body = self.user.to_replace_rest()
        await self.client.replace_node_user(self.pool_id, node_id, self.user.username, body)
        return KEPT_RIGHTS

    async def _create(self, node_id: str) -> None:
        await self.client.create_node_user(self.pool_id, node_id, self.user.to_create_rest())

    async def _endpoint(self, node: NodeSnapshot) -> Endpoint | None:
        # The node list names the mapped port already; the call a node is for nodes whose list entry lacks
        # it. What the service answers for a node without a mapping is unknown, so any refusal means none.
        inside = Endpoint(node.private_address, SSH_PORT, public=False) if node.private_address else None
        if self.address == "private":
            return inside
        if node.ssh is not None:
            return node.ssh
        try:
            return await self.client.remote_login(self.pool_id, node.node_id)
        except BatchLinuxError:
            return inside


def _recorded(
    username: str, work: Callable[[NodeSnapshot], Awaitable[UserRecord]]
) -> Callable[[NodeSnapshot], Awaitable[UserRecord]]:
    async def recorded(node: NodeSnapshot) -> UserRecord:
        try:
            return await work(node)
        except BatchAuthenticationError:
            raise
        except BatchLinuxError as error:
            return _failure(node, username, error)

    return recorded


def _failure(node: NodeSnapshot, username: str, error: BatchLinuxError) -> UserRecord:
    code = error.code if isinstance(error, BatchRequestError) else None
    outcome = UserOutcome.GONE if code == "NodeNotFound" else UserOutcome.FAILED
    return UserRecord.of(node, username, outcome, error=str(error), code=code)
