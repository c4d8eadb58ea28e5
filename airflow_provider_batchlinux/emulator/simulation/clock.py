"""The clocks of the emulator, real or advanced by tests, and their timers."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Protocol

Callback = Callable[[], None]


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel the call."""


class Clock(Protocol):
    """The source of time of the emulator."""

    def now(self) -> datetime:
        """Return the time, in UTC."""

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Call back after ``delay`` seconds; 0 means in the next iteration of the event loop."""

    def frozen(self, instant: datetime) -> AbstractContextManager[None]:
        """Freeze the time within the block, so that everything a request does happens at one time."""


class SystemClock:
    """The system clock; timers run on the event loop."""

    def __init__(self) -> None:
        self._frozen: datetime | None = None

    def now(self) -> datetime:
        """Return the system time, or the time at which the clock is frozen."""
        return self._frozen or datetime.now(timezone.utc)

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Call back from the running event loop."""
        return asyncio.get_running_loop().call_later(delay, callback)

    @contextmanager
    def frozen(self, instant: datetime) -> Iterator[None]:
        """Freeze the time within the block, which must not await anything."""
        self._frozen = instant
        try:
            yield
        finally:
            self._frozen = None


class ManualTimer:
    """A timer of the manual clock."""

    def __init__(self, callback: Callback) -> None:
        self._callback: Callback | None = callback

    def cancel(self) -> None:
        """Cancel the call."""
        self._callback = None

    def fire(self) -> None:
        """Make the call, unless it was cancelled."""
        if self._callback is not None:
            self._callback()


class ManualClock:
    """
    A clock that only tests advance.

    Timers without a delay run in the next iteration of the event loop, since they are due already.
    """

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._order = count()
        self._timers: list[tuple[datetime, int, ManualTimer]] = []

    def now(self) -> datetime:
        """Return the current time of the clock."""
        return self._now

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Call back when the clock has been advanced by ``delay`` seconds."""
        timer = ManualTimer(callback)
        due = self._now + timedelta(seconds=delay)
        heapq.heappush(self._timers, (due, next(self._order), timer))
        if delay <= 0:
            asyncio.get_running_loop().call_soon(self._fire_until, self._now)
        return timer

    def frozen(self, _instant: datetime) -> AbstractContextManager[None]:
        """Do nothing: this clock does not move during a request."""
        return nullcontext()

    def advance(self, seconds: float) -> None:
        """Advance the clock, and fire the timers that become due, in order, each at its time."""
        target = self._now + timedelta(seconds=seconds)
        self._fire_until(target)
        self._now = target

    def _fire_until(self, end: datetime) -> None:
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, due)
            timer.fire()


async def pause(clock: Clock, seconds: float) -> None:
    """Wait for a number of seconds on a clock."""
    over = asyncio.Event()
    clock.call_later(seconds, over.set)
    await over.wait()


class StoppableClock:
    """A clock whose timers can be stopped all at once, when the service they belong to ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_on = True

    def now(self) -> datetime:
        """Return the time."""
        return self._clock.now()

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Call back after ``delay`` seconds, unless the clock has been stopped."""
        return self._clock.call_later(delay, lambda: callback() if self._is_on else None)

    def frozen(self, instant: datetime) -> AbstractContextManager[None]:
        """Freeze the time within the block."""
        return self._clock.frozen(instant)

    def stop(self) -> None:
        """Disable all timers."""
        self._is_on = False
