"""The poller of an account in an event loop, which wakes each wait when its pool has changed."""

from __future__ import annotations

import asyncio
import copy
import logging
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.waits.reader import PoolReader, PoolReading
from airflow_provider_batchlinux.core.poll_interval import is_turning, next_interval, rest_after
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.exceptions import WaitTimeoutError

log = logging.getLogger(__name__)

_GATHERING = 1.0
"""Seconds in which waits that start are collected, so that one reading serves them all."""

_WAKE_BATCH = 50
"""Waits that are woken before the event loop does other work."""

_EARLY = 0.001
"""Seconds by which a turn may start too early: the event loop's timers are not exact."""

HEARTBEATS = 2
"""Intervals after which a wait polls again although its pool has not changed."""

_GRACE = 30.0
"""Seconds after its deadline in which a wait may still poll for the last time."""

_WORTH_TELLING = 30.0
"""Seconds. A turn that takes longer was delayed by a service that throttles or is unavailable."""


class PoolWatch:
    """
    One wait's view of its pool.

    :param pool_id: the pool.
    :param interval: seconds between two polls that the wait asked for.
    :param left: returns the seconds until the wait's deadline; ``None`` for no deadline.
    """

    def __init__(
        self, poller: PoolPoller, pool_id: str, interval: float, left: Callable[[], float | None]
    ) -> None:
        self.pool_id = pool_id
        self._left = left
        self.key = pool_id.lower()
        self.interval = interval
        self.needs = poller.turn + 1
        self.error: Exception | None = None
        self._poller = poller
        self._woken = False
        self._sleep: asyncio.Future[None] | None = None

    async def __aenter__(self) -> PoolWatch:
        self._poller.enter(self)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._poller.leave(self)

    @property
    def heartbeat(self) -> float:
        """Seconds after which a wait polls again although nothing changed, for what only time decides."""
        return HEARTBEATS * self.interval

    async def reading(self) -> PoolReading:
        """
        Return the newest reading of the pool that began after the wait did and after its last own request.

        :raises BatchLinuxError: if this pool could not be read, or the poller met a permanent error.
        """
        while True:
            seen = self._poller.newest(self.key)
            if self.error is None and seen is not None and seen.turn >= self.needs:
                self.error = seen.error
                if self.error is None:
                    return seen
            if self.error is not None:
                raise copy.copy(self.error) from self.error
            self._poller.request_refresh(self)
            await self._next_reading()

    async def nodes(self, where: str | None) -> list[NodeSnapshot]:
        """Return the exact list of nodes, requested once for all waits that ask after the same reading."""
        await self.reading()
        self._poller.poll_again(self)
        return list(await self._poller.exactly(self, where))

    def slow_to(self, interval: float) -> None:
        """Ask for polls at another interval from now on."""
        if interval != self.interval:
            self._poller.change_interval(self, interval)

    def invalidate(self) -> None:
        """Ignore readings from before now, because the wait itself has sent a request to the service."""
        self.needs = self._poller.turn + 1
        self._poller.poll_again(self)

    def wake(self) -> None:
        """Let the wait poll."""
        self._woken = True
        if self._sleep is not None:
            _end_sleep(self._sleep)

    async def until_woken(self, seconds: float | None) -> bool:
        """
        Wait until the pool has changed, or the last poll is to be repeated; return whether that happened.

        :param seconds: how long to wait at most; ``None`` for no limit.
        """
        # Thousands do this at once: a future and a timer take a fifth of the memory of a wait_for().
        if not self._woken:
            loop = asyncio.get_running_loop()
            self._sleep = loop.create_future()
            timer = None if seconds is None else loop.call_later(seconds, _end_sleep, self._sleep)
            try:
                await self._sleep
            finally:
                self._sleep = None
                if timer is not None:
                    timer.cancel()
        woken, self._woken = self._woken, False
        return woken

    async def _next_reading(self) -> None:
        left = self._left()
        if not await self.until_woken(None if left is None else max(left, 0.0) + _GRACE):
            raise WaitTimeoutError.after(None, f"Pool {self.pool_id!r} could not be read.")


def _end_sleep(sleep: asyncio.Future[None]) -> None:
    if not sleep.done():
        sleep.set_result(None)


class _WatchedPool:
    def __init__(self, pool_id: str) -> None:
        self.pool_id = pool_id
        self.watches: set[PoolWatch] = set()
        self.dirty: set[PoolWatch] = set()
        self.reading: PoolReading | None = None
        self.exact: dict[str | None, asyncio.Task[list[NodeSnapshot]]] = {}
        self.turning = False

    def take(self, reading: PoolReading) -> Iterable[PoolWatch]:
        """Keep a newer reading, and return the waits that are to poll."""
        changed = reading != self.reading
        self.turning = changed and is_turning(reading.pool, reading.counts)
        self.reading, self.exact = reading, {}
        woken, self.dirty = (self.watches if changed else self.dirty), set()
        return list(woken)


