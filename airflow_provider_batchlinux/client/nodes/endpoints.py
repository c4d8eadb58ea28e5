"""Find where a node's SSH server is reached, and whether anything answers there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from async_timeout import timeout

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.core.nodes.addresses import (
    AddressChoice,
    private_endpoint,
    unreachable_reason,
)
from airflow_provider_batchlinux.core.snapshots import Endpoint, NodeSnapshot
from airflow_provider_batchlinux.core.ssh_access import open_to_world, ssh_endpoints
from airflow_provider_batchlinux.exceptions import (
    BatchLinuxError,
    BatchRequestError,
    BatchUnreachableError,
    NodeUsersError,
)

log = logging.getLogger(__name__)


async def find_endpoint(
    client: BatchLinuxClient, pool_id: str, node: NodeSnapshot, choice: AddressChoice
) -> Endpoint | None:
    """Return where a node's SSH server is reached; ``None`` if the node has no address of that kind."""
    if choice == "private":
        return private_endpoint(node)
    if node.ssh is not None:
        # The list of nodes has the mapped port already. A request for each node would double their number.
        return node.ssh
    # For a node that maps only other ports, the service answers with one of those (recorded).
    if not node.maps_only_others:
        try:
            return await client.remote_login(pool_id, node.node_id)
        except BatchRequestError as error:
            # How the service refuses a node without a mapped port is not documented, so any refusal counts.
            log.debug("Node %r of pool %r has no remote login: %s", node.node_id, pool_id, error)
    return None if choice == "public" else private_endpoint(node)


async def require_endpoint(
    client: BatchLinuxClient, pool_id: str, node: NodeSnapshot, choice: AddressChoice
) -> Endpoint:
    """
    Return where a node's SSH server is reached.

    :raises NodeUsersError: the node has no address of that kind.
    """
    found = await find_endpoint(client, pool_id, node, choice)
    if found is None:
        kind = f"{choice} address" if choice else "address"
        remedy = (
            " Create the pool with ssh_from=[...], or give address='private'." if choice == "public" else ""
        )
        msg = f"Node {node.node_id!r} of pool {pool_id!r} names no {kind} to log in at.{remedy}"
        raise NodeUsersError(msg, failed=[node.node_id])
    return found


async def reachable_choice(
    client: BatchLinuxClient, pool: Mapping[str, Any], nodes: Sequence[NodeSnapshot], choice: AddressChoice
) -> AddressChoice:
    """
    Check a choice against a pool before users are added, and return the choice that leads somewhere.

    For a pool without public access, ``None`` becomes ``"private"``, with a warning. A pool that is open to
    the whole Internet gets a warning too, or is refused with ``forbid_open_ssh``.

    :param pool: the pool's REST body.
    :param nodes: nodes of the pool that can be asked.
    :raises NodeUsersError: the choice is ``"public"``, and the pool has no public access; or the pool is open
        to the whole Internet, and that is forbidden.
    """
    if (risk := open_to_world(pool)) is not None:
        if client.forbid_open_ssh:
            msg = (
                f"Pool {pool.get('id')!r}: {risk} forbid_open_ssh refuses users on such a pool, so nothing "
                "was done. Recreate it with the networks that need access in ssh_from."
            )
            raise NodeUsersError(msg, failed=[])
        log.warning("Pool %r: %s", pool.get("id"), risk)
    reason = None if choice == "private" else unreachable_reason(pool, nodes)
    # What the pool's own rules say is certain; otherwise one node is asked.
    unknown = () if ssh_endpoints(pool) else nodes
    asked = next((node for node in unknown if not node.maps_only_others), None)
    if reason is None or (asked and await _has_remote_login(client, str(pool.get("id")), asked)):
        return choice
    if choice == "public":
        msg = f"{reason} Nothing was done."
        raise NodeUsersError(msg, failed=[])
    log.warning("%s", reason)
    return "private"


async def open_pools(client: BatchLinuxClient, pool_ids: Sequence[str] | None = None) -> list[dict[str, str]]:
    """
    Log a warning for each pool whose SSH is open to the whole Internet; return ``pool_id`` and ``reason``.

    :param pool_ids: the pools to look at, which need not exist; ``None`` for all of the account.
    """
    wanted = None if pool_ids is None else {pool_id.lower() for pool_id in pool_ids}
    bodies = await client.list_pools(["id", "creationTime", "networkConfiguration"])
    found = [
        {"pool_id": str(body["id"]), "reason": risk}
        for body in bodies
        if wanted is None or str(body["id"]).lower() in wanted
        if (risk := open_to_world(body)) is not None
    ]
    for pool in found:
        log.warning("Pool %r: %s", pool["pool_id"], pool["reason"])
    return found


async def require_answer(endpoint: Endpoint, *, limit: float) -> None:
    """
    Open a TCP connection to an address, and close it again.

    :param limit: seconds.
    :raises BatchUnreachableError: nothing answered.
    """
    try:
        async with timeout(limit):
            _, writer = await asyncio.open_connection(endpoint.address, endpoint.port)
    except (OSError, asyncio.TimeoutError) as error:
        cause = str(error) or f"no answer within {limit:g} s"
        hint = (
            "The pool's ssh_from lists the networks that have access"
            if endpoint.public
            else "It can be reached from the pool's virtual network only"
        )
        msg = f"Nothing answers at {endpoint.address}:{endpoint.port}: {cause}. {hint}."
        raise BatchUnreachableError(msg) from error
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _has_remote_login(client: BatchLinuxClient, pool_id: str, node: NodeSnapshot) -> bool:
    # Pools from before December 2025 have public access that their REST body does not show.
    try:
        await client.remote_login(pool_id, node.node_id)
    except BatchLinuxError as error:
        return not isinstance(error, BatchRequestError)
    return True
