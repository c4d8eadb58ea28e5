"""Who can log in to which node, found out by trying; knows no operator."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncssh

from tests.batch_account import BatchAccount


def lets_in(account: BatchAccount, username: str, *, pool_id: str = "etl", **credentials: Any) -> set[str]:
    """Give the ids of the nodes that let a user in from outside, by a key or a password."""

    async def tried() -> set[str]:
        answers = await asyncio.gather(
            *(_tried(node.node_id, node.ssh, username, credentials) for node in account.nodes(pool_id))
        )
        return {node_id for node_id in answers if node_id is not None}

    return asyncio.run(tried())


async def _tried(node_id: str, endpoint: Any, username: str, credentials: dict[str, Any]) -> str | None:
    if endpoint is None:
        return None
    options = {"username": username, "known_hosts": None, "config": None, "client_keys": None}
    try:
        async with asyncssh.connect(endpoint.address, endpoint.port, **{**options, **credentials}):
            return node_id
    except (asyncssh.PermissionDenied, OSError):
        return None