class PoolPoller:
    """
    Read all pools that are waited for together, and wake the waits whose pool has changed.

    A turn costs the same for one wait or a thousand, and for one node or ten thousand. The poller runs while
    there are waits. Transient errors are retried within the client's retry budget; a permanent error ends all
    waits.

    :param client: the account's open client.
    """

    def __init__(self, client: BatchLinuxClient) -> None:
        self.turn = 0
        self._client = client
        self._reader = PoolReader(client)
        self._pools: dict[str, _WatchedPool] = {}
        self._intervals: Counter[float] = Counter()
        self._due = self._soon = float("inf")
        self._refresh_requested: set[str] = set()
        self._changed_plan = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._queries: set[asyncio.Task[Any]] = set()

    def watch(
        self, pool_id: str, interval: float, left: Callable[[], float | None] = lambda: None
    ) -> PoolWatch:
        """
        Return a watch for an ``async with`` block; the last watch that is closed stops the poller.

        :param pool_id: the pool.
        :param interval: seconds between two polls; the shortest of all waits applies to all.
        :param left: returns the seconds until the wait's deadline; ``None`` for no deadline.
        """
        return PoolWatch(self, pool_id, interval, left)

    def newest(self, key: str) -> PoolReading | None:
        """Return the newest reading of a pool, or ``None``."""
        pool = self._pools.get(key)
        return pool.reading if pool else None

    def poll_again(self, watch: PoolWatch) -> None:
        """Wake a wait at the next turn, whether or not its pool has changed."""
        pool = self._pools.get(watch.key)
        if pool is not None:
            pool.dirty.add(watch)

    def request_refresh(self, watch: PoolWatch) -> None:
        """Read the pool of a wait soon, together with the pools of other waits that start now."""
        self.poll_again(watch)
        self._refresh_requested.add(watch.key)
        self._soon = min(self._soon, self._now() + min(_GATHERING, watch.interval))
        self._changed_plan.set()

    async def exactly(self, watch: PoolWatch, where: str | None) -> list[NodeSnapshot]:
        """Return the exact list of nodes; join a request for the same that began after the newest reading."""
        pool = self._pools[watch.key]
        if where not in pool.exact:
            question = self._client.list_nodes(watch.pool_id, where=where)
            pool.exact[where] = self._start(question)
        # A wait that is cancelled leaves the request to the others.
        return await asyncio.shield(pool.exact[where])

    def enter(self, watch: PoolWatch) -> None:
        """Add a wait."""
        self._pools.setdefault(watch.key, _WatchedPool(watch.pool_id)).watches.add(watch)
        self._intervals[watch.interval] += 1
        self.request_refresh(watch)
        if self._loop is None:
            self._loop = self._start(self._run())

    async def leave(self, watch: PoolWatch) -> None:
        """Remove a wait, and stop the poller if it was the last one."""
        pool = self._pools.get(watch.key)
        if pool is None or watch not in pool.watches:
            return
        pool.watches.discard(watch)
        pool.dirty.discard(watch)
        if not pool.watches:
            del self._pools[watch.key]
        self._intervals -= Counter([watch.interval])
        if not self._pools:
            await self._end()

    def change_interval(self, watch: PoolWatch, interval: float) -> None:
        """Read at the interval that a wait asks for now, if no other wait asks for a shorter one."""
        pool = self._pools.get(watch.key)
        if pool is not None and watch in pool.watches:
            self._intervals -= Counter([watch.interval])
            self._intervals[interval] += 1
            watch.interval = interval

    async def _end(self) -> None:
        self._loop = None
        ending = list(self._queries)
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        # In a fresh context: the log lines belong to no single trigger.
        task: asyncio.Task[Any] = Context().run(asyncio.ensure_future, work)
        self._queries.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._queries.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, also if every wait that asked has left

    async def _run(self) -> None:
        try:
            self._due = float("inf")
            while True:
                await self._until_due()
                await self._take_turn()
        except Exception as error:  # no wait may hang on a poller that has stopped
            self._fail(error)

    async def _until_due(self) -> None:
        while (left := min(self._due, self._soon) - self._now()) > _EARLY:
            self._changed_plan.clear()
            try:
                await asyncio.wait_for(self._changed_plan.wait(), left if left < float("inf") else None)
            except asyncio.TimeoutError:
                return

    async def _take_turn(self) -> None:
        self.turn += 1
        began = self._now()
        every = self._due <= began + _EARLY or self._refresh_requested >= self._pools.keys()
        keys = list(self._pools) if every else [key for key in self._pools if key in self._refresh_requested]
        self._refresh_requested, self._soon = set(), float("inf")
        ids = [self._pools[key].pool_id for key in keys]
        await self._publish((await self._reader.read(ids, self.turn)).values(), keys)
        took = self._now() - began
        if took > _WORTH_TELLING:
            log.warning("Reading %d pools took %.0f s; the waits continue.", len(keys), took)
        if every:
            # Jittered downwards only: a wait notices a change at most an interval after it.
            rest = rest_after(self._next_interval(), took) * random.uniform(0.9, 1.0)
            self._due = self._now() + rest

    async def _publish(self, readings: Iterable[PoolReading], keys: Iterable[str]) -> None:
        woken: list[PoolWatch] = []
        for key, reading in zip(keys, readings, strict=True):
            pool = self._pools.get(key)
            if pool is not None:
                woken.extend(pool.take(reading))
        for number, watch in enumerate(woken, start=1):
            watch.wake()
            if number % _WAKE_BATCH == 0:
                await asyncio.sleep(0)

    def _next_interval(self) -> float:
        turning = (pool.turning for pool in self._pools.values())
        return next_interval(min(self._intervals, default=0.0), turning)

    def _fail(self, error: Exception) -> None:
        self._loop = None
        watches = [watch for pool in self._pools.values() for watch in pool.watches]
        self._pools, self._intervals, self._refresh_requested = {}, Counter(), set()
        self._due = self._soon = float("inf")
        for watch in watches:
            watch.error = error
            watch.wake()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
