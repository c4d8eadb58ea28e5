"""
Count the node-hours of a pool as a lower bound.

The service keeps no history of a pool's nodes: one that has left the pool is unknown. Each look at the nodes
adds what they have used since the previous look, by the times of allocation and last boot that the service
reports for each node. A node that comes and goes between two looks is not counted, nor is the time between
the last look and the departure of a node. The seconds of the last days are also counted by day, in UTC.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from typing import Any, TypeVar

from airflow_provider_batchlinux.core.instants import parse_instant, rest_instant
from airflow_provider_batchlinux.core.node_states import WITHOUT_MACHINE_STATES
from airflow_provider_batchlinux.core.pool_metadata import (
    MARKS_VERSION,
    USAGE_KEY,
    VERSION_KEY,
    PoolMarks,
    read_json,
)
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.text import counted, table

_HOUR = 3600
_DAY = timedelta(days=1)

DAYS_KEPT = 8
"""Days whose usage the metadata of a pool has."""

Seconds = tuple[int, int]
"""Of dedicated and of Spot nodes."""

Key = TypeVar("Key")


@dataclass(frozen=True)
class Usage:
    """
    What the nodes of a pool have used since its creation, as a lower bound.

    :param dedicated_seconds: the node-seconds of its dedicated nodes.
    :param spot_seconds: the node-seconds of its Spot nodes.
    :param preemptions: how many Spot nodes were seen without the machine that Azure took back.
    :param until: when the nodes were last looked at, by the service's clock; ``None`` for never.
    :param days: the node-seconds of the last days, by the date in UTC.
    """

    dedicated_seconds: int = 0
    spot_seconds: int = 0
    preemptions: int = 0
    until: datetime | None = None
    days: Mapping[str, Seconds] = field(default_factory=dict)

    @classmethod
    def read(cls, metadata: Mapping[str, str]) -> Usage:
        """Return the usage in a pool's metadata; none if it cannot be read, or is of a later release."""
        if PoolMarks.read(metadata).version > MARKS_VERSION:
            return cls()
        try:
            # Earlier development versions have no days.
            dedicated, spot, preemptions, until, *more = read_json(metadata[USAGE_KEY])
            days = {
                date.fromisoformat(day).isoformat(): (int(seconds[0]), int(seconds[1]))
                for day, seconds in (more[0] if more else {}).items()
            }
            return cls(int(dedicated), int(spot), int(preemptions), parse_instant(until), days)
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
            return cls()

    def update(self, metadata: Mapping[str, str]) -> dict[str, str]:
        """Return a pool's metadata with this usage in it; that of a later release stays as it is."""
        if PoolMarks.read(metadata).version > MARKS_VERSION:
            return dict(metadata)
        until = rest_instant(self.until) if self.until is not None else None
        days = _kept(self.days, self.until)
        values = [self.dedicated_seconds, self.spot_seconds, self.preemptions, until, days]
        version = {VERSION_KEY: str(MARKS_VERSION)}
        return {**version, **metadata, USAGE_KEY: json.dumps(values, separators=(",", ":"))}

    def seen(self, nodes: Iterable[NodeSnapshot], now: datetime) -> Usage:
        """
        Return the usage after a look at the nodes of the pool.

        :param nodes: all nodes of the pool.
        :param now: the time of the look, or before it, by the service's clock.
        """
        if self.until is not None and now <= self.until:
            return self
        seconds: Counter[tuple[bool, str]] = Counter()
        preemptions = 0
        for node in nodes:
            has_left = node.state in WITHOUT_MACHINE_STATES
            end = node.state_since if has_left else now
            since = [moment for moment in (node.allocated, node.last_boot, self.until) if moment is not None]
            if end is None or not (node.allocated or node.last_boot):
                continue
            # A node that was started since the last look may have had no machine before.
            for day, spent in _by_day(max(since), min(end, now)):
                seconds[node.dedicated, day] += spent
            is_new = self.until is None or end > self.until
            preemptions += node.state == "preempted" and is_new
        new = {day: (seconds[True, day], seconds[False, day]) for _, day in seconds}
        return Usage(
            dedicated_seconds=self.dedicated_seconds + sum(dedicated for dedicated, _ in new.values()),
            spot_seconds=self.spot_seconds + sum(spot for _, spot in new.values()),
            preemptions=self.preemptions + preemptions,
            until=now,
            days=_kept(_combined(self.days, new, lambda before, more: before + more), now),
        )

    def merged(self, other: Usage) -> Usage:
        """Return the best of two counts of one pool: each is a lower bound."""
        looks = [moment for moment in (self.until, other.until) if moment is not None]
        until = max(looks, default=None)
        return Usage(
            dedicated_seconds=max(self.dedicated_seconds, other.dedicated_seconds),
            spot_seconds=max(self.spot_seconds, other.spot_seconds),
            preemptions=max(self.preemptions, other.preemptions),
            until=until,
            days=_kept(_combined(self.days, other.days, max), until),
        )

    @property
    def node_hours(self) -> float:
        """The node-hours of both kinds."""
        return (self.dedicated_seconds + self.spot_seconds) / _HOUR

    def __str__(self) -> str:
        """Return the usage as a part of a sentence."""
        dedicated, spot = self.dedicated_seconds / _HOUR, self.spot_seconds / _HOUR
        preempted = f" ({counted(self.preemptions, 'preemption')})" if self.preemptions else ""
        return f"{dedicated:.3g} dedicated and {spot:.3g} Spot node-hours{preempted}"

    def to_dict(self) -> dict[str, float]:
        """Return the usage as a part of a result."""
        return {
            "dedicated_node_hours": round(self.dedicated_seconds / _HOUR, 3),
            "spot_node_hours": round(self.spot_seconds / _HOUR, 3),
            "preemptions": self.preemptions,
        }


