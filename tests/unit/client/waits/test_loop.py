"""The one loop that waits, on a clock that only the test moves."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.client.waits.loop import WaitSchedule, wait_for
from airflow_provider_batchlinux.exceptions import PoolNotReadyError, WaitTimeoutError

START = 1_000_000.0


class Clock:
    """A clock that moves by what was slept."""

    def __init__(self) -> None:
        self.now = START
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    def pace(
        self, interval: float = 10.0, within: float | None = None, first_wait: float = 0.0
    ) -> WaitSchedule:
        deadline = None if within is None else START + within
        return WaitSchedule(interval, deadline, first_wait, sleep=self.sleep, clock=self)


class Countdown:
    """Something that is done after some looks, and says at each how far it is."""

    def __init__(self, looks: int | None, *, lines: str = "abcdefgh", fails: bool = False) -> None:
        self.looks = looks
        self.lines = lines
        self.fails = fails
        self.looked = 0
        self.status = ""

    async def poll(self) -> dict[str, Any] | None:
        self.status = self.lines[min(self.looked, len(self.lines) - 1)]
        self.looked += 1
        if self.fails:
            message = "Broken."
            raise PoolNotReadyError(message, pool_id="etl")
        return {"looks": self.looked} if self.looked == self.looks else None


class Lines(logging.Handler):
    """The lines that were logged."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage())


def logged(wait: Countdown, pace: WaitSchedule) -> list[str]:
    logger, lines = logging.getLogger("airflow_provider_batchlinux.client.waits.loop"), Lines()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(lines)
    try:
        asyncio.run(wait_for(wait, pace))
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)
    return lines.seen


def test_what_is_done_already_is_found_at_the_first_look_without_a_wait() -> None:
    clock = Clock()

    assert asyncio.run(wait_for(Countdown(1), clock.pace())) == {"looks": 1}
    assert clock.naps == []


def test_a_result_that_is_empty_is_a_result() -> None:
    class Empty(Countdown):
        async def poll(self) -> dict[str, Any]:
            return {}

    assert asyncio.run(wait_for(Empty(1), Clock().pace())) == {}


@given(st.integers(1, 30), st.floats(1, 1000))
def test_it_looks_until_it_is_done_about_once_an_interval(looks: int, interval: float) -> None:
    clock, wait = Clock(), Countdown(looks)

    assert asyncio.run(wait_for(wait, clock.pace(interval))) == {"looks": looks}
    assert len(clock.naps) == looks - 1
    assert all(0.9 * interval <= nap <= 1.1 * interval for nap in clock.naps)


@given(st.floats(1, 100), st.floats(1, 10_000))
def test_intervals_grow_to_the_longest_with_the_time_that_was_waited(interval: float, longest: float) -> None:
    clock = Clock()

    asyncio.run(wait_for(Countdown(20), replace(clock.pace(interval), longest=longest)))

    most, elapsed = max(interval, longest), 0.0
    for nap in clock.naps:
        expected = min(max(interval, elapsed), most)
        assert 0.9 * expected <= nap <= 1.1 * expected
        elapsed += nap


def test_the_first_look_can_be_put_off() -> None:
    clock = Clock()
    asyncio.run(wait_for(Countdown(1), clock.pace(first_wait=5)))

    assert len(clock.naps) == 1
    assert 4.5 <= clock.naps[0] <= 5.5


@given(st.floats(0.1, 1000), st.floats(1, 100))
def test_the_wait_gives_up_at_its_deadline_and_looks_a_last_time(within: float, interval: float) -> None:
    clock, wait = Clock(), Countdown(None)
    with pytest.raises(WaitTimeoutError):
        asyncio.run(wait_for(wait, clock.pace(interval, within)))

    assert clock.now == pytest.approx(START + within)
    assert wait.looked == len(clock.naps) + 1


def test_what_is_done_just_at_the_deadline_is_done() -> None:
    clock = Clock()

    assert asyncio.run(wait_for(Countdown(2), clock.pace(interval=60, within=5))) == {"looks": 2}
    assert clock.now == START + 5


def test_a_wait_whose_deadline_is_past_looks_once() -> None:
    clock, wait = Clock(), Countdown(None)
    with pytest.raises(WaitTimeoutError):
        asyncio.run(wait_for(wait, clock.pace(within=-60)))

    assert (wait.looked, clock.naps) == (1, [])


def test_the_timeout_says_what_was_seen_last() -> None:
    with pytest.raises(WaitTimeoutError, match=r"^Timed out\. Last status: b$"):
        asyncio.run(wait_for(Countdown(None, lines="ab"), Clock().pace(within=1)))


def test_an_error_ends_the_wait_at_once() -> None:
    clock = Clock()
    with pytest.raises(PoolNotReadyError, match="Broken"):
        asyncio.run(wait_for(Countdown(None, fails=True), clock.pace()))

    assert clock.naps == []


def test_progress_is_logged_when_it_changes_and_only_then() -> None:
    assert logged(Countdown(6, lines="aabbbc"), Clock().pace()) == ["a", "b", "c"]


def test_progress_that_comes_back_is_logged_again() -> None:
    assert logged(Countdown(3, lines="aba"), Clock().pace()) == ["a", "b", "a"]


def test_progress_is_logged_as_it_is_even_with_a_percent_sign() -> None:
    assert logged(Countdown(1, lines="%"), Clock().pace()) == ["%"]
