"""A Batch account brought into a state for a test, and looked at afterwards; knows no operator."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.ssh_access import nat_pool
from airflow_provider_batchlinux.emulator import EmulatorControl, RunningEmulator
from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook

UBUNTU = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
NODE_AGENT = "batch.node.ubuntu 24.04"
LIMIT = 20.0
"""Seconds after which an expected state is given up; the usual wait is milliseconds."""


@dataclass(frozen=True)
class BatchAccount:
    """An account of the embedded service that the default connection leads to."""

    service: RunningEmulator

    @property
    def control(self) -> EmulatorControl:
        """What happens to the account from the outside."""
        return self.service.control

    @property
    def hook(self) -> BatchLinuxHook:
        """A way to the account that does not go through the code under test."""
        return BatchLinuxHook()

    def make_pool(
        self,
        pool_id: str = "etl",
        *,
        dedicated: int = 0,
        spot: int = 0,
        ssh: bool = False,
        start_task: str | None = None,
        until: Mapping[str, int] | None = None,
    ) -> str:
        """
        Make a pool without an operator, and give its id.

        :param until: nodes by state to wait for; ``None`` waits for nothing.
        """
        body: dict[str, Any] = {
            "id": pool_id,
            "vmSize": "standard_d2s_v5",
            "virtualMachineConfiguration": {"imageReference": UBUNTU, "nodeAgentSKUId": NODE_AGENT},
            "targetDedicatedNodes": dedicated,
            "targetLowPriorityNodes": spot,
        }
        if start_task is not None:
            body["startTask"] = {"commandLine": f"/bin/bash -c '{start_task}'", "waitForSuccess": True}
        if ssh:
            nat_pools = [nat_pool(["203.0.113.0/24"], dedicated + spot)]
            body["networkConfiguration"] = {"endpointConfiguration": {"inboundNATPools": nat_pools}}
        self.hook.run(lambda client: client.create_pool(body))
        if until is not None:
            self.wait_for_nodes(until, pool_id=pool_id)
        return pool_id

    def wait_for_nodes(self, counts: Mapping[str, int], *, pool_id: str = "etl") -> None:
        """Return when a pool is steady and has these nodes by state."""
        eventually(lambda: self._has_settled(pool_id, counts))

    def delete_pool(self, pool_id: str = "etl") -> None:
        """Delete a pool, and return when it is gone."""
        self.hook.delete_pool(pool_id)
        eventually(lambda: self.hook.find_pool(pool_id) is None)

    def idle_pool(self, nodes: int = 1, *, pool_id: str = "etl", ssh: bool = False) -> str:
        """Make a pool whose dedicated nodes are idle."""
        return self.make_pool(pool_id, dedicated=nodes, ssh=ssh, until={"idle": nodes})

    def nodes(self, pool_id: str = "etl") -> list[NodeSnapshot]:
        """List a pool's nodes."""
        return self.hook.list_nodes(pool_id)

    def put_node(
        self, state: str, *, pool_id: str = "etl", errors: list[dict[str, Any]] | None = None
    ) -> str:
        """Force the first node of a pool into a state, and give its id."""
        node_id = self.nodes(pool_id)[0].node_id
        self.control.set_node(pool_id, node_id, state, errors)
        return node_id

    def pools(self) -> list[str]:
        """List the ids of all pools."""
        return self._ids("list_pools")

    def jobs(self) -> list[str]:
        """List the ids of all jobs."""
        return self._ids("list_jobs")

    def requests(self) -> list[str]:
        """List what was asked of the service, by method and path."""
        return [f"{request['method']} {request['path']}" for request in self.control.requests()]

    def _has_settled(self, pool_id: str, counts: Mapping[str, int]) -> bool:
        pool = self.hook.find_pool(pool_id)
        settled = pool is not None and pool.allocation_state == "steady"
        return settled and self.hook.node_counts(pool_id) == counts

    def _ids(self, verb: str) -> list[str]:
        async def scenario(client: Any) -> list[str]:
            return [item["id"] async for item in getattr(client.sdk, verb)(select=["id"])]

        return self.hook.run(scenario)


def eventually(holds: Callable[[], object]) -> None:
    """Ask until something holds; each asking takes its time at the service, so this needs no pause."""
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline, f"Not so after {LIMIT:g} s."
