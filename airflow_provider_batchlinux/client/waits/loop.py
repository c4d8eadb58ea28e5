"""The loop that waits: operators on a worker and triggers run the same one."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from airflow_provider_batchlinux.core.poll_interval import interval_after
from airflow_provider_batchlinux.exceptions import WaitTimeoutError

log = logging.getLogger(__name__)


class Wait(Protocol):
    """Something to wait for."""

    @property
    def status(self) -> str:
        """The status at the last poll, as a line that changes only if what is waited for has changed."""

    async def poll(self) -> dict[str, Any] | None:
        """Return the result, or ``None`` if it is too early; an error ends the wait."""


@runtime_checkable
class EndingWait(Protocol):
    """A wait that knows when its next poll is due at the latest, such as a lease with an end."""

    def pause(self, seconds: float) -> float:
        """Return how long to wait for the next poll, at most the given seconds."""


@dataclass(frozen=True)
class WaitSchedule:
    """
    How often to poll, and until when.

    :param interval: seconds between two polls, each shortened by up to a tenth at random.
    :param deadline: seconds since the epoch after which the wait times out; ``None`` for never.
    :param first_wait: seconds before the first poll.
    :param sleep: how to wait; a test passes its own.
    :param clock: seconds since the epoch; a test passes its own.
    :param between: waits between two polls for at most the given seconds, and returns earlier if there is
        something new; ``None`` sleeps.
    :param longest: the longest interval in seconds. The interval then grows with the time that the wait has
        taken so far, so that each wait takes about as long as all before it; ``None`` keeps it as it is.
    :param soonest: seconds between two polls after a change of the status; the intervals then grow to
        ``interval``. ``None`` polls at the interval from the start.
    :param age: seconds since the last change that is known when the wait begins.
    """

    interval: float
    deadline: float | None = None
    first_wait: float = 0.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.time
    between: Callable[[float], Awaitable[object]] | None = None
    longest: float | None = None
    soonest: float | None = None
    age: float = 0.0

    def interval_after(self, elapsed: float, quiet: float) -> float:
        """
        Return the seconds to the next poll, before jitter.

        :param elapsed: seconds since the first poll.
        :param quiet: seconds since the last change.
        """
        if self.longest is None:
            return interval_after(quiet, self.interval, self.soonest)
        return min(max(self.interval, elapsed), max(self.interval, self.longest))

    def left(self) -> float | None:
        """Return the seconds until the deadline, negative after it; ``None`` for no deadline."""
        return None if self.deadline is None else self.deadline - self.clock()


async def wait_for(wait: Wait, pace: WaitSchedule) -> dict[str, Any]:
    """
    Poll until the wait has a result, and log the status when it changes.

    :raises WaitTimeoutError: if there is no result at the deadline; nothing is changed.
    """
    if pace.first_wait:
        await pace.sleep(_at_most(wait, _jittered(pace.first_wait)))
    status, began = "", pace.clock()
    changed = began - pace.age
    while True:
        result = await wait.poll()
        if wait.status != status:
            changed = pace.clock() if status else changed
            status = wait.status
            log.info("%s", status)
        if result is not None:
            return result
        now = pace.clock()
        interval = pace.interval_after(now - began, now - changed)
        await (pace.between or pace.sleep)(_at_most(wait, _next_sleep(pace, interval, status)))


def _next_sleep(pace: WaitSchedule, interval: float, status: str) -> float:
    pause = _jittered(interval)
    left = pace.left()
    if left is None:
        return pause
    if left <= 0:
        raise WaitTimeoutError.after(None, status)
    # The last poll is at the deadline, so that what ended in the last interval is a success.
    return min(pause, left)


def _at_most(wait: Wait, seconds: float) -> float:
    return wait.pause(seconds) if isinstance(wait, EndingWait) else seconds


def _jittered(seconds: float) -> float:
    # Waits of mapped tasks begin together, and would poll together. Only shorter: the interval is a promise.
    return seconds * random.uniform(0.9, 1.0)
