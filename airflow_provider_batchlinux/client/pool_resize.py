"""Resizing a pool: waits for its turn, asks once, and waits for the end."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_batchlinux.client.batch import BatchLinuxClient
from airflow_provider_batchlinux.core.pool_state import PoolSnapshot
from airflow_provider_batchlinux.core.resize import ResizeSpec, ResizeStep, next_step, shortfall
from airflow_provider_batchlinux.exceptions import BatchRequestError, PoolNotReadyError

__all__ = ["ResizeWait"]

log = logging.getLogger(__name__)

# Another resize was faster between our look and our request.
_NOT_NOW = frozenset({"OperationInvalidForCurrentState", "PoolResizing"})


@dataclass
class ResizeWait:
    """
    Wait until a pool has the numbers of nodes that are asked for.

    The service takes a resize only of a steady pool, so the request waits for that too. A pool that has its
    numbers already is not asked.

    :param asked: the service has taken the request.
    """

    client: BatchLinuxClient
    pool_id: str
    spec: ResizeSpec
    asked: bool = False
    progress: str = field(default="", init=False)

    async def look(self) -> dict[str, Any] | None:
        """
        Look once: the pool's id and its numbers when it is over, ``None`` to go on waiting.

        :raises PoolNotReadyError: there is no such pool, a formula decides its size, or it did not get the
            nodes.
        """
        pool = await self._pool()
        step = next_step(self.spec, pool, asked=self.asked)
        self.progress = (
            f"Pool {self.pool_id!r} is {pool.allocation_state}: {pool.current} of {pool.target} nodes."
        )
        if step is ResizeStep.SHORT:
            raise PoolNotReadyError(shortfall(self.spec, pool), pool_id=self.pool_id)
        if step is ResizeStep.ASK:
            await self._ask(pool)
        if step is not ResizeStep.DONE:
            return None
        return {
            "pool_id": self.pool_id,
            "dedicated": {"current": pool.current_dedicated, "target": pool.target_dedicated},
            "spot": {"current": pool.current_spot, "target": pool.target_spot},
            "resize_errors": [str(error) for error in pool.resize_errors],
        }

    async def _pool(self) -> PoolSnapshot:
        pool = await self.client.find_pool(self.pool_id)
        if pool is None or pool.state == "deleting":
            state = "does not exist" if pool is None else "is being deleted"
            msg = f"Pool {self.pool_id!r} {state}."
            raise PoolNotReadyError(msg, pool_id=self.pool_id)
        if pool.autoscale:
            msg = f"Pool {self.pool_id!r} has a formula that decides its size; disable autoscale first."
            raise PoolNotReadyError(msg, pool_id=self.pool_id)
        return pool

    async def _ask(self, pool: PoolSnapshot) -> None:
        try:
            await self.client.resize_pool(self.pool_id, self.spec.to_rest(pool))
        except BatchRequestError as error:
            if error.code not in _NOT_NOW:
                raise
            log.info("Pool %r is not to be resized now (%s); waiting.", self.pool_id, error.code)
        else:
            self.asked = True
