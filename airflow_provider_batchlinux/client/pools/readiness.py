"""Looking at a pool until its nodes can be judged, with the cause when they failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.diagnosis import start_task_outputs
from airflow_provider_batchlinux.client.pools.repair import PoolRepair, RepairStep
from airflow_provider_batchlinux.client.pools.restore_autoscale import restore_autoscale
from airflow_provider_batchlinux.core.node_states import BROKEN_STATES, READY_STATES
from airflow_provider_batchlinux.core.pools.readiness.timeline import timeline_of
from airflow_provider_batchlinux.core.pools.readiness.verdict import (
    Outcome,
    PoolObservation,
    ReadinessPolicy,
    Verdict,
    judge,
)
from airflow_provider_batchlinux.core.pools.repair.history import RepairHistory
from airflow_provider_batchlinux.core.pools.repair.plan import RepairPlan
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot
from airflow_provider_batchlinux.exceptions import BatchRequestError, PoolNotReadyError

__all__ = ["NodesIdleWait"]

log = logging.getLogger(__name__)

_PAGE = 1000
"""Nodes that the service lists in one request."""

_BROKEN = " or ".join(f"state eq '{state}'" for state in BROKEN_STATES)
_NO_REPAIR = RepairPlan(RepairHistory())


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass
class NodesIdleWait:
    """
    Wait until the nodes of a pool are ready.

    A look at a pool that is on its way costs two requests, whatever its size, and two more with a repair;
    before it says ready or failed it confirms that with the exact list of nodes, because the service's
    counts may be late.

    :param policy: what counts as ready.
    :param repair: what repairs broken nodes meanwhile; ``None`` leaves them.
    :param clock: the present instant; a test passes its own.
    """

    client: BatchLinuxClient
    pool_id: str
    policy: ReadinessPolicy
    repair: PoolRepair | None = None
    clock: Callable[[], datetime] = _utc_now
    status: str = field(default="", init=False)
    # What an earlier wait has begun to repair is known only after a first step.
    _is_in_repair: bool = field(default=True, init=False)
    _repairs: int | None = field(default=None, init=False)

    async def poll(self) -> dict[str, Any] | None:
        """
        Look once: the pool, its nodes by state and its timeline when ready, ``None`` to go on waiting.

        :raises PoolNotReadyError: waiting does not help; the reason holds the start task's output.
        """
        now = self.clock()
        seen, verdict = await self._judged(now)
        self.status = verdict.reason
        if verdict.outcome is Outcome.FAILED:
            if self.repair is not None:
                await restore_autoscale(self.client, self.pool_id)
            self._timeline(seen, now)
            reason = await self._explained(verdict)
            raise PoolNotReadyError(reason, pool_id=self.pool_id, is_late=verdict.is_late)
        if verdict.outcome is Outcome.WAITING:
            return None
        for output in await self._outputs(verdict.broken_nodes):
            log.warning("%s", output)
        repairs = {} if self._repairs is None else {"repairs": self._repairs}
        state = seen.pool.allocation_state if seen.pool is not None else None
        told = {"pool_id": self.pool_id, "nodes": dict(seen.counts), "allocation_state": state}
        return {**told, "timeline": self._timeline(seen, now), **repairs}

    async def _judged(self, now: datetime) -> tuple[PoolObservation, Verdict]:
        seen = await self._observe()
        verdict = judge(seen, self.policy, now=now)
        if seen.pool is None:
            return seen, verdict
        is_whole = verdict.outcome is Outcome.WAITING and not _broken_among(seen.counts)
        if self.repair is not None and seen.pool.state != "deleting" and (self._is_in_repair or not is_whole):
            return await self._judged_in_repair(self.repair, seen, seen.pool, now)
        if verdict.outcome is Outcome.WAITING:
            return seen, verdict
        return await self._confirmed(seen, now, _NO_REPAIR)

    async def _observe(self) -> PoolObservation:
        pool = await self.client.find_pool(self.pool_id)
        counts = await self.client.node_counts(self.pool_id) if pool is not None else {}
        return PoolObservation(self.pool_id, pool, counts)

    async def _judged_in_repair(
        self, repair: PoolRepair, seen: PoolObservation, pool: PoolSnapshot, now: datetime
    ) -> tuple[PoolObservation, Verdict]:
        listed = await self._observe_exactly(seen, _BROKEN)
        if listed.pool is None:
            return listed, judge(listed, self.policy, now=now)
        step = await repair.next_step(pool, listed.nodes or (), now)
        others = {state: count for state, count in seen.counts.items() if state not in BROKEN_STATES}
        seen = replace(seen, counts={**others, **listed.counts})
        if step.plan.is_exhausted:
            unrepaired = await self._settled(seen, now)
            if unrepaired[1].outcome is not Outcome.FAILED:
                return unrepaired
        verdict = self._verdict(seen, now, step.plan)
        if verdict.outcome is not Outcome.WAITING:
            seen, verdict = await self._confirmed(seen, now, step.plan)
            if verdict.outcome is Outcome.FAILED and _has_news(verdict, step):
                return seen, Verdict(Outcome.WAITING, f"{verdict.reason} These are looked at again.")
        if verdict.outcome is Outcome.FAILED and step.plan.give_up is None:
            # The task ends here: nothing is begun that nobody would end.
            return seen, verdict
        return seen, self._in_words(await repair.take(step), verdict)

    async def _settled(self, seen: PoolObservation, now: datetime) -> tuple[PoolObservation, Verdict]:
        verdict = self._verdict(seen, now, _NO_REPAIR)
        return (
            (seen, verdict)
            if verdict.outcome is Outcome.WAITING
            else await self._confirmed(seen, now, _NO_REPAIR)
        )

    def _in_words(self, plan: RepairPlan, verdict: Verdict) -> Verdict:
        self._is_in_repair = not plan.is_over
        self._repairs = plan.history.total
        if plan.give_up is not None:
            return Verdict(Outcome.FAILED, f"{plan.give_up}\n{verdict.reason}", verdict.broken_nodes)
        # A failure comes as far as this only to be given up, which others have made needless.
        is_open = plan.unfinished or verdict.outcome is Outcome.FAILED
        outcome = Outcome.WAITING if is_open else verdict.outcome
        return replace(verdict, outcome=outcome, reason=_with_repair(verdict.reason, plan))

    def _verdict(self, seen: PoolObservation, now: datetime, plan: RepairPlan) -> Verdict:
        pool = _as_it_is_to_be(seen.pool, plan) if seen.pool is not None else None
        verdict = judge(replace(seen, pool=pool), self.policy, now=now, healing=plan.healing)
        if verdict.outcome is Outcome.READY and plan.unfinished:
            return replace(verdict, outcome=Outcome.WAITING)
        return verdict

    async def _confirmed(
        self, seen: PoolObservation, now: datetime, plan: RepairPlan
    ) -> tuple[PoolObservation, Verdict]:
        if seen.pool is not None and seen.pool.current > _PAGE:
            likely = await self._observe_unready(seen, seen.pool)
            verdict = self._verdict(likely, now, plan)
            if verdict.outcome is not Outcome.READY:
                return likely, verdict
        seen = await self._observe_exactly(seen)
        return seen, self._verdict(seen, now, plan)

    async def _observe_unready(self, seen: PoolObservation, pool: PoolSnapshot) -> PoolObservation:
        # Nodes that fail or lag are few, and a list of them tells whether it is time for all the pages.
        ready = READY_STATES if self.policy.running_is_ready else ("idle",)
        where = " and ".join(f"state ne '{state}'" for state in ready)
        few = await self._observe_exactly(seen, where)
        listed = few.nodes or ()
        dedicated = sum(node.dedicated for node in listed)
        spot = len(listed) - dedicated
        besides = max(0, pool.current_dedicated - dedicated), max(0, pool.current_spot - spot)
        counts = {**few.counts, "ready": sum(besides)} if any(besides) else few.counts
        return replace(few, counts=counts, ready_besides=besides)

    async def _observe_exactly(self, seen: PoolObservation, where: str | None = None) -> PoolObservation:
        try:
            nodes = await self.client.list_nodes(self.pool_id, where=where)
        except BatchRequestError as error:
            if error.code != "PoolNotFound":
                raise
            return PoolObservation(self.pool_id, None)
        return PoolObservation.exact(self.pool_id, seen.pool, tuple(nodes))

    async def _explained(self, verdict: Verdict) -> str:
        return "\n".join([verdict.reason, *await self._outputs(verdict.broken_nodes)])

    async def _outputs(self, nodes: Sequence[NodeSnapshot]) -> list[str]:
        return await start_task_outputs(self.client, self.pool_id, nodes)

    def _timeline(self, seen: PoolObservation, now: datetime) -> dict[str, float | None]:
        if seen.pool is None:
            return {}
        timeline = timeline_of(seen.pool, seen.nodes or (), now, self.policy.requested_at)
        log.info("Pool %r: %s.", self.pool_id, timeline)
        return timeline.to_dict()


def _broken_among(counts: Mapping[str, int]) -> bool:
    return any(counts.get(state) for state in BROKEN_STATES)


def _has_news(verdict: Verdict, step: RepairStep) -> bool:
    # What broke between the two lists was not judged by the repair.
    known = {node.node_id for node in step.broken}
    return any(node.state in BROKEN_STATES and node.node_id not in known for node in verdict.broken_nodes)


def _as_it_is_to_be(pool: PoolSnapshot, plan: RepairPlan) -> PoolSnapshot:
    # Nodes that were removed lowered the targets; what was asked for is what it grows back to.
    if plan.asks_again is not None:
        pool = replace(pool, resize_errors=())
    if plan.history.grow_to is None:
        return pool
    dedicated, spot = plan.history.grow_to
    return replace(pool, target_dedicated=dedicated, target_spot=spot)


def _with_repair(told: str, plan: RepairPlan) -> str:
    if plan.asks_again is not None:
        told += f" {plan.asks_again}"
    if plan.unfinished or plan.healing:
        told += f" In repair: {len(plan.healing)} nodes."
    if plan.unfinished:
        told += " The pool is to have its size back."
    return told
