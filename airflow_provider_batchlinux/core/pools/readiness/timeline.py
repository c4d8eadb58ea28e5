"""How long a pool took to become ready, and the node-hours that it has used so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_batchlinux.core.node_states import READY_STATES
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot


@dataclass(frozen=True)
class Timeline:
    """
    The durations from the request for a pool until its nodes were ready.

    All are seconds since the request; ``None`` if the service does not report the instant.

    :param to_steady: until the allocation ended.
    :param to_first_idle: until the first node could run tasks.
    :param to_ready: until the last of the nodes that can run tasks now could do so.
    :param node_hours: the hours of all nodes that the pool has now and whose allocation time is known. The
        service does not list nodes that were removed.
    """

    to_steady: float | None
    to_first_idle: float | None
    to_ready: float | None
    node_hours: float

    def to_dict(self) -> dict[str, float | None]:
        """Return plain values."""
        return {
            "to_steady": self.to_steady,
            "to_first_idle": self.to_first_idle,
            "to_ready": self.to_ready,
            "node_hours": self.node_hours,
        }

    def __str__(self) -> str:
        """Return one line for the log."""
        spans = {"steady": self.to_steady, "first node": self.to_first_idle, "ready": self.to_ready}
        known = [f"{name} after {span:g} s" for name, span in spans.items() if span is not None]
        return ", ".join([*known, f"{self.node_hours:g} node-hours so far"])


def timeline_of(
    pool: PoolSnapshot, nodes: Iterable[NodeSnapshot], now: datetime, requested_at: datetime | None = None
) -> Timeline:
    """
    Return a pool's timeline, from the instants that the service reports.

    :param nodes: its nodes.
    :param now: the present instant.
    :param requested_at: when the nodes were requested; ``None`` for the creation of the pool.
    """
    each = list(nodes)
    began = requested_at or pool.created
    usable = [moment for node in each if (moment := _usable_since(node)) is not None]
    steady = pool.allocation_state_since if pool.allocation_state == "steady" else None
    hours = sum(_seconds(node.allocated, now) or 0.0 for node in each) / 3600
    return Timeline(
        to_steady=_seconds(began, steady),
        to_first_idle=_seconds(began, min(usable, default=None)),
        to_ready=_seconds(began, max(usable, default=None)),
        node_hours=round(hours, 3),
    )


def _usable_since(node: NodeSnapshot) -> datetime | None:
    # The state of a node that has run tasks is younger than its first chance to; the end of its start task
    # is not.
    if node.state not in READY_STATES:
        return None
    ended = node.start_task.ended if node.start_task else None
    known = [moment for moment in (ended, node.state_since if node.state == "idle" else None) if moment]
    return min(known, default=node.last_boot)


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None:
        return None
    return round(max(0.0, (end - start).total_seconds()), 1)
