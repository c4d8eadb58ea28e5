"""What was repaired on a pool so far, as marks in its metadata; imports only the standard library."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import blake2s
from typing import Any

from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot

__all__ = ["RepairHistory", "RepairRecord", "history_in", "with_history"]

_REPAIRS = f"{METADATA_PREFIX}repairs"
_AUTOSCALE = f"{METADATA_PREFIX}repair_autoscale"

_CLAIM_LASTS = timedelta(minutes=5)
"""After this, what was claimed and not done is taken over: whoever claimed it is gone."""

_TENDED_EVERY = timedelta(minutes=5)
_ABANDONED_AFTER = timedelta(minutes=15)
"""Three signs of life that did not come."""

_MOST_NODES = 100
"""Nodes that are remembered one by one: how long a pool's metadata may be is not documented."""


@dataclass(frozen=True)
class RepairRecord:
    """
    What was done about one thing that breaks: a node, or an allocation.

    :param times: how often it was repaired.
    :param episode: which of its break-downs was the last of these, in milliseconds since the epoch.
    :param claimed: when somebody took that on, in seconds since the epoch.
    """

    times: int
    episode: int
    claimed: int

    def is_claimed(self, now: datetime) -> bool:
        """Tell whether whoever took it on is still to be expected to do it."""
        return now.timestamp() - self.claimed <= _CLAIM_LASTS.total_seconds()

    def again(self, episode: int, now: datetime) -> RepairRecord:
        """Take it on; a break-down that is taken over from somebody is not counted again."""
        return RepairRecord(self.times + (episode != self.episode), episode, int(now.timestamp()))


@dataclass(frozen=True)
class RepairHistory:
    """
    What was done to a pool, so that it holds over restarts and for all who wait on it.

    :param total: how many repairs there were, of whichever node.
    :param nodes: the nodes that were repaired, the latest hundred, by a short digest of their ids.
    :param grow_to: the dedicated and spot nodes to grow back to; ``None`` when nothing was removed.
    :param left: the dedicated and spot nodes that the last removal leaves.
    :param autoscale: the formula and its interval to switch on again, as REST has them; ``None`` for none.
    :param resize: the requests for nodes that the pool did not get; ``None`` when it has them.
    :param tended: when somebody last went on with giving the pool its size or its formula back, in seconds
        since the epoch; ``None`` when there is nothing to give back.
    """

    total: int = 0
    nodes: Mapping[str, RepairRecord] = field(default_factory=dict)
    grow_to: tuple[int, int] | None = None
    left: tuple[int, int] | None = None
    autoscale: Mapping[str, Any] | None = None
    resize: RepairRecord | None = None
    tended: int | None = None

    @property
    def is_owed(self) -> bool:
        """Whether the pool is still to have its size or its formula back."""
        return self.grow_to is not None or self.autoscale is not None

    def is_abandoned(self, now: datetime) -> bool:
        """Tell whether something is owed to the pool, and nobody has seen to it for a while."""
        if not self.is_owed:
            return False
        return self.tended is None or now.timestamp() - self.tended > _ABANDONED_AFTER.total_seconds()

    def with_sign_of_life(self, now: datetime) -> RepairHistory:
        """Note, every few minutes, that somebody sees to what is owed to the pool."""
        if not self.is_owed:
            return replace(self, tended=None)
        if self.tended is not None and now.timestamp() - self.tended <= _TENDED_EVERY.total_seconds():
            return self
        return replace(self, tended=int(now.timestamp()))

    def settled(self) -> RepairHistory:
        """Note that nothing is owed to the pool any more."""
        return replace(self, grow_to=None, left=None, autoscale=None, tended=None)

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
        return self.is_known(node) and self.nodes[_key(node)].is_claimed(now)

    def with_claims(self, claimed: Collection[NodeSnapshot], now: datetime) -> RepairHistory:
        """Add that some nodes are being repaired; a break-down that is taken over is not counted again."""
        new = sum(not self.is_known(node) for node in claimed)
        added = {
            _key(node): self.nodes.get(_key(node), _UNREPAIRED).again(_episode(node), now) for node in claimed
        }
        latest = sorted({**self.nodes, **added}.items(), key=lambda item: item[1].claimed)[-_MOST_NODES:]
        return replace(self, total=self.total + new, nodes=dict(latest))

    def with_removal(self, targets: tuple[int, int], going: Collection[NodeSnapshot]) -> RepairHistory:
        """Add the size to grow back to, unless there is one already, and the size that a removal leaves."""
        dedicated = sum(node.dedicated for node in going)
        left = targets[0] - dedicated, targets[1] - len(going) + dedicated
        return replace(self, grow_to=self.grow_to or targets, left=left)

    def is_left_by_repair(self, targets: tuple[int, int]) -> bool:
        """
        Tell whether a pool's size is what a repair has made of it; else somebody else has resized it since.

        :param targets: the dedicated and spot nodes that it asks for.
        """
        if self.grow_to is None or self.left is None:
            return True
        each = zip(self.left, targets, self.grow_to, strict=True)
        return all(least <= target <= most for least, target, most in each)


_UNREPAIRED = RepairRecord(0, -1, 0)


def history_in(metadata: Mapping[str, str]) -> RepairHistory:
    """Read the history from a pool's metadata; what cannot be read was not written by this version."""
    marks, autoscale = _read(metadata.get(_REPAIRS)), _read(metadata.get(_AUTOSCALE))
    try:
        return RepairHistory(
            total=int(marks.get("total", 0)),
            nodes={key: RepairRecord(*record) for key, record in marks.get("nodes", {}).items()},
            grow_to=_pair(marks.get("grow_to")),
            left=_pair(marks.get("left")),
            autoscale=autoscale or None,
            resize=RepairRecord(*marks["resize"]) if marks.get("resize") else None,
            tended=marks.get("tended"),
        )
    except (AttributeError, TypeError, ValueError):
        return RepairHistory(autoscale=autoscale or None)


def with_history(metadata: Mapping[str, str], history: RepairHistory) -> dict[str, str]:
    """Give a pool's metadata with this history in place of the one that is there."""
    marks: dict[str, Any] = {
        "total": history.total,
        "nodes": {key: astuple(record) for key, record in history.nodes.items()},
        "grow_to": history.grow_to,
        "left": history.left,
        "resize": astuple(history.resize) if history.resize else None,
        "tended": history.tended,
    }
    changed = {name: value for name, value in metadata.items() if name not in (_REPAIRS, _AUTOSCALE)}
    if history != RepairHistory():
        changed[_REPAIRS] = _written({name: value for name, value in marks.items() if value is not None})
    if history.autoscale is not None:
        changed[_AUTOSCALE] = _written(history.autoscale)
    return changed


def _pair(value: Any) -> tuple[int, int] | None:
    return (int(value[0]), int(value[1])) if value else None


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
