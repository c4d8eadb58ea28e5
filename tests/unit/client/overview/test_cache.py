"""Many users cost no more than one, and a slow service does not make them wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from airflow_provider_batchlinux.client.overview.cache import ReadingCache, Seen


class Service:
    """A service that counts its readings, answers when it is told to, and moves the clock by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.readings = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer: Any = "first"

    async def read(self) -> Any:
        self.readings += 1
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def scenario(
    work: Callable[[Service, Callable[[], Awaitable[Seen[Any]]]], Awaitable[None]], **limits: float
) -> None:
    async def whole() -> None:
        service = Service()
        cache = ReadingCache(lambda: service.now, **{"limit": 60, "patience": 60, **limits})
        await work(service, lambda: cache.get("account", service.read, max_age=10))

    asyncio.run(whole())


def test_many_at_once_and_within_the_age_cost_one_reading() -> None:
    async def work(service: Service, get: Callable[[], Awaitable[Seen[Any]]]) -> None:
        seen = await asyncio.gather(*(get() for _ in range(50)))
        service.now = 9.0
        later = await get()

        assert service.readings == 1
        assert {one.value for one in seen} == {"first"}
        assert later.age == 9.0
        service.now, service.answer = 10.0, "second"
        assert ((await get()).value, service.readings) == ("second", 2)

    scenario(work)


def test_a_slow_service_shows_its_last_answer() -> None:
    async def work(service: Service, get: Callable[[], Awaitable[Seen[Any]]]) -> None:
        while (await get()).is_late:
            pass
        service.now = 20.0
        service.gate.clear()
        late = await get()

        assert (late.value, late.age, late.is_late) == ("first", 20.0, True)
        service.gate.set()
        while (seen := await get()).is_late:
            pass
        assert seen.age == 0.0

    scenario(work, patience=0)


def test_a_reading_has_a_time_limit_and_its_failure_is_kept_for_a_while() -> None:
    async def work(service: Service, get: Callable[[], Awaitable[Seen[Any]]]) -> None:
        service.gate.clear()
        while (seen := await get()).is_late:
            pass
        assert seen.value is None
        assert str(seen.error) == "no answer within 0.01 s"
        await get()
        assert service.readings == 1

    scenario(work, limit=0.01)


def test_a_failure_keeps_the_last_answer() -> None:
    async def work(service: Service, get: Callable[[], Awaitable[Seen[Any]]]) -> None:
        await get()
        service.now, service.answer = 10.0, ValueError("The key is wrong.")
        seen = await get()

        assert (seen.value, seen.age, str(seen.error)) == ("first", 10.0, "The key is wrong.")

    scenario(work)


def test_old_answers_are_forgotten() -> None:
    async def whole() -> None:
        service = Service()
        cache = ReadingCache(lambda: service.now)
        for number in range(600):
            service.now = float(number)
            await cache.get(number, service.read, max_age=10)
        before = service.readings
        await cache.get(599, service.read, max_age=10)
        await cache.get(0, service.read, max_age=1_000)

        assert service.readings == before + 1

    asyncio.run(whole())
