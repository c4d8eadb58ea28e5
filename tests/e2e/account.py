"""What the Batch account holds, seen from the outside while Airflow works on it; knows no operator."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient, open_client
from airflow_provider_batchlinux.client.users.ledger import read_ledger
from airflow_provider_batchlinux.core.ssh_access import nat_pool
from airflow_provider_batchlinux.emulator import EmulatorControl
from airflow_provider_batchlinux.exceptions import BatchRequestError
from tests.e2e.polling import until
from tests.embedded_service import Service

__all__ = ["Account"]

T = TypeVar("T")

_READY_LIMIT = 60.0
_IMAGE = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
_NODE_AGENT = "batch.node.ubuntu 24.04"


@dataclass(frozen=True)
class Account:
    """The account of an embedded service that runs as a process of its own."""

    service: Service

    @property
    def control(self) -> EmulatorControl:
        """What happens to the account from the outside."""
        return self.service.control

    def ask(self, scenario: Callable[[BatchLinuxClient], Awaitable[T]]) -> T:
        """Run a coroutine that needs a client."""

        async def whole() -> T:
            async with open_client(self.service.settings) as client:
                return await scenario(client)

        return asyncio.run(whole())

    def make_pool(self, pool_id: str, *, nodes: int, ssh: bool = False) -> None:
        """
        Make a pool, and wait until its nodes are idle.

        :param ssh: whether they let people in from outside.
        """
        body: dict[str, Any] = {
            "id": pool_id,
            "vmSize": "standard_d2s_v5",
            "virtualMachineConfiguration": {"imageReference": _IMAGE, "nodeAgentSKUId": _NODE_AGENT},
            "targetDedicatedNodes": nodes,
        }
        if ssh:
            endpoints = {"inboundNATPools": [nat_pool(["127.0.0.0/8"], nodes)]}
            body["networkConfiguration"] = {"endpointConfiguration": endpoints}
        self.ask(lambda client: client.create_pool(body))
        idle = {"idle": nodes}
        until(lambda: self.counts(pool_id) == idle, f"pool {pool_id!r}", limit=_READY_LIMIT)

    def delete_pool(self, pool_id: str) -> None:
        """Ask for a pool's deletion."""
        self.ask(lambda client: client.delete_pool(pool_id))

    def pool(self, pool_id: str) -> Mapping[str, Any]:
        """Get a pool as the service shows it."""
        body = self.ask(lambda client: client.find_pool_body(pool_id))
        assert body is not None, pool_id
        return body

    def nodes(self, pool_id: str) -> list[str]:
        """List the ids of a pool's nodes."""
        return [node.node_id for node in self.ask(lambda client: client.list_nodes(pool_id))]

    def counts(self, pool_id: str) -> dict[str, int]:
        """Count a pool's nodes by state."""
        return self.ask(lambda client: client.node_counts(pool_id))

    def asked_of(self, pool_id: str) -> list[str]:
        """List what the pool itself was asked to do so far, also where the answer is held back."""
        posts = [request["path"] for request in self.control.requests() if request["method"] == "POST"]
        return [path.rpartition("/")[2] for path in posts if path.startswith(f"/pools/{pool_id}/")]

    def pools(self) -> list[str]:
        """List the ids of all pools."""
        return self._ids("list_pools")

    def jobs(self) -> list[str]:
        """List the ids of all jobs."""
        return self._ids("list_jobs")

    def users(self, pool_id: str) -> dict[str, int]:
        """Give the users in a pool's ledger, and on how many nodes the service has them."""

        async def scenario(client: BatchLinuxClient) -> dict[str, int]:
            names = await read_ledger(client, pool_id) or {}
            nodes = await client.list_nodes(pool_id)
            return {
                name: sum([await _has(client, pool_id, node.node_id, name) for node in nodes])
                for name in names
            }

        return self.ask(scenario)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Let the service take connections and answer none until the block ends."""
        self.service.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.service.process.send_signal(signal.SIGCONT)

    def _ids(self, verb: str) -> list[str]:
        async def scenario(client: Any) -> list[str]:
            return [item["id"] async for item in getattr(client.sdk, verb)(select=["id"])]

        return self.ask(scenario)


async def _has(client: BatchLinuxClient, pool_id: str, node_id: str, username: str) -> bool:
    # Users cannot be listed; an attempt to add one without key and password tells whether it is there.
    try:
        await client.create_node_user(pool_id, node_id, {"name": username})
    except BatchRequestError as error:
        if error.code != "NodeUserExists":
            raise
        return True
    await client.delete_node_user(pool_id, node_id, username)
    return False
