"""The time and the timers of the emulator, real or moved by hand; knows nothing of Batch."""

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
    """A call that is due later."""

    def cancel(self) -> None:
        """Forget the call."""


class Clock(Protocol):
    """Where the emulator gets the time from."""

    def now(self) -> datetime:
        """Return the time, in UTC."""

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Call back after ``delay`` seconds; 0 means at the next tick of the event loop."""

    def frozen(self, instant: datetime) -> AbstractContextManager[None]:
        """Let the time stand still at an instant, so that one request happens at one time."""


class SystemClock:
    """The time of the machine; timers fire on the running event loop."""

    def __init__(self) -> None:
        self._held: datetime | None = None

    def now(self) -> datetime:
        """Return the time of the machine, or the one at which it is held."""
        return self._held or datetime.now(timezone.utc)

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Call back on the running event loop."""
        return asyncio.get_running_loop().call_later(delay, callback)

    @contextmanager
    def frozen(self, instant: datetime) -> Iterator[None]:
        """Let the time stand still; nothing may wait meanwhile."""
        self._held = instant
        try:
            yield
        finally:
            self._held = None


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

    def frozen(self, _instant: datetime) -> AbstractContextManager[None]:
        """Do nothing: the time stands still by itself."""
        return nullcontext()

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


async def pause(clock: Clock, seconds: float) -> None:
    """Wait for some time of a clock."""
    over = asyncio.Event()
    clock.call_later(seconds, over.set)
    await over.wait()


class StoppableClock:
    """A clock whose timers can be switched off all at once, with the service they belong to."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_on = True

    def now(self) -> datetime:
        """Return the time of the clock behind."""
        return self._clock.now()

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Call back after ``delay`` seconds, unless it is switched off by then."""
        return self._clock.call_later(delay, lambda: callback() if self._is_on else None)

    def frozen(self, instant: datetime) -> AbstractContextManager[None]:
        """Let the time of the clock behind stand still."""
        return self._clock.frozen(instant)

    def stop(self) -> None:
        """Let no timer fire any more."""
        self._is_on = False
