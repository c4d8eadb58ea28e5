"""The time at the service, by the dates of its answers: what ends is decided by one clock for all clients."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

_TOLERANCE = 5.0
"""Seconds. A smaller difference is that of a date in whole seconds, and of the way of the answer."""


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
        try:
            # The header has whole seconds.
            ahead = parsedate_to_datetime(date).timestamp() + 0.5 - self._clock()
        except ValueError:
            return
        self.offset = timedelta(seconds=ahead) if abs(ahead) > _TOLERANCE else timedelta(0)

    def now(self) -> datetime:
        """Return the present instant at the service; before its first answer, that of this machine."""
        return datetime.fromtimestamp(self._clock(), timezone.utc) + self.offset
