"""The time at the service, by the dates of its answers: what ends is decided by one clock for all clients."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

_TOLERANCE = 5.0
"""Seconds. A smaller difference is that of a date in whole seconds, and of the way of the answer."""


MAX_CLOCK_SKEW = timedelta(minutes=15)
"""The service refuses a request whose signature has a date that differs by more (documented)."""


def http_date(text: str | None) -> datetime | None:
    """Return the instant of a ``Date`` header; ``None`` if there is none, or it cannot be read."""
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None


def skew_text(ahead: timedelta) -> str:
    """
    Return how wrong the clock of this machine is, and the remedy.

    :param ahead: how far it is ahead of the service's; negative if it is behind.
    """
    seconds = abs(ahead).total_seconds()
    span = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} s"
    side = "ahead of" if ahead > timedelta(0) else "behind"
    return f"This machine's clock is {span} {side} the service's; set it right."


class ServiceClock:
    """
    The time at the service.

    Machines whose clocks differ decide differently about the end of what they share. The date of an answer of
    the service corrects a clock that is wrong by more than a few seconds.

    :param clock: seconds since the epoch by this machine; a test passes its own.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._last: str | None = None
        self.offset = timedelta(0)
        """How far the service's clock is ahead of this machine's."""

    @property
    def has_heard(self) -> bool:
        """Whether the service has answered."""
        return self._last is not None

    def heard(self, date: str | None) -> None:
        """Take note of the ``Date`` header of an answer that has just arrived."""
        if not date or date == self._last:
            return
        self._last = date
        theirs = http_date(date)
        if theirs is None:
            return
        # The header has whole seconds.
        ahead = theirs.timestamp() + 0.5 - self._clock()
        self.offset = timedelta(seconds=ahead) if abs(ahead) > _TOLERANCE else timedelta(0)

    def now(self) -> datetime:
        """Return the present instant at the service; before its first answer, that of this machine."""
        return datetime.fromtimestamp(self._clock(), timezone.utc) + self.offset
