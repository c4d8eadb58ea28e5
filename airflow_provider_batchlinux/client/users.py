"""One user on every node of a pool, put there or taken away in parallel, with a record for each node."""

from __future__ import annotations

from airflow_provider_batchlinux.client.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.fan_out import fan_out
from airflow_provider_batchlinux.core.node_users import NodeUser, UserOutcome, UserRecord
from airflow_provider_batchlinux.core.pool_state import Endpoint, NodeSnapshot
from airflow_provider_batchlinux.core.ssh_access import SSH_PORT
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchLinuxError,
    BatchRequestError,
)

__all__ = ["add_user_to_nodes", "remove_user_from_nodes"]


async def add_user_to_nodes(
    client: BatchLinuxClient, pool_id: str, user: NodeUser, *, at_once: int
) -> list[UserRecord]:
    """
    Add the user to every node, or update it where it exists.

    A node that refuses is recorded as failed and holds up no other. An update leaves the right to use
    ``sudo`` as it was, because the service cannot change it.

    :param at_once: calls in flight at most.
    :raises BatchAuthenticationError: the caller may not do this at all.
    """

    async def add(node: NodeSnapshot) -> UserRecord:
        try:
            outcome = await _put(client, pool_id, node.node_id, user)
        except BatchAuthenticationError:
            raise
        except BatchLinuxError as error:
            return _failure(node, user.username, error)
        endpoint = await _endpoint(client, pool_id, node)
        return UserRecord.of(node, user.username, outcome, endpoint=endpoint)

    return await fan_out(await client.list_nodes(pool_id), add, at_once=at_once)


async def remove_user_from_nodes(
    client: BatchLinuxClient, pool_id: str, username: str, *, at_once: int
) -> list[UserRecord]:
    """
    Remove the user from every node; a node without it, or a node or pool that is gone, is fine.

    :param at_once: calls in flight at most.
    """

    async def remove(node: NodeSnapshot) -> UserRecord:
        try:
            removed = await client.delete_node_user(pool_id, node.node_id, username)
        except BatchAuthenticationError:
            raise
        except BatchLinuxError as error:
            return _failure(node, username, error)
        return UserRecord.of(node, username, UserOutcome.REMOVED if removed else UserOutcome.ABSENT)

    return await fan_out(await _nodes_if_any(client, pool_id), remove, at_once=at_once)


async def _put(client: BatchLinuxClient, pool_id: str, node_id: str, user: NodeUser) -> UserOutcome:
    try:
        await client.create_node_user(pool_id, node_id, user.to_create_rest())
    except BatchRequestError as error:
        if error.code != "NodeUserExists":
            raise
        await client.replace_node_user(pool_id, node_id, user.username, user.to_replace_rest())
        return UserOutcome.UPDATED
    return UserOutcome.ADDED


def _failure(node: NodeSnapshot, username: str, error: BatchLinuxError) -> UserRecord:
    gone = isinstance(error, BatchRequestError) and error.code == "NodeNotFound"
    outcome = UserOutcome.GONE if gone else UserOutcome.FAILED
    return UserRecord.of(node, username, outcome, error=str(error))


async def _endpoint(client: BatchLinuxClient, pool_id: str, node: NodeSnapshot) -> Endpoint | None:
    # The node list names the mapped port already; the call a node is for nodes whose list entry lacks
    # it. What the service answers for a node without a mapping is unknown, so any refusal means none.
    if node.ssh is not None:
        return node.ssh
    try:
        return await client.remote_login(pool_id, node.node_id)
    except BatchRequestError:
        return Endpoint(node.private_address, SSH_PORT, public=False) if node.private_address else None


async def _nodes_if_any(client: BatchLinuxClient, pool_id: str) -> list[NodeSnapshot]:
    try:
        return await client.list_nodes(pool_id)
    except BatchRequestError as error:
        if error.code == "PoolNotFound":
            return []
        raise
