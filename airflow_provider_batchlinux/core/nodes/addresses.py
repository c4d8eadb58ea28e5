"""Which address of a node people log in at: the public one, or the one in the virtual network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from airflow_provider_batchlinux.core.snapshots import Endpoint, NodeSnapshot
from airflow_provider_batchlinux.core.ssh_access import SSH_PORT

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
    network = pool.get("networkConfiguration") or {}
    nat_pools = (network.get("endpointConfiguration") or {}).get("inboundNATPools") or ()
    if any(nat_pool.get("backendPort") == SSH_PORT for nat_pool in nat_pools):
        return None
    if any(node.ssh is not None for node in nodes):
        return None
    return (
        f"Pool {pool.get('id')!r} maps no port to SSH, so no client outside its virtual network can log in. "
        "Create the pool with ssh_from=[...] (an existing pool accepts it only while it has no nodes), or "
        "give address='private' if people are in the network."
    )
