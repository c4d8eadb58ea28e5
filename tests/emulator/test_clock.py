"""The clock that is moved by hand."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator.simulation.clock import ManualClock

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


@given(st.lists(st.integers(1, 100)), st.integers(0, 100))
def test_timers_fire_in_their_order_and_at_their_time(delays: list[int], seconds: int) -> None:
    clock, fired = ManualClock(START), []
    for delay in delays:
        clock.call_later(delay, lambda: fired.append((clock.now() - START).total_seconds()))

    clock.advance(seconds)

    assert fired == sorted(delay for delay in delays if delay <= seconds)
    assert clock.now() == START + timedelta(seconds=seconds)


def test_a_timer_that_a_timer_sets_fires_on_the_way() -> None:
    clock, fired = ManualClock(START), []

    def set_another() -> None:
        clock.call_later(2, lambda: fired.append(clock.now()))

    clock.call_later(1, set_another)

    clock.advance(10)

    assert fired == [START + timedelta(seconds=3)]


def test_a_cancelled_timer_does_not_fire() -> None:
    clock, fired = ManualClock(START), []
    clock.call_later(1, lambda: fired.append(1)).cancel()

    clock.advance(2)

    assert fired == []


def test_a_timer_without_delay_fires_at_the_next_tick() -> None:
    async def run() -> list[str]:
        clock, fired = ManualClock(START), []
        clock.call_later(0, lambda: fired.append("now"))
        clock.call_later(1, lambda: fired.append("later"))
        await asyncio.sleep(0)
        return fired

    assert asyncio.run(run()) == ["now"]
