"""How long to wait before the next look at many pools; imports only the standard library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airflow_provider_batchlinux.core.snapshots import PoolSnapshot

__all__ = ["is_turning", "next_interval", "rest_after"]

_FASTEST = 5.0
"""Seconds. Pools that are about to turn are looked at more often, down to this."""


def is_turning(pool: PoolSnapshot | None, counts: Mapping[str, int]) -> bool:
    """Tell whether a pool has all its nodes and some are idle: the others usually follow in seconds."""
    if pool is None or pool.state != "active":
        return False
    return pool.current >= pool.target and 0 < counts.get("idle", 0) < pool.target


def next_interval(asked: float, turning: Iterable[bool]) -> float:
    """
    Choose the seconds from one look to the next: never more than were asked for.

    :param asked: the shortest interval that anybody asked for, in seconds.
    :param turning: of each pool, whether it changed and is about to turn.
    """
    return min(asked, max(asked / 2, _FASTEST)) if any(turning) else asked


def rest_after(interval: float, took: float) -> float:
    """
    Give the seconds to rest after a look that took some time.

    A look that took long met a service that throttles or is slow: it is left alone for as long again.
    """
    return max(interval - took, took)
