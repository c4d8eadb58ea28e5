"""The repairs of a pool so far, stored in the pool's metadata: all that wait on the pool share them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import blake2s
from typing import Any

from airflow_provider_batchlinux.core.pool_metadata import REPAIRS_KEY
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot

_CLAIM_EXPIRES = timedelta(minutes=5)
"""After this, a claimed repair that was not done is taken over: the process that claimed it is gone."""

_HEARTBEAT_INTERVAL = timedelta(minutes=5)
_ABANDONED_AFTER = timedelta(minutes=15)
"""Three heartbeats that did not come."""

_MAX_NODES = 100
"""Nodes that are remembered one by one: how long a pool's metadata may be is not documented."""


@dataclass(frozen=True)
class RepairRecord:
    """
    The repairs of one node, or the repeated resizes of a pool.

    :param times: how often it was repaired.
    :param failed_at: when the failure that was repaired last occurred, in milliseconds since the epoch.
    :param claimed_at: when a waiting task claimed that repair, in seconds since the epoch.
    """

    times: int
    failed_at: int
    claimed_at: int

    def is_claimed(self, now: datetime) -> bool:
        """Return whether the process that claimed the repair may still be doing it."""
        return now.timestamp() - self.claimed_at <= _CLAIM_EXPIRES.total_seconds()

    def again(self, failed_at: int, now: datetime) -> RepairRecord:
        """Return the record after a claim; a failure that is taken over is not counted again."""
        return RepairRecord(self.times + (failed_at != self.failed_at), failed_at, int(now.timestamp()))


@dataclass(frozen=True)
class RepairHistory:
    """
    The repairs of a pool.

    :param total: the number of reboots and removals.
    :param nodes: the nodes that were repaired, the latest hundred, by a short digest of their ids.
    :param grow_to: the dedicated and spot nodes to grow back to; ``None`` if nothing was removed.
    :param reduced_to: the dedicated and spot nodes that the last removal leaves.
    :param resize: the repeated requests for nodes that the pool did not get; ``None`` if it has them.
    :param heartbeat_at: when a waiting task last worked on restoring the pool's size, in seconds since the
        epoch; ``None`` if there is nothing to restore.
    """

    total: int = 0
    nodes: Mapping[str, RepairRecord] = field(default_factory=dict)
    grow_to: tuple[int, int] | None = None
    reduced_to: tuple[int, int] | None = None
    resize: RepairRecord | None = None
    heartbeat_at: int | None = None

    @property
    def needs_restore(self) -> bool:
        """Whether the pool is still to grow back to its size."""
        return self.grow_to is not None

    def is_abandoned(self, now: datetime) -> bool:
        """Return whether the pool is to grow back, and no waiting task has worked on it for a while."""
        if not self.needs_restore:
            return False
        return (
            self.heartbeat_at is None
            or now.timestamp() - self.heartbeat_at > _ABANDONED_AFTER.total_seconds()
        )

    def with_heartbeat(self, now: datetime) -> RepairHistory:
        """Return the history with a heartbeat, renewed every few minutes while there is a size to restore."""
        if not self.needs_restore:
            return replace(self, heartbeat_at=None)
        if (
            self.heartbeat_at is not None
            and now.timestamp() - self.heartbeat_at <= _HEARTBEAT_INTERVAL.total_seconds()
        ):
            return self
        return replace(self, heartbeat_at=int(now.timestamp()))

    def restored(self) -> RepairHistory:
        """Return the history of a pool that has its size back, or is not to get it."""
        return replace(self, grow_to=None, reduced_to=None, heartbeat_at=None)

    def times(self, node: NodeSnapshot) -> int:
        """Return how often a node was repaired."""
        record = self.nodes.get(_key(node))
        return record.times if record else 0

    def is_known(self, node: NodeSnapshot) -> bool:
        """Return whether the present failure of a node was counted already."""
        record = self.nodes.get(_key(node))
        return record is not None and record.failed_at == _failed_at(node)

    def is_claimed(self, node: NodeSnapshot, now: datetime) -> bool:
        """Return whether the present failure of a node is being repaired."""
        return self.is_known(node) and self.nodes[_key(node)].is_claimed(now)

    def with_claims(self, claimed: Collection[NodeSnapshot], now: datetime) -> RepairHistory:
        """Return the history after some nodes were claimed; a failure that is taken over counts once."""
        new = sum(not self.is_known(node) for node in claimed)
        added = {
            _key(node): self.nodes.get(_key(node), _UNREPAIRED).again(_failed_at(node), now)
            for node in claimed
        }
        latest = sorted({**self.nodes, **added}.items(), key=lambda item: item[1].claimed_at)[-_MAX_NODES:]
        return replace(self, total=self.total + new, nodes=dict(latest))

    def with_removal(self, targets: tuple[int, int], removed: Collection[NodeSnapshot]) -> RepairHistory:
        """Return the history after a removal: the size to grow back to, and the size that it leaves."""
        dedicated = sum(node.dedicated for node in removed)
        reduced_to = targets[0] - dedicated, targets[1] - len(removed) + dedicated
        return replace(self, grow_to=self.grow_to or targets, reduced_to=reduced_to)

    def is_left_by_repair(self, targets: tuple[int, int]) -> bool:
        """
        Return whether a pool's size is the result of a repair; otherwise another client has resized it since.

        :param targets: the pool's target numbers of dedicated and spot nodes.
        """
        if self.grow_to is None or self.reduced_to is None:
            return True
        each = zip(self.reduced_to, targets, self.grow_to, strict=True)
        return all(least <= target <= most for least, target, most in each)


_UNREPAIRED = RepairRecord(0, -1, 0)


def history_in(metadata: Mapping[str, str]) -> RepairHistory:
    """Return the history in a pool's metadata; an empty one if it is missing or cannot be read."""
    try:
        stored = json.loads(metadata.get(REPAIRS_KEY) or "{}")
        return RepairHistory(
            total=int(stored.get("total", 0)),
            nodes={key: RepairRecord(*record) for key, record in stored.get("nodes", {}).items()},
            grow_to=_pair(stored.get("grow_to")),
            reduced_to=_pair(stored.get("reduced_to")),
            resize=RepairRecord(*stored["resize"]) if stored.get("resize") else None,
            heartbeat_at=stored.get("heartbeat_at"),
        )
    except (AttributeError, TypeError, ValueError):
        return RepairHistory()


def with_history(metadata: Mapping[str, str], history: RepairHistory) -> dict[str, str]:
    """Return a pool's metadata with this history instead of its present one."""
    stored: dict[str, Any] = {
        "total": history.total,
        "nodes": {key: astuple(record) for key, record in history.nodes.items()},
        "grow_to": history.grow_to,
        "reduced_to": history.reduced_to,
        "resize": astuple(history.resize) if history.resize else None,
        "heartbeat_at": history.heartbeat_at,
    }
    changed = {name: value for name, value in metadata.items() if name != REPAIRS_KEY}
    if history != RepairHistory():
        known = {name: value for name, value in stored.items() if value is not None}
        changed[REPAIRS_KEY] = json.dumps(known, separators=(",", ":"), sort_keys=True)
    return changed


def _pair(value: Any) -> tuple[int, int] | None:
    return (int(value[0]), int(value[1])) if value else None


def _key(node: NodeSnapshot) -> str:
    return blake2s(node.node_id.lower().encode(), digest_size=5).hexdigest()


def _failed_at(node: NodeSnapshot) -> int:
    return int(node.state_since.timestamp() * 1000) if node.state_since else 0
