"""The clocks of the emulator, real or advanced by tests, and their timers."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta, timezone
from itertools import chain, count, islice
from time import monotonic
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Callback = Callable[[], None]

LONGEST_TURN = 0.005
"""Seconds of work after which requests have their turn."""

MOST_CALLS = 20
"""Calls after which they have it, too: what a call starts goes on in the next iteration of the event loop."""

MANY = 20
"""Records that are changed within one request or call; the others have their turns later."""


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


class PendingCall:
    """A call that is scheduled, unless it was made or cancelled."""

    def __init__(self, callback: Callback) -> None:
        self._callback: Callback | None = callback
        self.handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Cancel the call."""
        self._callback = None
        if self.handle is not None:
            self.handle.cancel()

    def fire(self) -> None:
        """Make the call, unless it was cancelled."""
        if self._callback is not None:
            self._callback()


class SystemClock:
    """
    The system clock.

    What is due at the same time is done in turns with requests: thousands of nodes may boot in one moment.
    """

    def __init__(self) -> None:
        self._frozen: datetime | None = None
        self._due: deque[PendingCall] = deque()

    def now(self) -> datetime:
        """Return the system time, or the time at which the clock is frozen."""
        return self._frozen or datetime.now(timezone.utc)

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Call back from the running event loop."""
        timer = PendingCall(callback)
        if delay > 0:
            timer.handle = asyncio.get_running_loop().call_later(delay, self._add_due, timer)
        else:
            self._add_due(timer)
        return timer

    @contextmanager
    def frozen(self, instant: datetime) -> Iterator[None]:
        """Freeze the time within the block, which must not await anything."""
        self._frozen = instant
        try:
            yield
        finally:
            self._frozen = None

    def _add_due(self, timer: PendingCall) -> None:
        if not self._due:
            asyncio.get_running_loop().call_soon(self._take_turn)
        self._due.append(timer)

    def _take_turn(self) -> None:
        """Make the calls that are due; if they take long, go on in the next iteration of the event loop."""
        end = monotonic() + LONGEST_TURN
        try:
            # What they make due has its turn in the next iteration.
            for _ in range(min(len(self._due), MOST_CALLS)):
                self._due[0].fire()
                self._due.popleft()
                if monotonic() > end:
                    break
        except BaseException:
            self._due.popleft()
            raise
        finally:
            if self._due:
                asyncio.get_running_loop().call_soon(self._take_turn)


class ManualClock:
    """
    A clock that only tests advance.

    Timers without a delay run in the next iteration of the event loop, since they are due already.
    """

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._order = count()
        self._timers: list[tuple[datetime, int, PendingCall]] = []

    def now(self) -> datetime:
        """Return the current time of the clock."""
        return self._now

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Call back when the clock has been advanced by ``delay`` seconds."""
        timer = PendingCall(callback)
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


def in_turns(
    clock: Clock, items: Iterable[Item], work: Callable[[Item], None], then: Callback = lambda: None
) -> None:
    """
    Do some work for each item: for the first ones now, and for the others when it is their turn.

    :param then: called after the last one.
    """
    left = iter(items)
    for item in islice(left, MANY):
        work(item)
    following = list(islice(left, 1))
    if following:
        clock.call_later(0, lambda: in_turns(clock, chain(following, left), work, then))
    else:
        then()


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
