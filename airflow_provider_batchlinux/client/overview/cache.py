"""Keep the last answer of each reading for a while: many who look cost no more than one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from async_timeout import timeout

T = TypeVar("T")

# Ids come from the address of the page, so that a visitor could fill the memory of the API server.
_MOST_ENTRIES = 500
_FAILURE_AGE = 10.0
"""Seconds after which what has failed is tried again."""


@dataclass(frozen=True)
class Seen(Generic[T]):
    """
    The last answer, and whether it is the newest.

    :param value: the answer; ``None`` if there has been none yet.
    :param age: its age in seconds.
    :param error: why the last try failed; ``None`` if it did not.
    :param is_late: whether a try is still running.
    """

    value: T | None
    age: float
    error: Exception | None
    is_late: bool


@dataclass
class _Entry(Generic[T]):
    value: T | None = None
    read_at: float = 0.0
    tried_at: float = float("-inf")
    error: Exception | None = None
    running: asyncio.Task[None] | None = None


class ReadingCache:
    """
    Answers by key; each is read again when it is asked for and has become old.

    One reading of a key runs at a time. It has a time limit, and those who ask wait for a shorter time: a
    service that is slow shows the last answer, with its age. A failure is an answer, too, so that a service
    that is away is not asked more often.

    :param clock: returns seconds.
    :param limit: the seconds that a reading may take.
    :param patience: the seconds that those who ask wait for it.
    """

    def __init__(self, clock: Callable[[], float], *, limit: float = 15.0, patience: float = 5.0) -> None:
        self._clock = clock
        self._limit = limit
        self._patience = patience
        self._entries: dict[Hashable, _Entry[object]] = {}

    async def get(
        self,
        key: Hashable,
        read: Callable[[], Awaitable[T]],
        *,
        max_age: float,
        patience: float | None = None,
    ) -> Seen[T]:
        """
        Return the last answer, read again if it is old.

        :param read: reads it; what it raises is kept as the error of the answer.
        :param max_age: the seconds after which it is old.
        :param patience: the seconds to wait; ``None`` for those of the cache.
        """
        entry: _Entry[T] = self._entries.setdefault(key, _Entry())  # type: ignore[assignment]
        lifetime = max_age if entry.error is None else min(max_age, _FAILURE_AGE)
        if entry.running is None and self._clock() - entry.tried_at >= lifetime:
            entry.running = asyncio.create_task(self._refresh(entry, read))
            self._forget_old()
        if (running := entry.running) is not None:
            await asyncio.wait([running], timeout=self._patience if patience is None else patience)
        return Seen(
            entry.value, self._clock() - entry.read_at, entry.error, is_late=entry.running is not None
        )

    async def _refresh(self, entry: _Entry[T], read: Callable[[], Awaitable[T]]) -> None:
        try:
            async with timeout(self._limit):
                entry.value = await read()
            entry.read_at, entry.error = self._clock(), None
        except asyncio.TimeoutError:
            entry.error = TimeoutError(f"no answer within {self._limit:g} s")
        except Exception as error:  # whatever it is, it is shown instead of an answer
            entry.error = error
        finally:
            entry.tried_at, entry.running = self._clock(), None

    def _forget_old(self) -> None:
        idle = [key for key, entry in self._entries.items() if entry.running is None]
        idle.sort(key=lambda key: self._entries[key].tried_at)
        for key in idle[: max(0, len(self._entries) - _MOST_ENTRIES)]:
            del self._entries[key]
