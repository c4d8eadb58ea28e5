"""Limit the rate of concurrent calls together when the service throttles one of them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 30.0
# Calls a second. A limit that goes to zero would never learn that the service has recovered.
_LEAST_RATE = 0.5
_CLOCK_TOLERANCE = 1e-6
"""Seconds by which the clock may have advanced less than the time slept."""

_RESERVE = 0.9
"""After a throttled call, the share of the rate that the service accepted before."""

_FIRST_GROWTH, _LEAST_GROWTH = 1.0, 0.2
"""Calls a second by which the rate grows with each successful call.

The first call is often throttled before a rate can be measured, so the rate grows fast at first, and slower
after each throttled call.
"""


class AdaptiveRateLimiter:
    """
    Let calls start immediately until the service throttles one, then limit their rate.

    Calls that back off independently would all return at the same moment, and be throttled again. Therefore
    the first throttled call pauses all calls: for the time that the service requests, otherwise for a tenth
    of a second, doubled while no call succeeds. Afterwards they continue at 90 % of the accepted rate, and
    faster with each successful call.

    The service documents no rate, so the accepted rate is measured.

    ``is_hopeless`` is true after a call has spent its complete retry budget while no call got an answer.

    :param sleep: how to wait; a test passes its own.
    :param clock: seconds on a clock that never goes back; a test passes its own.
    """

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._rate = math.inf
        self._next = self._resume = -math.inf
        self._since = math.inf
        self._through = 0
        self._pause = _FIRST_PAUSE
        self._growth = _FIRST_GROWTH
        self._last_answer = -math.inf
        self.is_hopeless = False

    @property
    def held_up(self) -> float:
        """Seconds until the next call may start."""
        return max(0.0, self._resume - self._clock())

    async def turn(self) -> float:
        """Wait until a call may start, and return the time by the clock."""
        while True:
            now = self._clock()
            slot = max(now, self._resume, self._next)
            self._next = slot + 1.0 / self._rate
            if slot > now:
                await self._sleep(slot - now)
            begun = self._clock()
            if begun >= self._resume - _CLOCK_TOLERANCE:
                self._since = min(self._since, begun)
                return begun

    def went_through(self) -> None:
        """Record that the service has answered a call."""
        self._last_answer = self._clock()
        self.is_hopeless = False
        self._through += 1
        self._rate += self._growth

    def was_refused(self, begun: float, retry_after: float | None) -> None:
        """
        Pause all calls, because the service has throttled one.

        :param begun: when that call started, as returned by :meth:`turn`.
        :param retry_after: the seconds that the service requests; ``None`` if it requests none.
        """
        now = self._clock()
        if begun < self._resume - _CLOCK_TOLERANCE:
            # It started before the pause, so it says nothing about the new rate.
            if retry_after:
                self._resume = max(self._resume, now + retry_after)
            return
        if self._through:
            self._pause = _FIRST_PAUSE
        pause = retry_after or self._pause
        if math.isfinite(self._rate):
            self._growth = max(self._growth / 2, _LEAST_GROWTH)
        self._rate = max(_LEAST_RATE, self._slower(now))
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._resume = self._next = self._since = now + pause
        self._through = 0

    def gave_up(self, started: float) -> None:
        """
        Record that a call has spent its retry budget.

        :param started: when its first try started. If no call has had an answer since, the next calls are
            retried less, until one has.
        """
        self.is_hopeless = self._last_answer < started

    def _slower(self, now: float) -> float:
        if not self._through:
            return 0.5 * self._rate if math.isfinite(self._rate) else _LEAST_RATE
        took = self._through / max(now - self._since, 1e-3)
        return _RESERVE * min(took, self._rate)
