"""Find out why the commands of a job cannot start."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.files import start_task_output
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.tasks.start import may_have_node, start_obstacle
from airflow_provider_batchlinux.core.text import indented
from airflow_provider_batchlinux.exceptions import TaskFailedError

log = logging.getLogger(__name__)

LOOK_EVERY = 15.0
"""Seconds after which a wait looks again: it takes several requests."""


@dataclass
class PoolObstacle:
    """
    What keeps the nodes of a pool from running commands.

    :param what: what cannot run, for messages: ``Task 'main' of job 'etl-1'``.
    :param clock: seconds since the epoch; a test passes its own.
    """

    client: BatchLinuxClient
    pool_id: str
    what: str
    clock: Callable[[], float]
    looked_at: float = field(default=0.0, init=False)
    _newest: str | None = field(default=None, init=False)
    _shown: str | None = field(default=None, init=False)

    async def newest(self, *, is_urgent: bool = False) -> str | None:
        """
        Return why no node can run the commands, as a sentence; ``None`` if a node may.

        :param is_urgent: ask the service now, even if that was done just before.
        :raises TaskFailedError: the pool does not exist.
        """
        now = self.clock()
        if is_urgent or now >= self.looked_at + LOOK_EVERY:
            self.looked_at, self._newest = now, await self._find()
        return self._newest

    async def _find(self) -> str | None:
        pool = await self.client.find_pool(self.pool_id)
        if pool is None:
            msg = f"{self.what} cannot run: pool {self.pool_id!r} does not exist."
            raise TaskFailedError(msg)
        nodes: list[NodeSnapshot] = []
        if pool.state == "active" and pool.current:
            # The counts are one request for any size; they may be outdated, so the list decides.
            counts = await self.client.node_counts(self.pool_id)
            if pool.allocation_state != "steady" or may_have_node(counts):
                return None
            nodes = await self.client.list_nodes(self.pool_id)
        obstacle = start_obstacle(pool, nodes)
        if obstacle is not None and obstacle != self._shown:
            self._shown = obstacle
            failed = next((node.node_id for node in nodes if node.state == "starttaskfailed"), None)
            if failed is not None:
                output = await start_task_output(self.client, self.pool_id, failed)
                log.warning("Output of the start task on node %r:\n%s", failed, indented(output))
        return obstacle
