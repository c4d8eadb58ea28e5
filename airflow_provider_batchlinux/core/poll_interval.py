"""How long to wait before the next poll."""

from __future__ import annotations

SOONEST_OF_NODES = 5.0
"""Seconds between two polls of a pool that has just changed, or that a wait has just begun to watch."""

SOONEST_OF_COMMANDS = 3.0
"""Seconds between two polls of a command that has just been submitted, or has just changed."""

_SHARE = 10.0
"""A change is noticed within this part of the time in which there was none."""


def interval_after(quiet: float, asked: float, soonest: float | None) -> float:
    """
    Return the seconds from one poll to the next: never more than requested.

    What has just begun or changed often changes again soon; what has been quiet for long can wait longer.

    :param quiet: the seconds since the last change, or since the wait began.
    :param asked: the interval that was requested, in seconds.
    :param soonest: the shortest interval in seconds; ``None`` polls at the requested interval from the start.
    """
    return asked if soonest is None else min(asked, max(soonest, quiet / _SHARE))


def rest_after(interval: float, took: float) -> float:
    """
    Return the seconds to rest after a poll that took some time.

    If a poll took long, the service throttles or is slow: rest for as long again.
    """
    return max(interval - took, took)
