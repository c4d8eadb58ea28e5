"""Many calls at once, never more than a bound, and every result kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.client.transport.fan_out import fan_out

BOUNDS = st.integers(1, 12)


class Calls:
    """Work that counts how often it runs at once, and gives the other calls every chance to begin."""

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.fails_at = fails_at
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.running = 0
        self.most_at_once = 0

    async def __call__(self, item: int) -> str:
        self.begun.append(item)
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            await self._turns(item)
        finally:
            self.running -= 1
        self.ended.append(item)
        return f"result {item}"

    async def _turns(self, item: int) -> None:
        for _ in range(5 + 7 * item % 4):
            await asyncio.sleep(0)
        if item == self.fails_at:
            raise LookupError(item)


def run(items: int, max_concurrency: int, calls: Calls) -> list[str]:
    return asyncio.run(fan_out(range(items), calls, max_concurrency=max_concurrency))


@given(st.integers(0, 40), BOUNDS)
def test_every_result_is_returned_in_the_order_of_the_items(items: int, max_concurrency: int) -> None:
    assert run(items, max_concurrency, Calls()) == [f"result {item}" for item in range(items)]


@given(st.integers(1, 40), BOUNDS)
def test_as_many_calls_run_at_once_as_the_bound_allows(items: int, max_concurrency: int) -> None:
    calls = Calls()
    run(items, max_concurrency, calls)

    assert calls.most_at_once == min(items, max_concurrency)


def test_the_order_of_the_results_is_not_the_order_of_the_answers() -> None:
    calls = Calls()
    run(9, 3, calls)

    assert calls.ended != sorted(calls.ended)


@pytest.mark.parametrize(
    "max_concurrency", [pytest.param(0, id="none"), pytest.param(-1, id="less than none")]
)
def test_a_bound_below_one_still_does_the_work(max_concurrency: int) -> None:
    assert run(3, max_concurrency, Calls()) == ["result 0", "result 1", "result 2"]


def test_the_items_are_drawn_as_they_are_needed() -> None:
    drawn: list[int] = []
    calls = Calls()

    def items() -> Iterator[int]:
        for item in range(20):
            assert item - len(calls.ended) < 3
            drawn.append(item)
            yield item

    asyncio.run(fan_out(items(), calls, max_concurrency=3))

    assert drawn == list(range(20))


@given(st.integers(0, 19), BOUNDS)
def test_the_first_error_is_raised_and_no_further_item_is_begun(fails_at: int, max_concurrency: int) -> None:
    calls = Calls(fails_at=fails_at)
    with pytest.raises(LookupError):
        run(20, max_concurrency, calls)

    assert calls.running == 0
    assert max(calls.begun) < fails_at + 3 * max_concurrency


def test_an_error_while_drawing_items_ends_the_work() -> None:
    calls = Calls()

    def items() -> Iterator[int]:
        yield 1
        raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(fan_out(items(), calls, max_concurrency=4))

    assert calls.running == 0


def test_cancelling_ends_all_calls_in_flight() -> None:
    calls = Calls()

    async def cancelled() -> bool:
        whole = asyncio.ensure_future(fan_out(range(10), calls, max_concurrency=4))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        whole.cancel()
        await asyncio.wait([whole])
        return whole.cancelled()

    assert asyncio.run(cancelled())
    assert (calls.begun, calls.ended, calls.running) == ([0, 1, 2, 3], [], 0)
