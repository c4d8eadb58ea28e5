"""Wait until a pool is steady, or gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.exceptions import PoolNotReadyError


@dataclass
class PoolSteadyWait:
    """
    Wait until a pool neither resizes nor stops a resize.

    Steady says nothing about its nodes: they may still boot, or be fewer than asked for.
    """

    client: BatchLinuxClient
    pool_id: str
    status: str = field(default="", init=False)

    async def poll(self) -> dict[str, Any] | None:
        """
        Return the pool's id, its targets and its nodes if it is steady; ``None`` to keep waiting.

        :raises PoolNotReadyError: if the pool does not exist, or is being deleted.
        """
        pool = await self.client.find_pool(self.pool_id)
        if pool is None or pool.state == "deleting":
            state = "does not exist" if pool is None else "is being deleted"
            msg = f"Pool {self.pool_id!r} {state}, so it will not become steady."
            raise PoolNotReadyError(msg, pool_id=self.pool_id)
        self.status = (
            f"Pool {self.pool_id!r} is {pool.allocation_state}: {pool.current} of {pool.target} nodes."
        )
        if pool.allocation_state != "steady":
            return None
        return {
            "pool_id": self.pool_id,
            "dedicated": {"current": pool.current_dedicated, "target": pool.target_dedicated},
            "spot": {"current": pool.current_spot, "target": pool.target_spot},
            "resize_errors": [str(error) for error in pool.resize_errors],
        }


@dataclass
class PoolGoneWait:
    """Wait until a deletion is complete: the service has no pool with an id."""

    client: BatchLinuxClient
    pool_id: str
    status: str = field(default="", init=False)

    async def poll(self) -> dict[str, Any] | None:
        """Return the pool's id if it is gone, ``None`` to keep waiting."""
        found = await self.client.find_pool_body(self.pool_id, ["id", "state"])
        if found is None:
            self.status = f"Pool {self.pool_id!r} is gone."
            return {"pool_id": self.pool_id}
        self.status = f"Pool {self.pool_id!r} is {found.get('state')}; a resource lock can hold this up."
        return None