@dataclass(frozen=True)
class PoolUsage:
    """
    The usage of a pool, and what it may be.

    :param dag_id: the Dag that created the pool; empty if this provider did not.
    :param max_node_hours: its budget; ``None`` for none.
    :param delete_over_budget: delete the pool when it has used more.
    """

    pool_id: str
    dag_id: str
    usage: Usage
    max_node_hours: float | None = None
    delete_over_budget: bool = False

    @classmethod
    def read(cls, pool_id: str, metadata: Mapping[str, str]) -> PoolUsage:
        """Return what a pool's metadata says."""
        marks = PoolMarks.read(metadata)
        return cls(
            pool_id=pool_id,
            dag_id=marks.owner.get("dag_id", ""),
            usage=Usage.read(metadata),
            max_node_hours=marks.max_node_hours,
            delete_over_budget=marks.delete_over_budget,
        )

    def seen(self, nodes: Iterable[NodeSnapshot], now: datetime) -> PoolUsage:
        """Return this after a look at the nodes, as :meth:`Usage.seen`."""
        return replace(self, usage=self.usage.seen(nodes, now))

    @property
    def excess(self) -> str | None:
        """What the pool has used of its budget, as the end of a sentence; ``None`` if that is not over."""
        if self.max_node_hours is None or self.usage.node_hours <= self.max_node_hours:
            return None
        return f"it has used {self.usage.node_hours:.3g} of {self.max_node_hours:g} node-hours"

    @property
    def must_end(self) -> bool:
        """Whether the pool is to be deleted for its usage."""
        return self.delete_over_budget and self.excess is not None

    def to_dict(self) -> dict[str, Any]:
        """Return the pool as an entry of a result."""
        return {"pool_id": self.pool_id, **self.usage.to_dict(), "max_node_hours": self.max_node_hours}


def _by_day(start: datetime, end: datetime) -> Iterator[tuple[str, int]]:
    """Yield the days between two instants, in UTC, and the whole seconds of each that are between them."""
    at = start.astimezone(timezone.utc)
    while at < end:
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
        until = min(midnight, end)
        yield at.date().isoformat(), int((until - at).total_seconds())
        at = until


def _kept(days: Mapping[str, Seconds], until: datetime | None) -> dict[str, Seconds]:
    """Return the last days before an instant, with that of the instant."""
    if until is None:
        return dict(days)
    first = (until.astimezone(timezone.utc).date() - _DAY * (DAYS_KEPT - 1)).isoformat()
    return {day: seconds for day, seconds in sorted(days.items()) if day >= first}


def _combined(
    one: Mapping[Key, Seconds], other: Mapping[Key, Seconds], of: Callable[[int, int], int]
) -> dict[Key, Seconds]:
    found = {}
    for key in {**one, **other}:
        (dedicated, spot), (more, more_spot) = one.get(key, (0, 0)), other.get(key, (0, 0))
        found[key] = of(dedicated, more), of(spot, more_spot)
    return found


def usage_by_day(pools: Iterable[PoolUsage]) -> list[dict[str, Any]]:
    """Return the usage of the pools of each Dag on each of the last days, as entries of a result."""
    found = list(pools)
    # A pool that was not looked at for days has older ones.
    latest = max((pool.usage.until for pool in found if pool.usage.until is not None), default=None)
    sums: dict[tuple[str, str], Seconds] = {}
    for pool in found:
        days = _kept(pool.usage.days, latest)
        own = {(day, pool.dag_id): seconds for day, seconds in days.items()}
        sums = _combined(sums, own, lambda before, more: before + more)
    return [
        {
            "day": day,
            "dag_id": dag_id,
            "dedicated_node_hours": round(dedicated / _HOUR, 3),
            "spot_node_hours": round(spot / _HOUR, 3),
        }
        for (day, dag_id), (dedicated, spot) in sorted(sums.items())
    ]


def usage_table(pools: Iterable[PoolUsage]) -> str:
    """Return tables of what the pools of each Dag have used, in all and by day, for the log."""
    found, hours = list(pools), ("DEDICATED NODE-HOURS", "SPOT NODE-HOURS")

    def cells(row: Mapping[str, Any], *more: str) -> tuple[str, ...]:
        used = f"{row['dedicated_node_hours']:g}", f"{row['spot_node_hours']:g}"
        return (str(row["dag_id"]) or "-", *more, *used)

    by_dag = [(*cells(row, str(row["pools"])), str(row["preemptions"])) for row in usage_by_dag(found)]
    by_day = [cells(row, str(row["day"])) for row in usage_by_day(found)]
    tables = [table(("DAG", "POOLS", *hours, "PREEMPTIONS"), by_dag)]
    return "\n".join([*tables, *([table(("DAG", "DAY", *hours), by_day)] if by_day else [])])


def usage_by_dag(pools: Iterable[PoolUsage]) -> list[dict[str, Any]]:
    """Return the usage of the pools of each Dag, the largest first, as entries of a result."""
    sums: dict[str, Usage] = {}
    counts: dict[str, int] = {}
    for pool in pools:
        before = sums.get(pool.dag_id, Usage())
        sums[pool.dag_id] = Usage(
            before.dedicated_seconds + pool.usage.dedicated_seconds,
            before.spot_seconds + pool.usage.spot_seconds,
            before.preemptions + pool.usage.preemptions,
        )
        counts[pool.dag_id] = counts.get(pool.dag_id, 0) + 1
    by_size = sorted(sums, key=lambda dag_id: (-sums[dag_id].node_hours, dag_id))
    return [{"dag_id": dag_id, "pools": counts[dag_id], **sums[dag_id].to_dict()} for dag_id in by_size]
