"""Looking at a pool until its nodes can be judged, with the cause when they failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from airflow_provider_batchlinux.client.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.diagnosis import start_task_outputs
from airflow_provider_batchlinux.client.repair import PoolRepair
from airflow_provider_batchlinux.core.pool_state import NodeSnapshot, PoolSnapshot
from airflow_provider_batchlinux.core.readiness import (
    Outcome,
    PoolObservation,
    ReadinessPolicy,
    Verdict,
    judge,
)
from airflow_provider_batchlinux.core.repair import RepairPlan
from airflow_provider_batchlinux.core.timeline import timeline_of
from airflow_provider_batchlinux.exceptions import BatchRequestError, PoolNotReadyError

__all__ = ["NodesIdleWait"]

log = logging.getLogger(__name__)


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass
class NodesIdleWait:
    """
    Wait until the nodes of a pool are ready.

    A look at a pool that is on its way costs two requests, whatever its size; before it says ready or
    failed it confirms that with the exact list of nodes, because the service's counts may be late.

    :param policy: what counts as ready.
    :param repair: what repairs broken nodes meanwhile; ``None`` leaves them.
    :param clock: the present instant; a test passes its own.
    """

    client: BatchLinuxClient
    pool_id: str
    policy: ReadinessPolicy
    repair: PoolRepair | None = None
    clock: Callable[[], datetime] = _utc_now
    progress: str = field(default="", init=False)
    # What an earlier wait has begun to repair is known only after a first exact look.
    _is_unfinished: bool = field(default=True, init=False)

    async def look(self) -> dict[str, Any] | None:
        """
        Look once: the pool, its nodes by state and its timeline when ready, ``None`` to go on waiting.

        :raises PoolNotReadyError: waiting does not help; the reason holds the start task's output.
        """
        now = self.clock()
        seen = await self._observe()
        verdict = judge(seen, self.policy, now=now)
        in_repair = self.repair is not None and self._is_unfinished
        if seen.pool is not None and (verdict.outcome is not Outcome.WAITING or in_repair):
            seen = await self._observe_exactly(seen)
            verdict = await self._judged_exactly(seen, now)
        self.progress = verdict.reason
        if verdict.outcome is Outcome.FAILED:
            raise PoolNotReadyError(await self._explained(verdict), pool_id=self.pool_id)
        if verdict.outcome is Outcome.WAITING or seen.pool is None:
            return None
        return await self._result(seen.pool, seen, verdict, now)

    async def _observe(self) -> PoolObservation:
        pool = await self.client.find_pool(self.pool_id)
        counts = await self.client.node_counts(self.pool_id) if pool is not None else {}
        return PoolObservation(self.pool_id, pool, counts)

    async def _observe_exactly(self, seen: PoolObservation) -> PoolObservation:
        try:
            nodes = await self.client.list_nodes(self.pool_id)
        except BatchRequestError as error:
            if error.code != "PoolNotFound":
                raise
            return PoolObservation(self.pool_id, None)
        return PoolObservation.exact(self.pool_id, seen.pool, tuple(nodes))

    async def _judged_exactly(self, seen: PoolObservation, now: datetime) -> Verdict:
        if self.repair is None or seen.pool is None or seen.pool.state == "deleting":
            return judge(seen, self.policy, now=now)
        plan = await self.repair.step(seen.pool, seen.nodes or (), now)
        self._is_unfinished = plan.unfinished or bool(plan.healing)
        if plan.give_up is not None:
            broken = judge(seen, self.policy, now=now)
            return Verdict(Outcome.FAILED, f"{plan.give_up}\n{broken.reason}", broken.broken_nodes)
        whole = replace(seen, pool=_as_it_is_to_be(seen.pool, plan))
        return _with_repair(judge(whole, self.policy, now=now, healing=plan.healing), plan)

    async def _explained(self, verdict: Verdict) -> str:
        return "\n".join([verdict.reason, *await self._outputs(verdict.broken_nodes)])

    async def _outputs(self, nodes: Sequence[NodeSnapshot]) -> list[str]:
        return await start_task_outputs(self.client, self.pool_id, nodes)

    async def _result(
        self, pool: PoolSnapshot, seen: PoolObservation, verdict: Verdict, now: datetime
    ) -> dict[str, Any]:
        for output in await self._outputs(verdict.broken_nodes):
            log.warning("%s", output)
        timeline = timeline_of(pool, seen.nodes or (), now, self.policy.requested_at)
        log.info("Pool %r: %s.", self.pool_id, timeline)
        return {"pool_id": self.pool_id, "nodes": dict(seen.counts), "timeline": timeline.to_dict()}


def _as_it_is_to_be(pool: PoolSnapshot, plan: RepairPlan) -> PoolSnapshot:
    # Nodes that were removed lowered the targets; what was asked for is what it grows back to.
    if plan.history.grow_to is None:
        return pool
    dedicated, spot = plan.history.grow_to
    return replace(pool, target_dedicated=dedicated, target_spot=spot)


def _with_repair(verdict: Verdict, plan: RepairPlan) -> Verdict:
    if not (plan.unfinished or plan.healing):
        return verdict
    told = f"{verdict.reason} In repair: {len(plan.healing)} nodes."
    if plan.unfinished and verdict.outcome is not Outcome.FAILED:
        return Verdict(Outcome.WAITING, f"{told} The pool is to have its size back.")
    return replace(verdict, reason=told)
