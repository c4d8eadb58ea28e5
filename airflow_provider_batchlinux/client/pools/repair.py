"""Repair a pool's broken nodes, a step a poll, while a task waits for the pool."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.client.pools.readiness import (
    NodesIdleWait,
    has_broken_nodes,
    start_task_outputs,
)
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.instants import rest_instant
from airflow_provider_batchlinux.core.node_states import BROKEN_STATES
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.pools.readiness.verdict import (
    Outcome,
    PoolObservation,
    Verdict,
    judge,
)
from airflow_provider_batchlinux.core.pools.repair import (
    RepairHistory,
    RepairPlan,
    RepairSpec,
    history_in,
    plan_repair,
    with_history,
)
from airflow_provider_batchlinux.core.service_errors import cause_of
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot
from airflow_provider_batchlinux.core.text import counted, joined
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchLinuxError,
    BatchRequestError,
)

log = logging.getLogger(__name__)

_SHOWN = 8
"""Nodes that are removed together, whose causes the log has at most."""

_LOG_PERIOD = timedelta(hours=6)
"""How far back the saved node logs reach."""

_BROKEN = " or ".join(f"state eq '{state}'" for state in BROKEN_STATES)
_NO_REPAIR = RepairPlan(RepairHistory())


@dataclass(frozen=True)
class RepairStep:
    """
    The next step of a repair, of which nothing is done yet.

    :param pool: the pool as it was observed.
    :param broken: its broken nodes, exactly.
    :param now: when they were observed.
    :param plan: the next step.
    """

    pool: PoolSnapshot
    broken: Sequence[NodeSnapshot]
    now: datetime
    plan: RepairPlan


@dataclass
class PoolRepair:
    """
    Repair the broken nodes of a pool.

    A step is planned from the history in the pool's metadata, and claimed there before anything is done: of
    several tasks that wait on the pool, one does it.

    :param logs_url: returns the container URL to save node logs to, or ``None``; called when it is needed.
    """

    client: BatchLinuxClient
    pool_id: str
    spec: RepairSpec
    logs_url: Callable[[], Awaitable[str | None]] | None = None

    async def next_step(
        self, pool: PoolSnapshot, broken: Sequence[NodeSnapshot], now: datetime
    ) -> RepairStep:
        """Return the next step."""
        body = await self.client.find_pool_body(self.pool_id, ["id", "metadata"]) or {}
        plan = plan_repair(self.spec, history_in(metadata_of(body)), pool, broken, now)
        return RepairStep(pool, broken, now, plan)

    async def take(self, step: RepairStep) -> RepairPlan:
        """
        Do a step, unless another task has claimed it.

        :return: the plan that was done, and what is in progress.
        """
        is_last = step.plan.give_up is not None
        # Before the claim, so that a resize that is refused is not recorded as done.
        if is_last and step.plan.resize_to is not None and not await self._resize(step.plan.resize_to):
            return RepairPlan(step.plan.history, healing=tuple(step.broken), unfinished=True)
        plan = await self._claim(step)
        if plan.give_up is not None:
            log.error("%s", plan.give_up)
        await self._reboot(plan.reboot)
        await self._remove(plan.remove, step.now)
        if plan.resize_to is not None and plan.give_up is None:
            await self._resize(plan.resize_to)
        return plan

    async def _claim(self, step: RepairStep) -> RepairPlan:
        plan = step.plan
        if not plan.is_new:
            return plan

        def claim(metadata: Mapping[str, str]) -> dict[str, str]:
            # Planned again from what is stored now: another task may have claimed the step since.
            nonlocal plan
            plan = plan_repair(self.spec, history_in(metadata), step.pool, step.broken, step.now)
            return with_history(metadata, plan.history)

        try:
            await change_metadata(self.client, self.pool_id, claim)
        except BatchRequestError as error:
            if error.code != "ConditionNotMet":
                raise
            # Many other tasks claim steps right now; the next poll finds what they leave.
            return RepairPlan(plan.history, healing=plan.healing, unfinished=True)
        return plan

    async def _reboot(self, nodes: Sequence[NodeSnapshot]) -> None:
        if not nodes:
            return
        # A reboot deletes the output of the start task.
        for output in await start_task_outputs(self.client, self.pool_id, nodes):
            log.warning("%s", output)

        async def reboot(node: NodeSnapshot) -> None:
            log.warning("Pool %r: rebooting %s", self.pool_id, cause_of(node))
            what = f"reboot node {node.node_id!r}"
            await self._attempt(what, self.client.reboot_node(self.pool_id, node.node_id))

        await fan_out(nodes, reboot)

    async def _remove(self, nodes: Sequence[NodeSnapshot], now: datetime) -> None:
        if not nodes:
            return
        ids = [node.node_id for node in nodes]
        for node in nodes[:_SHOWN]:
            log.warning("Pool %r: removing %s", self.pool_id, cause_of(node))
        await self._save_logs(ids, now)
        body = {"nodeList": ids, "nodeDeallocationOption": "requeue"}
        await self._attempt(f"remove nodes {joined(ids)}", self.client.remove_nodes(self.pool_id, body))

    async def _save_logs(self, node_ids: Sequence[str], now: datetime) -> None:
        url = await self.logs_url() if self.logs_url is not None else None
        if url is None:
            return
        body = {"containerUrl": url, "startTime": rest_instant(now - _LOG_PERIOD)}

        async def save(node_id: str) -> None:
            upload = self.client.upload_node_logs(self.pool_id, node_id, body)
            await self._attempt(f"save the logs of node {node_id!r}", upload)

        await fan_out(node_ids, save)

    async def _resize(self, targets: tuple[int, int]) -> bool:
        dedicated, spot = targets
        log.info("Pool %r: resizing to %d dedicated and %d Spot nodes.", self.pool_id, dedicated, spot)
        body = {"targetDedicatedNodes": dedicated, "targetLowPriorityNodes": spot}
        return await self._attempt("resize", self.client.resize_pool(self.pool_id, body))

    async def _attempt(self, what: str, call: Coroutine[Any, Any, Any]) -> bool:
        # The service may refuse because the pool has changed meanwhile: the next poll plans again.
        try:
            await call
        except BatchAuthenticationError:
            raise
        except BatchLinuxError as error:
            log.warning("Pool %r: could not %s: %s", self.pool_id, what, error)
            return False
        return True


class RepairingWait:
    """
    Wait until the nodes of a pool are ready, and repair broken ones meanwhile.

    A poll costs two requests more than without a repair, as long as there may be something to repair.

    :param wait: the wait without a repair.
    :param repair: what repairs the nodes.
    """

    def __init__(self, wait: NodesIdleWait, repair: PoolRepair) -> None:
        self._wait = wait
        self._repair = repair
        # Only the first step shows whether an earlier wait has left a repair unfinished.
        self._in_progress = True
        self._total: int | None = None

    @property
    def status(self) -> str:
        """The status of the pool and of its repair."""
        return self._wait.status

    async def poll(self) -> dict[str, Any] | None:
        """
        Return the result of the wait, and how many repairs the pool has had; ``None`` if it is too early.

        :raises PoolNotReadyError: if neither waiting nor a repair helps.
        """
        now = self._wait.clock()
        seen = await self._wait.observe()
        verdict = self._verdict(seen, now, _NO_REPAIR)
        if seen.pool is not None and seen.pool.state != "deleting":
            is_decided = verdict.outcome is not Outcome.WAITING
            if self._in_progress or is_decided or has_broken_nodes(seen.counts):
                seen, verdict = await self._take_step(seen, seen.pool, now)
        elif seen.pool is not None:
            seen, verdict = await self._confirm(seen, now, _NO_REPAIR)
        result = await self._wait.conclude(seen, verdict, now)
        return {**result, "repairs": self._total} if result and self._total is not None else result

    async def _take_step(
        self, seen: PoolObservation, pool: PoolSnapshot, now: datetime
    ) -> tuple[PoolObservation, Verdict]:
        # The counts may be stale, and a repair must not hit a node that has recovered.
        listed = await self._wait.observe_exactly(seen, _BROKEN)
        if listed.pool is None:
            return listed, self._verdict(listed, now, _NO_REPAIR)
        step = await self._repair.next_step(pool, listed.nodes or (), now)
        others = {state: count for state, count in seen.counts.items() if state not in BROKEN_STATES}
        seen = replace(seen, counts={**others, **listed.counts})
        if step.plan.is_exhausted:
            # A pool that is ready, or may become so, without more repairs is not given up.
            verdict, unrepaired = self._verdict(seen, now, _NO_REPAIR), seen
            if verdict.outcome is not Outcome.WAITING:
                unrepaired, verdict = await self._confirm(seen, now, _NO_REPAIR)
            if verdict.outcome is not Outcome.FAILED:
                return unrepaired, verdict
        verdict = self._verdict(seen, now, step.plan)
        if verdict.outcome is not Outcome.WAITING:
            seen, verdict = await self._confirm(seen, now, step.plan)
            planned = {node.node_id for node in step.broken}
            # Nodes that broke between the two lists.
            unplanned = [node for node in verdict.broken_nodes if node.node_id not in planned]
            is_unplanned = any(node.state in BROKEN_STATES for node in unplanned)
            if verdict.outcome is Outcome.FAILED and is_unplanned:
                return seen, Verdict(Outcome.WAITING, f"{verdict.reason} They are checked again.")
        if verdict.outcome is Outcome.FAILED and step.plan.give_up is None:
            # The task ends here: no repair is started that it would not finish.
            return seen, verdict
        return seen, self._after(await self._repair.take(step), verdict)

    def _after(self, plan: RepairPlan, verdict: Verdict) -> Verdict:
        """Return the verdict on a pool after a step."""
        self._in_progress = not plan.is_over
        self._total = plan.history.total
        if plan.give_up is not None:
            return Verdict(Outcome.FAILED, f"{plan.give_up}\n{verdict.reason}", verdict.broken_nodes)
        reason = verdict.reason
        if plan.asks_again is not None:
            reason += f" {plan.asks_again}"
        if plan.unfinished or plan.healing:
            reason += f" In repair: {counted(len(plan.healing), 'node')}."
        if plan.unfinished:
            reason += " The pool is to grow back to its size."
        # A failed verdict gets here only if the plan was to give up, and another task has made that needless.
        is_open = plan.unfinished or verdict.outcome is Outcome.FAILED
        return replace(verdict, outcome=Outcome.WAITING if is_open else verdict.outcome, reason=reason)

    def _verdict(self, seen: PoolObservation, now: datetime, plan: RepairPlan) -> Verdict:
        pool = seen.pool
        if pool is not None and plan.asks_again is not None:
            # They are of the last resize, and the plan requests the missing nodes again.
            pool = replace(pool, resize_errors=())
        if pool is not None and plan.history.grow_to is not None:
            # The removal has lowered the targets; the pool is judged by what it grows back to.
            dedicated, spot = plan.history.grow_to
            pool = replace(pool, target_dedicated=dedicated, target_spot=spot)
        verdict = judge(replace(seen, pool=pool), self._wait.policy, now=now, healing=plan.healing)
        if plan.report is not None:
            verdict = replace(verdict, reason=f"{verdict.reason} {plan.report}")
        if verdict.outcome is Outcome.READY and plan.unfinished:
            return replace(verdict, outcome=Outcome.WAITING)
        return verdict

    async def _confirm(
        self, seen: PoolObservation, now: datetime, plan: RepairPlan
    ) -> tuple[PoolObservation, Verdict]:
        return await self._wait.confirm(seen, lambda exact: self._verdict(exact, now, plan))
