"""The pollers of an account in an event loop, which wake each wait when what it waits for has changed."""

from __future__ import annotations

import asyncio
import copy
import logging
import random
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from contextvars import Context
from typing import Any, Generic, Protocol, TypeVar

from async_timeout import timeout

from airflow_provider_batchlinux.core.poll_interval import interval_after, rest_after
from airflow_provider_batchlinux.exceptions import BatchRequestError, WaitTimeoutError

log = logging.getLogger(__name__)

T = TypeVar("T")

_GATHERING = 1.0
"""Seconds in which waits that start are collected, so that one reading serves them all."""

_WAKE_BATCH = 50
"""Waits that are woken before the event loop does other work."""

_EARLY = 0.001
"""Seconds by which a turn may start too early: the event loop's timers are not exact."""

_JOINS = 0.25
"""Where one request reads many, a turn also reads what is due within this part of its interval."""

HEARTBEATS = 2
"""Intervals after which a wait polls again although nothing has changed."""

_GRACE = 30.0
"""Seconds after its deadline in which a wait may still poll for the last time."""

_WORTH_TELLING = 30.0
"""Seconds. A turn that takes longer was delayed by a service that throttles or is unavailable."""


class Reading(Protocol):
    """What was read of one subject; readings that are equal mean that nothing has changed."""

    @property
    def turn(self) -> int:
        """The turn of the poller that read it."""

    @property
    def error(self) -> BatchRequestError | None:
        """Why it could not be read."""


R = TypeVar("R", bound=Reading)
R_co = TypeVar("R_co", bound=Reading, covariant=True)


class Reader(Protocol[R_co]):
    """Reads many subjects in few requests."""

    @property
    def noun(self) -> str:
        """What a subject is, for messages."""

    def few(self, watched: int) -> int:
        """
        Return how many subjects are read one by one; reading more of them costs as much as reading all.

        :param watched: the number of subjects that are watched.
        """

    @property
    def crowd(self) -> int:
        """Subjects that may be read more often than requested because they have just changed."""

    async def read(self, ids: Sequence[str], turn: int, watched: int) -> Mapping[str, R_co]:
        """
        Return the readings of these subjects, in their order.

        :param watched: the number of subjects that are watched.
        """


