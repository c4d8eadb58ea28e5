"""Doing something to many nodes of a pool at once, and waiting until they came through it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.client.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.fan_out import fan_out
from airflow_provider_batchlinux.core.node_actions import (
    NodeAction,
    NodeChoice,
    NodeProgress,
    latest_boot,
    progress_of,
)
from airflow_provider_batchlinux.core.pool_faults import cause_of
from airflow_provider_batchlinux.core.pool_state import NodeSnapshot
from airflow_provider_batchlinux.core.text import joined
from airflow_provider_batchlinux.exceptions import BatchRequestError, PoolNotReadyError

__all__ = ["ActedNodes", "NodesActedWait", "act_on_nodes"]

log = logging.getLogger(__name__)

_AT_ONCE = 16
_SHOWN = 20


@dataclass(frozen=True)
class ActedNodes:
    """
    The nodes that took a request.

    :param node_ids: their ids.
    :param since: the last boot of any node of the pool before the request.
    """

    node_ids: list[str]
    since: datetime | None


async def act_on_nodes(
    client: BatchLinuxClient, pool_id: str, action: NodeAction, choice: NodeChoice, running_tasks: str
) -> ActedNodes:
    """
    Ask the same of all chosen nodes, some at once.

    :param running_tasks: what becomes of tasks that run on them.
    :raises BatchRequestError: some nodes refused, all of which are named; the others took the request.
    """
    nodes = await client.list_nodes(pool_id)
    if missing := choice.missing(nodes):
        log.warning("Pool %r has no nodes %s.", pool_id, joined(missing))
    chosen = choice.chosen(nodes)

    async def ask(node: NodeSnapshot) -> BatchRequestError | None:
        try:
            await _ask(client, pool_id, node.node_id, action, running_tasks)
        except BatchRequestError as error:
            return error
        return None

    answers = await fan_out(chosen, ask, at_once=_AT_ONCE)
    refused = [(node, error) for node, error in zip(chosen, answers, strict=True) if error is not None]
    taken = [node.node_id for node, error in zip(chosen, answers, strict=True) if error is None]
    log.info("%s: %d of %d nodes of pool %r took it.", action, len(taken), len(chosen), pool_id)
    _require_no_failure(action, pool_id, refused)
    return ActedNodes(taken, latest_boot(nodes))


@dataclass
class NodesActedWait:
    """
    Wait until nodes came through what was asked of them.

    A node that left the pool meanwhile, or was preempted, is not waited for.
    """

    client: BatchLinuxClient
    pool_id: str
    action: NodeAction
    acted: ActedNodes
    progress: str = field(default="", init=False)

    async def look(self) -> dict[str, Any] | None:
        """
        Look once: how many nodes are done and gone when it is over, ``None`` to go on waiting.

        :raises PoolNotReadyError: some nodes did not survive it; all of them are named with the cause.
        """
        nodes = await self.client.list_nodes(self.pool_id)
        found = progress_of(self.action, self.acted.node_ids, nodes, self.acted.since)
        self.progress = f"Pool {self.pool_id!r}, {self.action}: {found}."
        if found.waiting:
            return None
        if found.broken:
            raise PoolNotReadyError(self._broken(found), pool_id=self.pool_id)
        return {"pool_id": self.pool_id, "done": len(found.done), "gone": len(found.gone)}

    def _broken(self, found: NodeProgress) -> str:
        causes = "".join(f"\n  {cause_of(node)}" for node in found.broken[:_SHOWN])
        count = len(found.broken)
        return f"Pool {self.pool_id!r}: {count} nodes did not come back from {self.action}.{causes}"


async def _ask(
    client: BatchLinuxClient, pool_id: str, node_id: str, action: NodeAction, running_tasks: str
) -> None:
    if action == "start":
        await client.start_node(pool_id, node_id)
        return
    verbs = {
        "reboot": client.reboot_node,
        "reimage": client.reimage_node,
        "deallocate": client.deallocate_node,
    }
    await verbs[action](pool_id, node_id, running_tasks)


def _require_no_failure(
    action: str, pool_id: str, refused: Sequence[tuple[NodeSnapshot, BatchRequestError]]
) -> None:
    failed = [(node, error) for node, error in refused if error.code != "NodeNotFound"]
    if not failed:
        return
    lines = "".join(f"\n  node {node.node_id!r} ({node.state}): {error}" for node, error in failed[:_SHOWN])
    first = failed[0][1]
    msg = f"{len(failed)} nodes of pool {pool_id!r} refused {action}; the others took it.{lines}"
    raise BatchRequestError(msg, code=first.code, status=first.status, request_id=first.request_id)
