"""Wait until the nodes of a pool are ready; on failure, report the cause."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from async_timeout import timeout

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.files import start_task_output
from airflow_provider_batchlinux.client.pools.usage import Look, record_usage
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.node_states import BROKEN_STATES, READY_STATES
from airflow_provider_batchlinux.core.pool_metadata import PoolMarks
from airflow_provider_batchlinux.core.pools.readiness.policy import ReadinessPolicy
from airflow_provider_batchlinux.core.pools.readiness.timeline import timeline_of
from airflow_provider_batchlinux.core.pools.readiness.verdict import Outcome, PoolObservation, Verdict, judge
from airflow_provider_batchlinux.core.service_errors import is_starting_again
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot
from airflow_provider_batchlinux.core.text import indented, joined
from airflow_provider_batchlinux.exceptions import BatchRequestError, PoolNotReadyError

log = logging.getLogger(__name__)

_PAGE = 1000
"""Nodes that the service lists in one request."""

_OUTPUTS_SHOWN = 3
_START_TASK_REMEDY = (
    "Correct the start task and create the pool again. If the cause has passed, reboot the nodes: that runs "
    "the start task again, as repair=RepairSpec(reboots=1) does."
)
_OUTPUT_LIMIT = 30.0
"""Seconds. A node that is about to disappear may not answer at all; its output is not worth a longer wait."""

Judge = Callable[[PoolObservation], Verdict]


@dataclass
class NodesIdleWait:
    """
    Wait until the nodes of a pool are ready.

    A poll costs two requests for a pool of any size. Because the service's counts may be stale, ready and
    failed are confirmed with the exact list of nodes. To repair nodes meanwhile, wrap this in
    :class:`~airflow_provider_batchlinux.client.pools.repair.RepairingWait`.

    :param policy: when the pool is ready.
    :param clock: the present instant; a test passes its own.
    """

    client: BatchLinuxClient
    pool_id: str
    policy: ReadinessPolicy
    clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    status: str = field(default="", init=False)
    _starting_since: Mapping[str, datetime] = field(default_factory=dict, init=False)

    async def poll(self) -> dict[str, Any] | None:
        """
        Return the pool, its nodes by state and its timeline if it is ready, ``None`` if it is too early.

        :raises PoolNotReadyError: if waiting does not help; the message has the start task's output.
        """
        now = self.clock()

        def verdict_of(seen: PoolObservation) -> Verdict:
            return judge(seen, self.policy, now=now)

        seen = await self.observe()
        verdict = verdict_of(seen)
        if verdict.outcome is not Outcome.WAITING and seen.pool is not None:
            seen, verdict = await self.confirm(seen, verdict_of)
        return await self.conclude(seen, verdict, now)

    async def observe(self) -> PoolObservation:
        """Return the pool and its counts, which may be stale."""
        pool = await self.client.find_pool(self.pool_id)
        counts = await self.client.node_counts(self.pool_id) if pool is not None else {}
        return PoolObservation(self.pool_id, pool, counts)

    async def observe_exactly(self, seen: PoolObservation, where: str | None = None) -> PoolObservation:
        """Return the pool with the exact list of its nodes, or of those that a filter selects."""
        try:
            nodes = await self.client.list_nodes(self.pool_id, where=where)
        except BatchRequestError as error:
            if error.code != "PoolNotFound":
                raise
            return PoolObservation(self.pool_id, None)
        now, before = self.clock(), self._starting_since
        again = {node.node_id: before.get(node.node_id, now) for node in nodes if is_starting_again(node)}
        listed = {node.node_id for node in nodes}
        self._starting_since = {**{name: at for name, at in before.items() if name not in listed}, **again}
        found = PoolObservation.exact(self.pool_id, seen.pool, tuple(nodes))
        return replace(found, starting_since=self._starting_since)

    async def confirm(self, seen: PoolObservation, verdict_of: Judge) -> tuple[PoolObservation, Verdict]:
        """Return an exact observation, and the verdict on it."""
        if seen.pool is not None and seen.pool.current > _PAGE:
            # Nodes that fail or lag are few: their list tells whether all pages are worth reading.
            likely = await self._observe_unready(seen, seen.pool)
            verdict = verdict_of(likely)
            if verdict.outcome is not Outcome.READY:
                return likely, verdict
        seen = await self.observe_exactly(seen)
        return seen, verdict_of(seen)

    async def conclude(self, seen: PoolObservation, verdict: Verdict, now: datetime) -> dict[str, Any] | None:
        """
        Return the result of a verdict.

        :raises PoolNotReadyError: if the verdict is that the pool failed, or the pool is over its budget.
        """
        self.status = verdict.reason
        if verdict.outcome is Outcome.WAITING:
            return None
        outputs = await start_task_outputs(self.client, self.pool_id, verdict.broken_nodes)
        if verdict.outcome is Outcome.FAILED:
            remedy = [_START_TASK_REMEDY] if outputs else []
            reason = "\n".join([verdict.reason, *outputs, *remedy])
            raise PoolNotReadyError(reason, pool_id=self.pool_id, is_late=verdict.is_late)
        for output in outputs:
            log.warning("%s", output)
        result: dict[str, Any] = {"pool_id": self.pool_id, "nodes": dict(seen.counts)}
        if seen.pool is None:
            return {**result, "allocation_state": None, "timeline": {}}
        timeline = timeline_of(seen.pool, seen.nodes or (), now, self.policy.requested_at)
        log.info("Pool %r: %s.", self.pool_id, timeline)
        if PoolMarks.read(seen.pool.metadata).owner:
            usage = await record_usage(
                self.client, self.pool_id, Look(seen.nodes or (), self.client.clock.now())
            )
            if usage is not None and usage.must_end:
                msg = f"Pool {self.pool_id!r} is being deleted: {usage.excess}. Raise its max_node_hours."
                raise PoolNotReadyError(msg, pool_id=self.pool_id)
        return {**result, "allocation_state": seen.pool.allocation_state, "timeline": timeline.to_dict()}

    async def _observe_unready(self, seen: PoolObservation, pool: PoolSnapshot) -> PoolObservation:
        ready = READY_STATES if self.policy.running_is_ready else ("idle",)
        where = " and ".join(f"state ne '{state}'" for state in ready)
        few = await self.observe_exactly(seen, where)
        listed = few.nodes or ()
        dedicated = sum(node.dedicated for node in listed)
        spot = len(listed) - dedicated
        others = max(0, pool.current_dedicated - dedicated), max(0, pool.current_spot - spot)
        counts = {**few.counts, "ready": sum(others)} if any(others) else few.counts
        return replace(few, counts=counts, ready_besides=others)


def has_broken_nodes(counts: Mapping[str, int]) -> bool:
    """Return whether the counts have nodes in a broken state."""
    return any(counts.get(state) for state in BROKEN_STATES)


async def start_task_outputs(
    client: BatchLinuxClient, pool_id: str, nodes: Sequence[NodeSnapshot]
) -> list[str]:
    """
    Return the end of the start task's output on the first few nodes where it failed, if they answer in time.

    What several of them wrote alike is returned once.

    :param nodes: the nodes; those whose start task did not fail are left out.
    """
    failed = [node.node_id for node in nodes if node.state == "starttaskfailed"]

    async def read(node_id: str) -> str:
        try:
            async with timeout(_OUTPUT_LIMIT):
                return await start_task_output(client, pool_id, node_id)
        except asyncio.TimeoutError:
            return f"not available (no answer in {_OUTPUT_LIMIT:g} s)"

    shown = failed[:_OUTPUTS_SHOWN]
    same: dict[str, list[str]] = {}
    for node_id, output in zip(
        shown, await fan_out(shown, read, max_concurrency=_OUTPUTS_SHOWN), strict=True
    ):
        same.setdefault(output, []).append(node_id)
    of = "Output of the start task on"
    return [
        f"{of} {'node' if len(ids) == 1 else 'nodes'} {joined(ids)}:\n{indented(output)}"
        for output, ids in same.items()
    ]
