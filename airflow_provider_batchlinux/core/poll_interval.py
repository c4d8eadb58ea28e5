"""How long to wait before the next poll of many pools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airflow_provider_batchlinux.core.snapshots import PoolSnapshot

_FASTEST = 5.0
"""Seconds. Pools that are about to be ready are polled more often, down to this."""


def is_turning(pool: PoolSnapshot | None, counts: Mapping[str, int]) -> bool:
    """Return whether a pool has all its nodes and some are idle: the others usually follow in seconds."""
    if pool is None or pool.state != "active":
        return False
    return pool.current >= pool.target and 0 < counts.get("idle", 0) < pool.target


def next_interval(asked: float, turning: Iterable[bool]) -> float:
    """
    Return the seconds from one poll to the next: never more than requested.

    :param asked: the shortest interval that a wait has requested, in seconds.
    :param turning: for each pool, whether it has changed and is about to be ready.
    """
    return min(asked, max(asked / 2, _FASTEST)) if any(turning) else asked


def rest_after(interval: float, took: float) -> float:
    """
    Return the seconds to rest after a poll that took some time.

    If a poll took long, the service throttles or is slow: rest for as long again.
    """
    return max(interval - took, took)
