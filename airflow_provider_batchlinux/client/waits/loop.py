"""The one loop that waits: the blocking operator and the trigger both run it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_provider_batchlinux.exceptions import WaitTimeoutError

__all__ = ["Wait", "WaitSchedule", "wait_for"]

log = logging.getLogger(__name__)


class Wait(Protocol):
    """Something to wait for; ``status`` is a line that changes only when the thing does."""

    @property
    def status(self) -> str:
        """Say how far it is, after a look."""

    async def poll(self) -> dict[str, Any] | None:
        """Look once: the result when it is done, ``None`` to go on; an error ends the wait."""


@dataclass(frozen=True)
class WaitSchedule:
    """
    How often to look, and until when.

    :param interval: seconds between two looks, each jittered by up to a tenth.
    :param deadline: seconds since the epoch after which the wait gives up; ``None`` for never.
    :param first_wait: seconds before the first look.
    :param sleep: how to wait; a test passes its own.
    :param clock: seconds since the epoch; a test passes its own.
    :param between: how to wait between two looks for at most so many seconds, where news may end that
        sooner; ``None`` sleeps.
    """

    interval: float
    deadline: float | None = None
    first_wait: float = 0.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.time
    between: Callable[[float], Awaitable[object]] | None = None

    def left(self) -> float | None:
        """Give the seconds until the deadline, negative after it; ``None`` for no deadline."""
        return None if self.deadline is None else self.deadline - self.clock()


async def wait_for(wait: Wait, pace: WaitSchedule) -> dict[str, Any]:
    """
    Look until it is done, and log the status when it changes.

    :raises WaitTimeoutError: it was not done at the deadline; nothing was changed.
    """
    if pace.first_wait:
        await pace.sleep(_jittered(pace.first_wait))
    told = ""
    while True:
        result = await wait.poll()
        if wait.status != told:
            told = wait.status
            log.info("%s", told)
        if result is not None:
            return result
        await (pace.between or pace.sleep)(_next_sleep(pace, told))


def _next_sleep(pace: WaitSchedule, status: str) -> float:
    pause = _jittered(pace.interval)
    left = pace.left()
    if left is None:
        return pause
    if left <= 0:
        raise WaitTimeoutError.after(None, status)
    return min(pause, left)


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.9, 1.1)
