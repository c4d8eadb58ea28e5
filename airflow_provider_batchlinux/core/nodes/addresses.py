"""Which address of a node people log in at: the public one, or the one in the virtual network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from airflow_provider_batchlinux.core.snapshots import Endpoint, NodeSnapshot
from airflow_provider_batchlinux.core.ssh_access import SSH_PORT, is_closed, ssh_endpoints

AddressKind = Literal["public", "private"]
AddressChoice = Literal["public", "private"] | None
"""``None`` prefers the public address, and uses the private one if there is no public one."""


def private_endpoint(node: NodeSnapshot) -> Endpoint | None:
    """Return where a node's SSH server is reached in the virtual network; ``None`` without an address."""
    return Endpoint(node.private_address, SSH_PORT, public=False) if node.private_address else None


def unreachable_reason(pool: Mapping[str, Any], nodes: Iterable[NodeSnapshot]) -> str | None:
    """
    Return why no client outside a pool's virtual network can log in to its nodes; ``None`` if they can.

    :param pool: the pool's REST body.
    """
    endpoints = ssh_endpoints(pool)
    if endpoints and all(map(is_closed, endpoints)):
        return (
            f"Pool {pool.get('id')!r} denies SSH to all networks (ssh_from=[]), so no client outside its "
            "virtual network can log in."
        )
    if endpoints:
        return None
    if any(node.ssh is not None for node in nodes):
        return None
    return (
        f"Pool {pool.get('id')!r} maps no port to SSH, so no client outside its virtual network can log in. "
        "Create the pool with ssh_from=[...] (an existing pool accepts it only while it has no nodes), or "
        "give address='private' if people are in the network."
    )
