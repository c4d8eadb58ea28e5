"""The poller of commands, in virtual time and on an account in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.client.waits.job_reader import FOLLOWED, JobReader, JobReading
from airflow_provider_batchlinux.client.waits.poller import Poller
from airflow_provider_batchlinux.core.poll_interval import SOONEST_OF_COMMANDS
from tests.unit.client.jobs_in_memory import JobsInMemory
from tests.unit.client.virtual_time import at, now, run_virtually

INTERVAL = 30.0
NEVER = 1e9


async def seen_ended(poller: Poller[JobReading], job_id: str, age: float, interval: float) -> float:
    """Wait until the command has ended, and give when that was seen."""
    async with poller.watch(job_id, interval, soonest=SOONEST_OF_COMMANDS, age=age) as watch:
        while not (await watch.reading()).has_ended:
            await watch.until_woken(None)
        return now()


def watched(
    account: JobsInMemory, ages: Iterable[float], until: float, *, interval: float = INTERVAL
) -> list[float | None]:
    """Wait for all commands in the order of their names, and give when each was seen to have ended."""
    poller = Poller(JobReader(cast(Any, account)))

    async def scenario() -> list[float | None]:
        tasks = [
            asyncio.ensure_future(seen_ended(poller, job_id, age, interval))
            for job_id, age in zip(sorted(account.ended), ages, strict=True)
        ]
        await at(until)
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        return [one if isinstance(one, float) else None for one in found]

    return run_virtually(scenario())


def jobs(number: int, **ends: float) -> dict[str, float]:
    return {f"af-{index:04}": ends.get(f"j{index}", NEVER) for index in range(number)}


@settings(deadline=None, max_examples=25)
@given(
    number=st.integers(1, 60),
    age=st.floats(0, 1000),
    end=st.floats(1, 400),
    interval=st.sampled_from([2.0, 15.0, 60.0]),
)
def test_the_end_of_a_command_is_noticed_within_the_promised_time(
    number: int, age: float, end: float, interval: float
) -> None:
    account = JobsInMemory(jobs(number, j0=end))

    promised = end + min(interval, max(SOONEST_OF_COMMANDS, (age + end) / 10)) + 0.1

    seen = watched(account, [age] * number, promised + 1, interval=interval)[0]

    assert seen is not None
    assert end <= seen <= promised


@pytest.mark.parametrize("age", [INTERVAL, 10 * INTERVAL, 86400.0])
def test_two_thousand_commands_cost_three_requests_an_interval(age: float) -> None:
    account = JobsInMemory(jobs(2000))

    watched(account, [age] * 2000, 10 * INTERVAL)

    later = [moment for moment, _ in account.asked if moment > INTERVAL]
    assert len(later) / 9 <= 3


def test_a_few_commands_are_each_asked_for_and_many_are_listed() -> None:
    few, many = JobsInMemory(jobs(FOLLOWED)), JobsInMemory(jobs(FOLLOWED + 1))

    watched(few, [3600.0] * FOLLOWED, 20)
    watched(many, [3600.0] * (FOLLOWED + 1), 20)

    assert sorted(what for _, what in few.asked) == [f"get {job_id}" for job_id in sorted(few.ended)]
    assert [what for _, what in many.asked if what == "list jobs"] == ["list jobs"]
    assert len(many.asked) <= 3


def test_a_young_command_among_many_is_asked_for_alone() -> None:
    account = JobsInMemory(jobs(100))

    watched(account, [0.0, *[86400.0] * 99], 0.6 * INTERVAL)

    later = [what for moment, what in account.asked if moment > 2]
    assert later == ["get af-0000"] * len(later)
    assert len(later) >= 4


def test_a_job_that_does_not_end_with_its_command_is_asked_for() -> None:
    account = JobsInMemory(jobs(50, j7=40.0), stays={"af-0007"})

    seen = watched(account, [86400.0] * 50, 100)

    assert seen[7] is not None
    assert seen[7] <= 40 + INTERVAL


def test_commands_whose_jobs_stay_active_for_long_are_found_in_turn() -> None:
    account = JobsInMemory(jobs(30, j7=40.0), lag=NEVER)

    seen = watched(account, [86400.0] * 30, 40 + 30 * INTERVAL)

    assert seen[7] is not None


def test_the_commands_of_a_pool_that_is_gone_are_asked_for() -> None:
    account = JobsInMemory(jobs(50), pools=[])

    watched(account, [86400.0] * 50, 5 * INTERVAL)

    assert {what for _, what in account.asked} > {f"get {job_id}" for job_id in account.ended}


def test_a_command_that_was_deleted_is_gone() -> None:
    account = JobsInMemory(jobs(50))

    async def scenario() -> JobReading:
        poller = Poller(JobReader(cast(Any, account)))
        async with poller.watch("af-gone", INTERVAL) as watch:
            return await watch.reading()

    reading = run_virtually(scenario())

    assert reading.is_gone
    assert reading.has_ended
