"""The time and the timers of the emulator, real or moved by hand; knows nothing of Batch."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Protocol

Callback = Callable[[], None]


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Forget the call."""


class Clock(Protocol):
    """Where the emulator gets the time from."""

    def now(self) -> datetime:
        """Return the time, in UTC."""

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Call back after ``delay`` seconds; 0 means at the next tick of the event loop."""


class SystemClock:
    """The time of the machine; timers fire on the running event loop."""

    def now(self) -> datetime:
        """Return the time of the machine."""
        return datetime.now(timezone.utc)

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Call back on the running event loop."""
        return asyncio.get_running_loop().call_later(delay, callback)


class ManualTimer:
    """A timer of the manual clock."""

    def __init__(self, callback: Callback) -> None:
        self._callback: Callback | None = callback

    def cancel(self) -> None:
        """Forget the call."""
        self._callback = None

    def fire(self) -> None:
        """Make the call, unless it was cancelled."""
        if self._callback is not None:
            self._callback()


class ManualClock:
    """
    A time that moves only when it is told to.

    Timers with no delay still fire at the next tick of the event loop: they are due already.
    """

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._order = count()
        self._timers: list[tuple[datetime, int, ManualTimer]] = []

    def now(self) -> datetime:
        """Return the time last moved to."""
        return self._now

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Call back once the clock has been moved by ``delay`` seconds."""
        timer = ManualTimer(callback)
        due = self._now + timedelta(seconds=delay)
        heapq.heappush(self._timers, (due, next(self._order), timer))
        if delay <= 0:
            asyncio.get_running_loop().call_soon(self._fire_until, self._now)
        return timer

    def advance(self, seconds: float) -> None:
        """Move on, firing what falls due on the way in its order and at its time."""
        target = self._now + timedelta(seconds=seconds)
        self._fire_until(target)
        self._now = target

    def _fire_until(self, end: datetime) -> None:
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, due)
            timer.fire()
