"""What was repaired on a pool so far, as marks in its metadata; imports only the standard library."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import blake2s
from typing import Any

from airflow_provider_batchlinux.core.pool_marks import METADATA_PREFIX
from airflow_provider_batchlinux.core.pool_state import NodeSnapshot, PoolSnapshot

__all__ = ["NodeRecord", "RepairHistory", "history_in", "with_history"]

_REPAIRS = f"{METADATA_PREFIX}repairs"
_AUTOSCALE = f"{METADATA_PREFIX}repair_autoscale"

_CLAIM_LASTS = timedelta(minutes=5)
"""After this, what was claimed and not done is taken over: whoever claimed it is gone."""


@dataclass(frozen=True)
class NodeRecord:
    """
    What was done to a node.

    :param times: how often it was repaired.
    :param episode: which of its break-downs was the last of these, in seconds since the epoch.
    :param claimed: when somebody took that on, in seconds since the epoch.
    """

    times: int
    episode: int
    claimed: int


@dataclass(frozen=True)
class RepairHistory:
    """
    What was done to a pool, so that it holds over restarts and for all who wait on it.

    :param total: how many repairs there were, of whichever node.
    :param nodes: the nodes that are still there, by a short digest of their ids.
    :param grow_to: the dedicated and spot nodes to grow back to; ``None`` when nothing was removed.
    :param autoscale: the formula and its interval to switch on again, as REST has them; ``None`` for none.
    """

    total: int = 0
    nodes: Mapping[str, NodeRecord] = field(default_factory=dict)
    grow_to: tuple[int, int] | None = None
    autoscale: Mapping[str, Any] | None = None

    def times(self, node: NodeSnapshot) -> int:
        """Tell how often a node was repaired."""
        record = self.nodes.get(_key(node))
        return record.times if record else 0

    def is_known(self, node: NodeSnapshot) -> bool:
        """Tell whether this break-down of a node was counted already."""
        record = self.nodes.get(_key(node))
        return record is not None and record.episode == _episode(node)

    def is_claimed(self, node: NodeSnapshot, now: datetime) -> bool:
        """Tell whether somebody is repairing this break-down of a node."""
        record = self.nodes.get(_key(node))
        if record is None or record.episode != _episode(node):
            return False
        return now.timestamp() - record.claimed <= _CLAIM_LASTS.total_seconds()

    def with_claims(
        self, claimed: Collection[NodeSnapshot], present: Collection[NodeSnapshot], now: datetime
    ) -> RepairHistory:
        """
        Add that some nodes are being repaired; a break-down that is taken over is not counted again.

        :param present: the pool's nodes; those that left are forgotten.
        """
        keys = {_key(node) for node in present}
        kept = {key: record for key, record in self.nodes.items() if key in keys}
        added = {
            _key(node): NodeRecord(
                self.times(node) + (not self.is_known(node)), _episode(node), int(now.timestamp())
            )
            for node in claimed
        }
        new = sum(not self.is_known(node) for node in claimed)
        return replace(self, total=self.total + new, nodes={**kept, **added})

    def with_targets_of(self, pool: PoolSnapshot) -> RepairHistory:
        """Add the size to grow back to, unless there is one already."""
        if self.grow_to is not None:
            return self
        return replace(self, grow_to=(pool.target_dedicated, pool.target_spot))


def history_in(metadata: Mapping[str, str]) -> RepairHistory:
    """Read the history from a pool's metadata; what cannot be read was never written by this provider."""
    marks, autoscale = _read(metadata.get(_REPAIRS)), _read(metadata.get(_AUTOSCALE))
    grow_to = marks.get("grow_to")
    return RepairHistory(
        total=int(marks.get("total", 0)),
        nodes={key: NodeRecord(*record) for key, record in marks.get("nodes", {}).items()},
        grow_to=(grow_to[0], grow_to[1]) if grow_to else None,
        autoscale=autoscale or None,
    )


def with_history(metadata: Mapping[str, str], history: RepairHistory) -> dict[str, str]:
    """Give a pool's metadata with this history in place of the one that is there."""
    marks: dict[str, Any] = {
        "total": history.total,
        "nodes": {key: [rec.times, rec.episode, rec.claimed] for key, rec in history.nodes.items()},
    }
    if history.grow_to is not None:
        marks["grow_to"] = list(history.grow_to)
    changed = {name: value for name, value in metadata.items() if name not in (_REPAIRS, _AUTOSCALE)}
    if history != RepairHistory():
        changed[_REPAIRS] = _written(marks)
    if history.autoscale is not None:
        changed[_AUTOSCALE] = _written(history.autoscale)
    return changed


def _key(node: NodeSnapshot) -> str:
    return blake2s(node.node_id.lower().encode(), digest_size=5).hexdigest()


def _episode(node: NodeSnapshot) -> int:
    return int(node.state_since.timestamp() * 1000) if node.state_since else 0


def _read(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _written(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