class Watch(Generic[R]):
    """
    One wait's view of its subject, such as a pool.

    :param subject_id: the id of the subject.
    :param interval: seconds between two polls that the wait asked for.
    :param left: returns the seconds until the wait's deadline; ``None`` for no deadline.
    :param soonest: seconds between two polls after a change; ``None`` polls at the interval.
    :param age: seconds since the last change of the subject that is known when the watch begins.
    """

    def __init__(
        self,
        poller: Poller[R],
        subject_id: str,
        interval: float,
        left: Callable[[], float | None],
        soonest: float | None,
        age: float,
    ) -> None:
        self.subject_id = subject_id
        self.soonest = soonest
        self.age = age
        self._left = left
        self.key = subject_id.lower()
        self.interval = interval
        self.needs = poller.turn + 1
        self.error: Exception | None = None
        self._poller = poller
        self._woken = False
        self._sleep: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Watch[R]:
        self._poller.enter(self)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._poller.leave(self)

    @property
    def heartbeat(self) -> float:
        """Seconds after which a wait polls again although nothing changed, for what only time decides."""
        return HEARTBEATS * self.interval

    async def reading(self) -> R:
        """
        Return the newest reading of the subject that began after the wait did and after its last own request.

        :raises BatchLinuxError: if this subject could not be read, or the poller met a permanent error.
        """
        while True:
            seen = self._poller.newest(self.key)
            if self.error is None and seen is not None and seen.turn >= self.needs:
                self.error = seen.error
                if self.error is None:
                    return seen
            if self.error is not None:
                # A copy for each wait: raising adds frames to an error, and all waits share this one.
                raise copy.copy(self.error) from self.error
            self._poller.request_refresh(self)
            left = self._left()
            if not await self.until_woken(None if left is None else max(left, 0.0) + _GRACE):
                what = f"{self._poller.noun.capitalize()} {self.subject_id!r}"
                raise WaitTimeoutError.after(None, f"{what} could not be read.")

    async def once(self, what: Hashable, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """
        Return the answer to a question about the subject, asked once for all waits on the same reading.

        The wait polls again at the next turn.

        :param what: identifies the question.
        """
        await self.reading()
        self.poll_again()
        return await self._poller.once(self, what, question)

    def poll_again(self) -> None:
        """Let the wait poll after the next turn, whether or not its subject has changed."""
        self._poller.poll_again(self)

    def invalidate(self) -> None:
        """Ignore readings from before now, because the wait itself has sent a request to the service."""
        self.needs = self._poller.turn + 1
        self.poll_again()

    def wake(self) -> None:
        """Let the wait poll."""
        self._woken = True
        if self._sleep is not None:
            _end_sleep(self._sleep)

    async def until_woken(self, seconds: float | None) -> bool:
        """
        Wait until the subject has changed, or the last poll is to be repeated; return whether that happened.

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


def _end_sleep(sleep: asyncio.Future[None]) -> None:
    if not sleep.done():
        sleep.set_result(None)


class _Subject(Generic[R]):
    """What one or more waits watch."""

    def __init__(self, subject_id: str, since: float) -> None:
        self.subject_id = subject_id
        self.watches: set[Watch[R]] = set()
        self.dirty: set[Watch[R]] = set()
        self.reading: R | None = None
        self.answers: dict[Hashable, asyncio.Task[Any]] = {}
        self.since = since
        self.due = float("inf")

    def take(self, reading: R, now: float) -> Iterable[Watch[R]]:
        """Keep a newer reading, and return the waits that are to poll."""
        changed = reading != self.reading
        if changed and self.reading is not None:
            self.since = now
        self.reading, self.answers = reading, {}
        woken, self.dirty = (self.watches if changed else self.dirty), set()
        return list(woken)

    def asked(self) -> float:
        """Return the shortest interval that a wait has requested."""
        return min((watch.interval for watch in self.watches), default=0.0)

    def interval(self, now: float) -> float:
        """Return the seconds to the next reading, if there is no crowd."""
        quiet = now - self.since
        return min(
            (interval_after(quiet, watch.interval, watch.soonest) for watch in self.watches), default=0.0
        )


class Poller(Generic[R]):
    """
    Read all subjects that are waited for together, and wake the waits whose subject has changed.

    A turn costs the same for one wait or a thousand. The poller runs while there are waits. Transient errors
    are retried within the client's retry budget; a permanent error ends all waits.

    :param reader: reads the subjects.
    """

    def __init__(self, reader: Reader[R]) -> None:
        self.turn = 0
        self._reader = reader
        self._subjects: dict[str, _Subject[R]] = {}
        self._due = self._soon = float("inf")
        self._refresh_requested: set[str] = set()
        self._changed_plan = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._queries: set[asyncio.Task[Any]] = set()

    @property
    def noun(self) -> str:
        """What a subject is, for messages."""
        return self._reader.noun

    def watch(
        self,
        subject_id: str,
        interval: float,
        left: Callable[[], float | None] = lambda: None,
        *,
        soonest: float | None = None,
        age: float = 0.0,
    ) -> Watch[R]:
        """
        Return a watch for an ``async with`` block; the last watch that is closed stops the poller.

        :param subject_id: the id of the subject.
        :param interval: seconds between two polls; the shortest of all waits on the subject applies.
        :param left: returns the seconds until the wait's deadline; ``None`` for no deadline.
        :param soonest: seconds between two polls after a change; ``None`` polls at the interval.
        :param age: seconds since the last change of the subject that is known now.
        """
        return Watch(self, subject_id, interval, left, soonest, age)

    def newest(self, key: str) -> R | None:
        """Return the newest reading of a subject, or ``None``."""
        subject = self._subjects.get(key)
        return subject.reading if subject else None

    def poll_again(self, watch: Watch[R]) -> None:
        """Wake a wait at the next turn, whether or not its subject has changed."""
        subject = self._subjects.get(watch.key)
        if subject is not None:
            subject.dirty.add(watch)

    def request_refresh(self, watch: Watch[R]) -> None:
        """Read the subject of a wait soon, together with those of other waits that start now."""
        self.poll_again(watch)
        self._refresh_requested.add(watch.key)
        self._soon = min(self._soon, self._now() + min(_GATHERING, watch.interval))
        self._changed_plan.set()

    async def once(
        self, watch: Watch[R], what: Hashable, question: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        """Return an answer; join a request for the same that began after the newest reading."""
        answers = self._subjects[watch.key].answers
        if what not in answers:
            answers[what] = self._start(question())
        # A wait that is cancelled leaves the request to the others.
        answer: T = await asyncio.shield(answers[what])
        return answer

    def enter(self, watch: Watch[R]) -> None:
        """Add a wait."""
        # What has just changed is read more often, also if only the new wait knows of the change.
        since = self._now() - watch.age
        subject = self._subjects.setdefault(watch.key, _Subject(watch.subject_id, since))
        subject.watches.add(watch)
        subject.since = max(subject.since, since)
        self.request_refresh(watch)
        if self._loop is None:
            self._loop = self._start(self._run())

    async def leave(self, watch: Watch[R]) -> None:
        """Remove a wait, and stop the poller if it was the last one."""
        subject = self._subjects.get(watch.key)
        if subject is None or watch not in subject.watches:
            return
        subject.watches.discard(watch)
        subject.dirty.discard(watch)
        if not subject.watches:
            del self._subjects[watch.key]
        if not self._subjects:
            await self._end()

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
            self._loop = None
            watches = [watch for subject in self._subjects.values() for watch in subject.watches]
            self._subjects, self._refresh_requested = {}, set()
            self._due = self._soon = float("inf")
            for watch in watches:
                watch.error = error
                watch.wake()

    async def _until_due(self) -> None:
        while (left := min(self._due, self._soon) - self._now()) > _EARLY:
            self._changed_plan.clear()
            try:
                async with timeout(left if left < float("inf") else None):
                    await self._changed_plan.wait()
            except asyncio.TimeoutError:
                return

    async def _take_turn(self) -> None:
        # Before the reading: what is requested during it may need a newer one, and is for the next turn.
        self.turn += 1
        began = self._now()
        keys, is_due = self._keys_of_turn(began)
        self._refresh_requested, self._soon = set(), float("inf")
        ids = [self._subjects[key].subject_id for key in keys]
        readings = await self._reader.read(ids, self.turn, len(self._subjects))
        await self._publish(readings.values(), keys)
        took = self._now() - began
        if took > _WORTH_TELLING:
            log.warning("Reading %d %ss took %.0f s; the waits continue.", len(keys), self.noun, took)
        self._plan(keys if is_due else [key for key in keys if self._is_unplanned(key)], took)

    def _keys_of_turn(self, now: float) -> tuple[list[str], bool]:
        """Return what a turn reads, and whether some of it was due."""
        few = self._reader.few(len(self._subjects))
        due = {key for key, subject in self._subjects.items() if subject.due <= now + _EARLY}
        # One request reads all, so what is due soon joins it, instead of costing a turn of its own.
        if due and len(self._subjects) > few:
            due |= {key for key, one in self._subjects.items() if one.due <= now + _JOINS * one.interval(now)}
            if len(due) > few:
                return list(self._subjects), True
        return [key for key in self._subjects if key in due or key in self._refresh_requested], bool(due)

    def _is_unplanned(self, key: str) -> bool:
        subject = self._subjects.get(key)
        return subject is not None and subject.due == float("inf")

    def _plan(self, keys: Iterable[str], took: float) -> None:
        """Set when these subjects are read again."""
        now = self._now()
        just_changed = sum(subject.interval(now) < subject.asked() for subject in self._subjects.values())
        # Jittered downwards only: a wait notices a change at most an interval after it. One jitter for all,
        # so that subjects with the same interval stay together.
        jitter = random.uniform(0.9, 1.0)
        for key in keys:
            subject = self._subjects.get(key)
            if subject is not None:
                # After a change of many, such as an outage, faster polls of all would hit the rate limit.
                is_crowded = just_changed > self._reader.crowd
                interval = subject.asked() if is_crowded else subject.interval(now)
                subject.due = now + rest_after(interval, took) * jitter
        self._due = min((subject.due for subject in self._subjects.values()), default=float("inf"))

    async def _publish(self, readings: Iterable[R], keys: Iterable[str]) -> None:
        woken: list[Watch[R]] = []
        now = self._now()
        for key, reading in zip(keys, readings, strict=True):
            subject = self._subjects.get(key)
            if subject is not None:
                woken.extend(subject.take(reading, now))
        for number, watch in enumerate(woken, start=1):
            watch.wake()
            # The triggerer's other triggers run in the same event loop.
            if number % _WAKE_BATCH == 0:
                await asyncio.sleep(0)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
