"""Repairing a pool's broken nodes, a step at a time, while somebody waits for it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.diagnosis import start_task_outputs
from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.instants import rest_instant
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.pools.repair.history import history_in, with_history
from airflow_provider_batchlinux.core.pools.repair.plan import RepairPlan, RepairSpec, plan_repair
from airflow_provider_batchlinux.core.service_errors import cause_of
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot
from airflow_provider_batchlinux.core.text import joined
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchLinuxError,
    BatchRequestError,
)

__all__ = ["PoolRepair", "RepairStep"]

log = logging.getLogger(__name__)

_AT_ONCE = 8
_LOGS_OF = timedelta(hours=6)
"""How far back the logs reach that are saved."""

_FORMULA = ("autoScaleFormula", "autoScaleEvaluationInterval")


@dataclass(frozen=True)
class RepairStep:
    """
    What a look at a pool makes due, before any of it is done.

    :param pool: the pool as it was seen.
    :param broken: its broken nodes, exactly.
    :param now: when they were seen.
    :param autoscale: the pool's formula and interval as REST has them; ``None`` without one.
    :param plan: what is due by all that was done before.
    """

    pool: PoolSnapshot
    broken: Sequence[NodeSnapshot]
    now: datetime
    autoscale: Mapping[str, Any] | None
    plan: RepairPlan


@dataclass
class PoolRepair:
    """
    Repair a pool as a spec says.

    What is taken on is written into the pool's metadata before it is done, and only if nobody else has
    written meanwhile: so several who wait on the pool do nothing twice, and whoever comes later knows.

    :param logs_url: gives the address, with its signature, where nodes' logs are saved; ``None`` saves none.
    """

    client: BatchLinuxClient
    pool_id: str
    spec: RepairSpec
    logs_url: Callable[[], Awaitable[str | None]] | None = None

    async def next_step(
        self, pool: PoolSnapshot, broken: Sequence[NodeSnapshot], now: datetime
    ) -> RepairStep:
        """Say what is due, and do none of it."""
        select = ["metadata", "enableAutoScale", *_FORMULA]
        body = await self.client.find_pool_body(self.pool_id, select) or {}
        autoscale = {name: body[name] for name in _FORMULA if body.get(name)} or None
        history = history_in(metadata_of(body))
        plan = plan_repair(self.spec, history, pool, broken, now, autoscale)
        return RepairStep(pool, broken, now, autoscale, plan)

    async def take(self, step: RepairStep) -> RepairPlan:
        """
        Do what is due, unless others have taken it on meanwhile.

        :return: what was due in the end, and what is going on.
        """
        if step.plan.give_up is not None and not await self._is_emptied(step.plan):
            return RepairPlan(step.plan.history, healing=tuple(step.broken), unfinished=True)
        plan = await self._claimed(step)
        if plan.give_up is not None:
            log.error("%s", plan.give_up)
        await self._reboot(plan.reboot)
        if plan.disable_autoscale:
            await self._attempt("switch autoscale off", self.client.disable_autoscale(self.pool_id))
        await self._remove(plan.remove, step.now)
        await self._restore(plan)
        return plan

    async def _is_emptied(self, plan: RepairPlan) -> bool:
        # First, so that what could not be done is not written down as done.
        return plan.resize_to is None or await self._resize(plan.resize_to)

    async def _claimed(self, step: RepairStep) -> RepairPlan:
        plan = step.plan
        if not plan.is_news:
            return plan

        def claim(metadata: Mapping[str, str]) -> dict[str, str]:
            nonlocal plan
            history = history_in(metadata)
            plan = plan_repair(self.spec, history, step.pool, step.broken, step.now, step.autoscale)
            return with_history(metadata, plan.history)

        try:
            await change_metadata(self.client, self.pool_id, claim)
        except BatchRequestError as error:
            if error.code != "ConditionNotMet":
                raise
            # Many others take things on right now; what they leave is looked at next time.
            return RepairPlan(plan.history, healing=plan.healing, unfinished=True)
        return plan

    async def _reboot(self, nodes: Sequence[NodeSnapshot]) -> None:
        if not nodes:
            return
        for output in await start_task_outputs(self.client, self.pool_id, nodes):
            log.warning("%s", output)

        async def reboot(node: NodeSnapshot) -> None:
            log.warning("Pool %r: rebooting, because of %s", self.pool_id, cause_of(node))
            what = f"reboot node {node.node_id!r}"
            await self._attempt(what, self.client.reboot_node(self.pool_id, node.node_id))

        await fan_out(nodes, reboot, max_concurrency=_AT_ONCE)

    async def _remove(self, nodes: Sequence[NodeSnapshot], now: datetime) -> None:
        if not nodes:
            return
        ids = [node.node_id for node in nodes]
        for node in nodes[:_AT_ONCE]:
            log.warning("Pool %r: removing, because of %s", self.pool_id, cause_of(node))
        await self._save_logs(ids, now)
        body = {"nodeList": ids, "nodeDeallocationOption": "requeue"}
        await self._attempt(f"remove nodes {joined(ids)}", self.client.remove_nodes(self.pool_id, body))

    async def _save_logs(self, node_ids: Sequence[str], now: datetime) -> None:
        url = await self.logs_url() if self.logs_url is not None else None
        if url is None:
            return
        body = {"containerUrl": url, "startTime": rest_instant(now - _LOGS_OF)}

        async def save(node_id: str) -> None:
            upload = self.client.upload_node_logs(self.pool_id, node_id, body)
            await self._attempt(f"save the logs of node {node_id!r}", upload)

        await fan_out(node_ids, save, max_concurrency=_AT_ONCE)

    async def _restore(self, plan: RepairPlan) -> None:
        if plan.resize_to is not None and plan.give_up is None:
            await self._resize(plan.resize_to)
        if plan.enable_autoscale is not None:
            enabling = self.client.enable_autoscale(self.pool_id, dict(plan.enable_autoscale))
            await self._attempt("switch autoscale on", enabling)

    async def _resize(self, targets: tuple[int, int]) -> bool:
        dedicated, spot = targets
        log.info("Pool %r: resizing to %d dedicated and %d spot nodes.", self.pool_id, dedicated, spot)
        body = {"targetDedicatedNodes": dedicated, "targetLowPriorityNodes": spot}
        return await self._attempt("resize", self.client.resize_pool(self.pool_id, body))

    async def _attempt(self, what: str, call: Coroutine[Any, Any, Any]) -> bool:
        # What is refused now, because the pool has changed meanwhile, is decided anew at the next look.
        try:
            await call
        except BatchAuthenticationError:
            raise
        except BatchLinuxError as error:
            log.warning("Pool %r: could not %s: %s", self.pool_id, what, error)
            return False
        return True
