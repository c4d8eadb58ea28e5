"""Where a node's SSH server is reached, and whether anything answers there."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.users.nodes import Address
from airflow_provider_batchlinux.core.snapshots import Endpoint, NodeSnapshot
from airflow_provider_batchlinux.core.ssh_access import SSH_PORT
from airflow_provider_batchlinux.exceptions import BatchRequestError, BatchUnreachableError, NodeUsersError

__all__ = ["node_endpoint", "require_answer"]


async def node_endpoint(
    client: BatchLinuxClient, pool_id: str, node: NodeSnapshot, address: Address | None = None
) -> Endpoint:
    """
    Find where a node is logged in to: its remote login settings, else its inbound endpoint, else inside.

    What the service answers for a node without a way in is not documented; any refusal is taken for that.

    :param address: ``"public"`` takes only what is reached from outside, ``"private"`` only the address in
        the virtual network; ``None`` prefers the former.
    :raises NodeUsersError: the node has no such address.
    """
    outside = None if address == "private" else await _outside(client, pool_id, node)
    inside = Endpoint(node.private_address, SSH_PORT, public=False) if node.private_address else None
    found = outside or (None if address == "public" else inside)
    if found is None:
        remedy = (
            " Make the pool with ssh_from=[...], or say address='private'." if address == "public" else ""
        )
        msg = f"Node {node.node_id!r} of pool {pool_id!r} names no {address or ''} address to log in at."
        raise NodeUsersError(msg.replace("no  ", "no ") + remedy, failed=[node.node_id])
    return found


async def require_answer(endpoint: Endpoint, *, timeout: float) -> None:
    """
    Open a TCP connection to an address, and close it again.

    :param timeout: seconds.
    :raises BatchUnreachableError: nothing answered.
    """
    try:
        opening = asyncio.open_connection(endpoint.address, endpoint.port)
        _, writer = await asyncio.wait_for(opening, timeout)
    except (OSError, asyncio.TimeoutError) as error:
        cause = str(error) or f"no answer within {timeout:g} s"
        hint = (
            "The pool's ssh_from names the networks that may"
            if endpoint.public
            else "It is reached from the pool's virtual network only"
        )
        msg = f"Nothing answers at {endpoint.address}:{endpoint.port}: {cause}. {hint}."
        raise BatchUnreachableError(msg) from error
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _outside(client: BatchLinuxClient, pool_id: str, node: NodeSnapshot) -> Endpoint | None:
    try:
        return await client.remote_login(pool_id, node.node_id)
    except BatchRequestError:
        return node.ssh
