"""Why a command that waits for a node cannot start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from airflow_provider_batchlinux.core.node_states import AWAY_STATES, BROKEN_STATES
from airflow_provider_batchlinux.core.service_errors import (
    ResizeErrorKind,
    cause_of,
    explained_error,
    kind_of,
)
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot
from airflow_provider_batchlinux.core.text import counted

_SHOWN = 3
"""Nodes that are named in a line of the log."""

_STOPPED = {"offline": "its scheduling is disabled", "deallocated": "start it", "deallocating": "start it"}
_USELESS = frozenset({*BROKEN_STATES, *AWAY_STATES, *_STOPPED})


def may_have_node(states: Iterable[str]) -> bool:
    """Return whether some of these states are of nodes that run tasks, or may do so soon."""
    return any(state not in _USELESS for state in states)


def start_obstacle(pool: PoolSnapshot, nodes: Sequence[NodeSnapshot]) -> str | None:
    """
    Return why no node of a pool can run a command unless someone acts; ``None`` if one may.

    :param nodes: all nodes of the pool.
    """
    if pool.state == "deleting":
        return f"Pool {pool.pool_id!r} is being deleted."
    # While the pool resizes, its nodes are about to change: there is nothing to report yet.
    if pool.allocation_state != "steady" or may_have_node(node.state for node in nodes):
        return None
    errors = [explained_error(e) for e in pool.resize_errors if kind_of(e) is not ResizeErrorKind.HARMLESS]
    if pool.autoscale_error is not None:
        errors.append(f"autoscale formula: {pool.autoscale_error}")
    causes = []
    for node in nodes[:_SHOWN]:
        remedy = f", {_STOPPED[node.state]}" if node.state in _STOPPED else ""
        is_broken = node.state in BROKEN_STATES
        causes.append(cause_of(node) if is_broken else f"node {node.node_id!r}: {node.state}{remedy}")
    causes += errors
    if len(nodes) > _SHOWN:
        causes.append(counted(len(nodes) - _SHOWN, "more node"))
    if not causes and not pool.autoscale and pool.target == 0:
        causes.append("it has no nodes and none are requested; resize it")
    return f"No node of pool {pool.pool_id!r} can run it: {'; '.join(causes)}." if causes else None
