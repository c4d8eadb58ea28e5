"""Looking at a pool until its nodes can be judged, with the cause when they failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_provider_batchlinux.client.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.files import start_task_output
from airflow_provider_batchlinux.core.readiness import (
    Outcome,
    PoolObservation,
    ReadinessPolicy,
    Verdict,
    judge,
)
from airflow_provider_batchlinux.core.text import indented
from airflow_provider_batchlinux.exceptions import BatchRequestError, PoolNotReadyError

__all__ = ["NodesIdleWait"]

_OUTPUTS_SHOWN = 3


@dataclass
class NodesIdleWait:
    """
    Wait until all nodes that a pool asks for are ready.

    A look at a pool that is on its way costs two requests, whatever its size; before it says ready or
    failed it confirms that with the exact list of nodes, because the service's counts may be late.

    :param policy: what counts as ready.
    """

    client: BatchLinuxClient
    pool_id: str
    policy: ReadinessPolicy
    progress: str = field(default="", init=False)

    async def look(self) -> dict[str, Any] | None:
        """
        Look once: the pool's id and its nodes by state when ready, ``None`` to go on waiting.

        :raises PoolNotReadyError: waiting does not help; the reason holds the start task's output.
        """
        seen = await self._observe()
        verdict = judge(seen, self.policy)
        if seen.pool is not None and verdict.outcome is not Outcome.WAITING:
            seen = await self._observe_exactly(seen)
            verdict = judge(seen, self.policy)
        self.progress = verdict.reason
        if verdict.outcome is Outcome.FAILED:
            raise PoolNotReadyError(await self._explained(verdict), pool_id=self.pool_id)
        if verdict.outcome is Outcome.WAITING:
            return None
        return {"pool_id": self.pool_id, "nodes": dict(seen.counts)}

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

    async def _explained(self, verdict: Verdict) -> str:
        failed = [node.node_id for node in verdict.broken_nodes if node.state == "starttaskfailed"]
        parts = [verdict.reason]
        for node_id in failed[:_OUTPUTS_SHOWN]:
            output = await start_task_output(self.client, self.pool_id, node_id)
            parts.append(f"Output of the start task on node {node_id!r}:\n{indented(output)}")
        return "\n".join(parts)
