"""Repeat requests that failed, for minutes; nothing else repeats a request."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from azure.core.exceptions import AzureError

from airflow_provider_batchlinux.client.transport.errors import (
    is_throttled,
    is_transient,
    retry_after,
    translated,
)
from airflow_provider_batchlinux.client.transport.pacing import AdaptiveRateLimiter
from airflow_provider_batchlinux.exceptions import BatchLinuxError

T = TypeVar("T")

_MOST_DOUBLINGS = 30
"""Enough for any wait; without a limit, a thousand tries are more than a float holds."""


@dataclass(frozen=True)
class RetryPolicy:
    """
    For how long, and how often, a request is retried.

    Microsoft asks clients to retry for at least five minutes. The retries of azure-core end after seconds and
    exclude a throttled POST, so they are disabled, and this is the only layer that retries.

    :param budget: seconds from the first try after which no further one begins; 0 tries once.
    :param first_wait: seconds before the second try; each later wait doubles.
    :param longest_wait: the maximum wait in seconds, unless the service asks for more.
    :param sleep: how to wait; a test passes its own.
    :param clock: seconds on a clock that never goes back; a test passes its own.
    :param pacer: the rate limiter that this request shares with others when the service throttles;
        ``None`` if it waits alone.
    """

    budget: float = 300.0
    first_wait: float = 1.0
    longest_wait: float = 30.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    pacer: AdaptiveRateLimiter | None = None

    def paced(self) -> RetryPolicy:
        """Return the same policy with a rate limiter that many requests share."""
        return replace(self, pacer=AdaptiveRateLimiter(sleep=self.sleep, clock=self.clock))

    async def run(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """
        Try until the service answers or the budget is spent.

        :param what: a description for the error, such as ``create pool 'etl'``.
        :param attempt: makes one try.
        :raises BatchRequestError: the service refused the request for a lasting reason.
        :raises BatchUnreachableError: the service did not answer within the budget.
        """
        started: float | None = None
        tries = 0
        while True:
            begun = self.clock() if self.pacer is None else await self.pacer.turn()
            # From its first turn on: a thousand paced calls would spend their budget in the queue.
            started = begun if started is None else started
            try:
                result = await attempt()
            except AzureError as error:
                spent = self.clock() - started
                wait = self._wait_before_next(error, tries, begun)
                # If no call was answered for a whole budget, a thousand other calls need not wait as long.
                is_hopeless = self.pacer is not None and self.pacer.is_hopeless
                if not is_transient(error) or is_hopeless or spent + wait > self.budget:
                    raise self._given_up(error, what, started) from error
            else:
                self._answered()
                return result
            tries += 1
            await self.sleep(wait)

    def _wait_before_next(self, error: AzureError, tries: int, begun: float) -> float:
        if self.pacer is not None and is_throttled(error):
            self.pacer.was_refused(begun, retry_after(error))
            # All calls of the client pause together, so no call needs a pause of its own.
            return self.pacer.held_up
        # Many tasks fail in the same second; without jitter they would all return in the same second.
        backoff = min(self.first_wait * 2.0 ** min(tries, _MOST_DOUBLINGS), self.longest_wait)
        jittered = backoff * random.uniform(0.75, 1.25)
        return max(jittered, retry_after(error) or 0.0)

    def _given_up(self, error: AzureError, what: str, started: float) -> BatchLinuxError:
        if not is_transient(error):
            self._answered()
        elif self.pacer is not None:
            self.pacer.gave_up(started)
        return translated(error, what, tried_for=self.clock() - started)

    def _answered(self) -> None:
        if self.pacer is not None:
            self.pacer.went_through()
