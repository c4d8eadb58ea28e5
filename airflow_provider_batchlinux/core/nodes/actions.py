"""Actions on single nodes: which nodes are selected, and when an action is complete."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from airflow_provider_batchlinux.core.node_states import AWAY_STATES, BROKEN_STATES, NODE_STATES, READY_STATES
from airflow_provider_batchlinux.core.parameters.kinds import Kind
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.text import joined


def state_of(value: object) -> str | None:
    """Return the state of a node as the snapshots have it; ``None`` if there is no such state."""
    state = value.strip().lower().replace("_", "") if isinstance(value, str) else None
    return state if state in NODE_STATES else None


NodeState: TypeAlias = Annotated[str, Kind(f"a state of nodes ({', '.join(sorted(NODE_STATES))})", state_of)]
"""A state of nodes, in any letters."""

NodeAction = Literal["reboot", "reimage", "deallocate", "start"]


@dataclass(frozen=True)
class NodeChoice:
    """
    Which nodes of a pool are selected.

    :param node_ids: the ids; ``None`` for any.
    :param states: the states; ``None`` for any.
    """

    node_ids: Sequence[str] | None = None
    states: Sequence[str] | None = None

    def __str__(self) -> str:
        if self.node_ids is not None and not self.node_ids:
            return "in an empty list of node_ids"
        if self.states is not None and not self.states:
            return "in an empty list of states"
        ids = f"with an id of {joined(self.node_ids)}" if self.node_ids is not None else ""
        states = f"in state {' or '.join(self.states)}" if self.states is not None else ""
        return " ".join(filter(None, (ids, states))) or "at all"

    def chosen(self, nodes: Iterable[NodeSnapshot]) -> list[NodeSnapshot]:
        """Return the selected nodes."""
        # The service compares ids without regard to case.
        ids = None if self.node_ids is None else {node_id.lower() for node_id in self.node_ids}
        states = None if self.states is None else {_state_name(state) for state in self.states}
        return [
            node
            for node in nodes
            if (ids is None or node.node_id.lower() in ids) and (states is None or node.state in states)
        ]

    def distinct_ids(self) -> list[str] | None:
        """Return each selected id once, without regard to case; ``None`` for any."""
        if self.node_ids is None:
            return None
        return list({node_id.lower(): node_id for node_id in self.node_ids}.values())

    def where(self) -> str | None:
        """Return the OData filter for the selected states; ``None`` for any."""
        if self.states is None:
            return None
        names = [_state_name(state).replace("'", "''") for state in self.states]
        return " or ".join(f"state eq '{name}'" for name in names) or None

    def missing(self, nodes: Iterable[NodeSnapshot]) -> list[str]:
        """Return the selected ids that no node has."""
        known = {node.node_id.lower() for node in nodes}
        return [node_id for node_id in self.node_ids or () if node_id.lower() not in known]


@dataclass(frozen=True)
class NodeProgress:
    """
    The progress of an action on some nodes.

    :param done: the nodes on which it is complete.
    :param gone: the nodes that are no longer in the pool, or were preempted.
    :param broken: the nodes that are broken after it.
    :param waiting: the nodes on which it is not complete.
    """

    done: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    broken: tuple[NodeSnapshot, ...] = ()
    waiting: tuple[NodeSnapshot, ...] = ()

    def plus(self, more: NodeProgress) -> NodeProgress:
        """Return this with the progress of other nodes, of which only those are still waiting."""
        return NodeProgress(
            self.done + more.done, self.gone + more.gone, self.broken + more.broken, more.waiting
        )

    def over(self) -> set[str]:
        """Return the ids of the nodes that are no longer waiting, in lower case."""
        broken = (node.node_id for node in self.broken)
        return {node_id.lower() for node_id in (*self.done, *self.gone, *broken)}

    def __str__(self) -> str:
        states = joined(sorted({node.state for node in self.waiting}))
        still = f"; others are {states}" if self.waiting else ""
        return f"{len(self.done)} done, {len(self.gone)} gone, {len(self.broken)} broken{still}"


def latest_boot(nodes: Iterable[NodeSnapshot]) -> datetime | None:
    """
    Return when one of the nodes last booted, by the service's clock.

    A node that boots after a request has a later time than every node had before it. So this machine's clock
    is not compared with the service's.
    """
    return max((node.last_boot for node in nodes if node.last_boot is not None), default=None)


def progress_of(
    action: NodeAction, node_ids: Sequence[str], nodes: Iterable[NodeSnapshot], since: datetime | None
) -> NodeProgress:
    """
    Return the progress of an action.

    :param node_ids: the nodes that accepted it.
    :param nodes: the pool's nodes now.
    :param since: the last boot of any of them before the action; ``None`` if none had booted.
    """
    known = {node.node_id.lower(): node for node in nodes}
    found = [known[node_id.lower()] for node_id in node_ids if node_id.lower() in known]
    here = [node for node in found if node.state not in AWAY_STATES]
    broken = tuple(node for node in here if node.state in BROKEN_STATES and _has_booted(node, since, action))
    wanted = {"deallocated"} if action == "deallocate" else READY_STATES
    done = tuple(node for node in here if node.state in wanted and _has_booted(node, since, action))
    waiting = tuple(node for node in here if node not in done and node not in broken)
    staying = {node.node_id.lower() for node in here}
    gone = tuple(node_id for node_id in node_ids if node_id.lower() not in staying)
    return NodeProgress(tuple(node.node_id for node in done), gone, broken, waiting)


def _state_name(state: str) -> str:
    return state.lower().replace("_", "")


def _has_booted(node: NodeSnapshot, since: datetime | None, action: NodeAction) -> bool:
    # An unusable node does not answer the service, so it gets no boot time.
    if action == "deallocate" or since is None or node.state == "unusable":
        return True
    return node.last_boot is not None and node.last_boot > since
