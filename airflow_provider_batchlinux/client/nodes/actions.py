"""Send a request to many nodes of a pool concurrently, and wait until they have done it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.nodes.actions import (
    NodeAction,
    NodeChoice,
    NodeProgress,
    latest_boot,
    progress_of,
)
from airflow_provider_batchlinux.core.service_errors import cause_of
from airflow_provider_batchlinux.core.snapshots import NODE_FIELDS, NodeSnapshot
from airflow_provider_batchlinux.core.text import counted, joined
from airflow_provider_batchlinux.exceptions import BatchRequestError, PoolNotReadyError

log = logging.getLogger(__name__)

_MAX_CONCURRENCY = 16
# A pool has up to thousands of nodes, which often fail for the same cause.
_SHOWN = 20

_NAMED = 20
"""How many nodes are read one by one at most; the service has no filter by id."""

_WATCHED = 5
"""Nodes that a poll reads while they are not done; the others are no further as a whole."""


_WRONG_STATE_CODES = frozenset(
    {
        "NodeBeingRebooted",
        "NodeBeingReimaged",
        "NodeBeingStarted",
        "OperationInvalidForCurrentState",
        "OperationNotValidOnNode",
    }
)
"""The codes of a refusal that may mean that the node already does what was requested."""

_UNDER_WAY: Mapping[str, str] = {
    "reboot": "rebooting",
    "reimage": "reimaging",
    "deallocate": "deallocating",
    "start": "starting",
}
"""The state of a node that is already doing it."""


@dataclass(frozen=True)
class ActedNodes:
    """
    The nodes that accepted a request.

    :param node_ids: their ids.
    :param since: the last boot of any of the chosen nodes before the request.
    """

    node_ids: list[str]
    since: datetime | None


async def act_on_nodes(
    client: BatchLinuxClient, pool_id: str, action: NodeAction, choice: NodeChoice, running_tasks: str
) -> ActedNodes:
    """
    Send the same request to all selected nodes, several concurrently.

    A few named nodes are read one by one, others by a list of the selected states: the cost depends on the
    selection, not on the size of the pool.

    :param running_tasks: what to do with tasks that run on the nodes.
    :raises PoolNotReadyError: if the pool does not exist or is being deleted.
    :raises BatchRequestError: if some nodes refused, with their names; the others accepted the request.
    """
    nodes = await _choosable(client, pool_id, action, choice)
    await _require_pool(client, pool_id, action)
    if missing := choice.missing(nodes):
        log.warning("Pool %r has no nodes %s.", pool_id, joined(missing))
    chosen = choice.chosen(nodes)

    async def ask(node: NodeSnapshot) -> BatchRequestError | None:
        try:
            await _ask(client, pool_id, node.node_id, action, running_tasks)
        except BatchRequestError as error:
            return None if await _does_it_already(client, pool_id, node.node_id, action, error) else error
        return None

    answers = await fan_out(chosen, ask, max_concurrency=_MAX_CONCURRENCY)
    refused = [(node, error) for node, error in zip(chosen, answers, strict=True) if error is not None]
    taken = [node.node_id for node, error in zip(chosen, answers, strict=True) if error is None]
    log.info("%s: %d of %d nodes of pool %r took it.", action, len(taken), len(chosen), pool_id)
    if refused:
        await _require_pool(client, pool_id, action)
    failed = [(node, error) for node, error in refused if error.code != "NodeNotFound"]
    if failed:
        some = counted(len(failed), "node")
        raise refused_by(failed, f"{some} of pool {pool_id!r} refused {action}; the others took it.")
    return ActedNodes(taken, latest_boot(chosen))


@dataclass
class NodesActedWait:
    """
    Wait until nodes have done what was requested.

    A node that left the pool meanwhile, or was preempted, is not waited for. A poll reads the pool and a few
    of the nodes that are not done yet; when those are done, all remaining nodes.
    """

    client: BatchLinuxClient
    pool_id: str
    action: NodeAction
    acted: ActedNodes
    status: str = field(default="", init=False)
    _over: NodeProgress = field(default=NodeProgress(), init=False)

    async def poll(self) -> dict[str, Any] | None:
        """
        Return how many nodes are done and gone, or ``None`` if it is too early.

        :raises PoolNotReadyError: if the pool does not exist or is being deleted, or if some nodes broke,
            with their names and causes.
        """
        await _require_pool(self.client, self.pool_id, self.action)
        is_over = await self._settle()
        over = self._over
        self.status = (
            f"Pool {self.pool_id!r}, {self.action} of {counted(len(self.acted.node_ids), 'node')}: {over}."
        )
        if not is_over:
            return None
        if over.gone:
            # The pool may have been deleted with its nodes after it was read.
            await _require_pool(self.client, self.pool_id, self.action)
        if over.broken:
            broken = counted(len(over.broken), "node")
            msg = f"Pool {self.pool_id!r}: {broken} did not come back from {self.action}."
            causes = [f"\n  {cause_of(node)}" for node in over.broken[:_SHOWN]]
            raise PoolNotReadyError("".join([msg, *causes]), pool_id=self.pool_id)
        return {"pool_id": self.pool_id, "done": len(over.done), "gone": len(over.gone)}

    async def _settle(self) -> bool:
        """Read nodes until one is found that is not done; return whether all are done."""
        while left := self._left():
            few = left[:_WATCHED]
            self._take(few, await _named(self.client, self.pool_id, few))
            if self._over.waiting:
                return False
            left = self._left()
            if len(left) > _NAMED:
                self._take(left, await _listed(self.client, self.pool_id, self.action))
        return True

    def _left(self) -> list[str]:
        over = self._over.over()
        return [node_id for node_id in self.acted.node_ids if node_id.lower() not in over]

    def _take(self, asked: Sequence[str], nodes: Sequence[NodeSnapshot]) -> None:
        self._over = self._over.plus(progress_of(self.action, asked, nodes, self.acted.since))


async def _require_pool(client: BatchLinuxClient, pool_id: str, action: str) -> None:
    pool = await client.find_pool(pool_id)
    if pool is None or pool.state == "deleting":
        state = "does not exist" if pool is None else "is being deleted"
        msg = f"Pool {pool_id!r} {state}, so its nodes will not come through {action}."
        raise PoolNotReadyError(msg, pool_id=pool_id)


async def _listed(
    client: BatchLinuxClient, pool_id: str, action: str, where: str | None = None
) -> list[NodeSnapshot]:
    try:
        return await client.list_nodes(pool_id, where=where)
    except BatchRequestError as error:
        if error.code == "PoolNotFound":
            await _require_pool(client, pool_id, action)
        raise


async def _choosable(
    client: BatchLinuxClient, pool_id: str, action: str, choice: NodeChoice
) -> list[NodeSnapshot]:
    ids = choice.distinct_ids()
    if ids is None:
        return await _listed(client, pool_id, action, choice.where())
    if len(ids) <= _NAMED:
        return await _named(client, pool_id, ids)
    return await _listed(client, pool_id, action)


async def _named(client: BatchLinuxClient, pool_id: str, node_ids: Sequence[str]) -> list[NodeSnapshot]:
    async def find(node_id: str) -> NodeSnapshot | None:
        body = await client.find_node_body(pool_id, node_id, NODE_FIELDS)
        return None if body is None else NodeSnapshot.from_rest(body)

    found = await fan_out(node_ids, find, max_concurrency=_MAX_CONCURRENCY)
    return [node for node in found if node is not None]


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


async def _does_it_already(
    client: BatchLinuxClient, pool_id: str, node_id: str, action: str, error: BatchRequestError
) -> bool:
    # The node may do it because of our own request, whose answer was lost. Azure does not document which of
    # these codes it answers then, so the state of the node decides.
    if error.code not in _WRONG_STATE_CODES:
        return False
    found = await client.find_node_body(pool_id, node_id, ["id", "state"])
    return found is not None and str(found.get("state")).lower() == _UNDER_WAY[action]


def refused_by(nodes: Sequence[tuple[NodeSnapshot, BatchRequestError]], message: str) -> BatchRequestError:
    """
    Return the error about nodes that have refused a request, with the code of the first.

    :param message: its first line; the first nodes and their answers follow.
    """
    lines = "".join(f"\n  node {node.node_id!r} ({node.state}): {error}" for node, error in nodes[:_SHOWN])
    first = nodes[0][1]
    return BatchRequestError(
        message + lines, code=first.code, status=first.status, request_id=first.request_id
    )
