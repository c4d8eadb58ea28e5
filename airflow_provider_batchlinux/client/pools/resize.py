"""Resizing a pool: waits for its turn, asks once, and waits for the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from async_timeout import timeout

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.core.pools.changes.resize import (
    ResizeRequest,
    ResizeSpec,
    ResizeStep,
    began_at,
    next_step,
    shortfall,
)
from airflow_provider_batchlinux.core.snapshots import POOL_FIELDS, PoolSnapshot
from airflow_provider_batchlinux.exceptions import BatchLinuxError, BatchRequestError, PoolNotReadyError

log = logging.getLogger(__name__)

RESIZE_CONFLICTS = frozenset({"OperationInvalidForCurrentState", "PoolBeingResized", "PoolResizing"})
"""The codes with which the service refuses a resize because another one is running."""

_STOP_LIMIT = 4.0
"""Seconds. Airflow kills a worker five seconds after the signal to end."""


@dataclass
class ResizeWait:
    """
    Wait until a pool has the requested numbers of nodes.

    The service accepts a resize only of a steady pool, so the request waits for that too. A pool that has
    these numbers already is not resized.

    :param request: the state of the request, which is updated.
    :param until_over: wait for the end of the resize; ``False`` waits until the service has accepted it.
    :param remember: called when the service has accepted the request; ``None`` for nothing.
    """

    client: BatchLinuxClient
    pool_id: str
    spec: ResizeSpec
    request: ResizeRequest = field(default_factory=ResizeRequest)
    until_over: bool = True
    remember: Callable[[], Awaitable[None]] | None = None
    status: str = field(default="", init=False)

    async def poll(self) -> dict[str, Any] | None:
        """
        Return the pool's id and its numbers of nodes if the resize is over; ``None`` to keep waiting.

        :raises PoolNotReadyError: if the pool does not exist, a formula decides its size, or it did not get
            the nodes.
        """
        pool = await self._pool()
        step = next_step(self.spec, pool, asked=self.request.asked)
        self.status = (
            f"Pool {self.pool_id!r} is {pool.allocation_state}: {pool.current} of {pool.target} nodes."
        )
        if step is ResizeStep.SHORT:
            raise PoolNotReadyError(shortfall(self.spec, pool), pool_id=self.pool_id)
        if step is ResizeStep.ASK:
            await self._ask(pool)
            if self.request.asked and not self.until_over:
                return {"pool_id": self.pool_id, "requested_at": self.request.requested_at}
        if step is not ResizeStep.DONE:
            return None
        return {
            "pool_id": self.pool_id,
            "requested_at": self.request.requested_at,
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
            if error.code not in RESIZE_CONFLICTS:
                raise
            log.info("Pool %r is not to be resized now (%s); waiting.", self.pool_id, error.code)
        else:
            # The answer has no time; that of the pool tells this resize from a later one.
            self.request.asked = True
            body = await self.client.find_pool_body(self.pool_id, [*POOL_FIELDS, "lastModified"])
            self.request.requested_at = began_at(PoolSnapshot.from_rest(body)) if body is not None else None
            if self.remember is not None:
                await self.remember()


async def stop_resize_of(
    client: BatchLinuxClient, pool_id: str, spec: ResizeSpec, request: ResizeRequest
) -> bool:
    """
    Stop a resize if it is still running; never fails. The pool keeps the nodes that it has by then.

    :return: whether the service has accepted the request.
    """
    try:
        async with timeout(_STOP_LIMIT):
            return await _stop(client, pool_id, spec, request)
    except (BatchLinuxError, asyncio.TimeoutError) as error:
        why = str(error) or f"no answer within {_STOP_LIMIT:g} s"
        log.warning("Pool %r: its resize could not be stopped and may go on: %s", pool_id, why)
        return False


async def _stop(client: BatchLinuxClient, pool_id: str, spec: ResizeSpec, request: ResizeRequest) -> bool:
    pool = await client.find_pool(pool_id)
    if pool is None or not request.is_under_way(spec, pool):
        log.info("Pool %r: the requested resize is no longer running, so nothing is stopped.", pool_id)
        return False
    await client.stop_resize(pool_id)
    log.info("Pool %r: its resize is stopped at %d of %d nodes.", pool_id, pool.current, pool.target)
    return True
