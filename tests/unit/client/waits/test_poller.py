"""The poller that all waits on an account share, in virtual time and on an account in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.client.waits.poller import Poller, Watch
from airflow_provider_batchlinux.client.waits.reader import PoolReader, PoolReading
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchRequestError,
    BatchUnreachableError,
    WaitTimeoutError,
)
from tests.unit.client.pools_in_memory import PoolsInMemory
from tests.unit.client.virtual_time import at, now, run_virtually

BOOTING = {"starting": 1}
IDLE = {"idle": 1}


def polled(account: PoolsInMemory) -> Poller[PoolReading]:
    return Poller(PoolReader(cast(Any, account)))


async def seen_idle(watch: Watch[PoolReading], longest: float = 1000.0) -> float:
    """Look until the pool has an idle node, and give when that was seen."""
    async with watch:
        while "idle" not in (await watch.reading()).counts:
            await watch.until_woken(longest)
        return now()


def together(*works: Awaitable[Any]) -> Any:
    async def scenario() -> Any:
        return await asyncio.gather(*works, return_exceptions=True)

    return run_virtually(scenario())


def test_waits_that_begin_together_are_served_by_one_reading() -> None:
    account = PoolsInMemory({"etl": IDLE})
    poller = polled(account)

    assert together(*(seen_idle(poller.watch("etl", 30)) for _ in range(100))) == [1.0] * 100
    assert account.questions() == ["get etl", "count named"]


@pytest.mark.parametrize(
    ("pools", "questions"),
    [
        pytest.param(1, ["get p0", "count named"], id="one pool"),
        pytest.param(2, ["name pools", "count named"], id="two pools"),
        pytest.param(10, ["name pools", "count named"], id="ten pools"),
        pytest.param(11, ["list pools", "count all"], id="more than ten pools"),
        pytest.param(200, ["list pools", "count all"], id="many pools"),
    ],
)
def test_a_turn_is_two_questions_for_any_number_of_pools(pools: int, questions: list[str]) -> None:
    account = PoolsInMemory({f"p{number}": IDLE for number in range(pools)})
    poller = polled(account)

    together(*(seen_idle(poller.watch(name, 30)) for name in account.pools))

    assert account.questions() == questions


def test_no_counts_are_asked_of_pools_without_nodes() -> None:
    account = PoolsInMemory({"etl": {}})
    poller = polled(account)

    async def scenario() -> None:
        async with poller.watch("etl", 30) as watch:
            assert (await watch.reading()).counts == {}

    run_virtually(scenario())

    assert account.questions() == ["get etl"]


@settings(deadline=None, max_examples=50)
@given(st.floats(10, 600), st.floats(0, 1000))
def test_a_change_is_known_within_an_interval(interval: float, moment: float) -> None:
    account = PoolsInMemory({"etl": BOOTING, "other": BOOTING})
    poller = polled(account)

    async def change() -> None:
        await at(moment)
        account.pools["etl"] = IDLE

    seen, _ = together(seen_idle(poller.watch("etl", interval), 1e9), change())

    assert moment <= seen <= max(moment + interval, 1.0) + 1e-6


def test_the_shortest_interval_rules_while_it_is_there() -> None:
    account = PoolsInMemory({"slow": BOOTING, "fast": BOOTING})
    poller = polled(account)

    async def leave_at(watch: Watch[PoolReading], moment: float) -> None:
        async with watch:
            await at(moment)

    together(leave_at(poller.watch("slow", 300), 1205), leave_at(poller.watch("fast", 30), 605))

    early = [moment for moment in account.turns() if moment <= 605]
    late = [moment for moment in account.turns() if moment > 640]
    assert 20 <= len(early) <= 23
    assert 1 <= len(late) <= 3


def test_one_that_joins_is_read_alone_and_disturbs_no_other() -> None:
    account = PoolsInMemory({f"p{number}": BOOTING for number in range(50)})
    poller = polled(account)

    async def join_later() -> None:
        await at(100)
        account.questions()
        async with poller.watch("p7", 60) as watch:
            await watch.reading()

    def staying(name: str) -> Awaitable[object]:
        return asyncio.wait_for(seen_idle(poller.watch(name, 60)), 102)

    together(*(staying(name) for name in account.pools), join_later())

    assert account.questions() == ["get p7", "count named"]


def test_no_reading_from_before_the_wait_began_is_given() -> None:
    account = PoolsInMemory({"etl": IDLE})
    poller = polled(account)

    async def scenario() -> None:
        async with poller.watch("etl", 60) as early:
            await early.reading()
            account.pools["etl"] = BOOTING
            async with poller.watch("etl", 60) as late:
                assert (await late.reading()).counts == BOOTING

    run_virtually(scenario())


def test_a_wait_that_called_the_service_sees_only_later_readings() -> None:
    account = PoolsInMemory({"etl": IDLE})
    poller = polled(account)

    async def scenario() -> None:
        async with poller.watch("etl", 60) as watch:
            await watch.reading()
            account.pools["etl"] = BOOTING
            watch.invalidate()
            assert (await watch.reading()).counts == BOOTING

    run_virtually(scenario())


def test_only_waits_on_a_pool_that_changed_are_woken() -> None:
    account = PoolsInMemory({"etl": BOOTING, "other": BOOTING})
    poller = polled(account)

    async def wakes(watch: Watch[PoolReading]) -> int:
        count = 0
        async with watch:
            await watch.reading()
            while now() < 299:
                count += await watch.until_woken(300 - now())
        return count

    async def change() -> None:
        await at(100)
        account.pools["etl"] = IDLE

    assert together(wakes(poller.watch("etl", 30)), wakes(poller.watch("other", 30)), change()) == [
        1,
        0,
        None,
    ]


def test_the_exact_list_is_asked_once_for_all_waits_and_wakes_them_at_the_next_turn() -> None:
    account = PoolsInMemory({"etl": IDLE}, delay=0.5)
    poller = polled(account)

    async def confirm(watch: Watch[PoolReading]) -> tuple[int, bool]:
        async with watch:
            nodes = await watch.once(None, partial(account.list_nodes, watch.subject_id, where=None))
            return len(nodes), await watch.until_woken(100)

    assert together(*(confirm(poller.watch("etl", 30)) for _ in range(50))) == [(1, True)] * 50
    assert [what for what in account.questions() if what.startswith("nodes")] == ["nodes of etl"]


def test_ids_are_the_same_in_any_case() -> None:
    account = PoolsInMemory({"etl": IDLE})
    poller = polled(account)

    assert together(seen_idle(poller.watch("etl", 30)), seen_idle(poller.watch("ETL", 30))) == [1.0, 1.0]
    assert account.questions() == ["get etl", "count named"]


class TestErrors:
    @pytest.mark.parametrize(
        "error",
        [
            pytest.param(BatchAuthenticationError("No.", code="AuthenticationFailed"), id="refused"),
            pytest.param(BatchUnreachableError("Away."), id="out of reach"),
            pytest.param(KeyError("a mistake"), id="a mistake"),
        ],
    )
    def test_one_that_lasts_ends_all_waits_with_its_cause(self, error: Exception) -> None:
        account = PoolsInMemory({"etl": BOOTING, "other": BOOTING}, errors=[error])
        poller = polled(account)

        found = together(seen_idle(poller.watch("etl", 30)), seen_idle(poller.watch("other", 30)))

        assert [type(one) for one in found] == [type(error)] * 2
        assert all(one.__cause__ is error and one.args == error.args for one in found)

    def test_a_new_wait_after_it_starts_a_new_poller(self) -> None:
        account = PoolsInMemory({"etl": IDLE}, errors=[BatchUnreachableError("Away.")])
        poller = polled(account)

        async def scenario() -> None:
            with pytest.raises(BatchUnreachableError):
                await seen_idle(poller.watch("etl", 30))
            await seen_idle(poller.watch("etl", 30))

        run_virtually(scenario())

    def test_one_of_a_single_pool_ends_its_waits_only(self) -> None:
        refusal = BatchRequestError("No such id.", code="InvalidPropertyValue")
        account = PoolsInMemory({"etl": IDLE, "other": IDLE})
        poller = polled(account)

        async def refused(pool_id: str, select: Any) -> None:
            raise refusal

        account.find_pool_body = refused  # type: ignore[assignment, method-assign]
        bad, good = together(seen_idle(poller.watch("a b", 30)), seen_idle(poller.watch("etl", 30)))

        assert bad.__cause__ is refusal
        assert good == 1.0

    def test_a_slow_service_is_left_alone_for_as_long_as_it_took(self) -> None:
        account = PoolsInMemory({"etl": BOOTING}, delay=50.0)
        poller = polled(account)

        together(asyncio.wait_for(seen_idle(poller.watch("etl", 10)), 900))

        gaps = [later - sooner for sooner, later in zip(account.turns(), account.turns()[1:], strict=False)]
        assert all(gap >= 190 for gap in gaps)

    def test_a_deadline_is_held_though_the_service_does_not_answer(self) -> None:
        poller = polled(PoolsInMemory({"etl": BOOTING}, delay=1e6))

        [found] = together(seen_idle(poller.watch("etl", 30, lambda: 60 - now())))

        assert isinstance(found, WaitTimeoutError)
        assert "Pool 'etl' could not be read" in str(found)


class TestEnds:
    def test_a_wait_that_is_cancelled_harms_no_other_in_the_same_question(self) -> None:
        account = PoolsInMemory({"etl": IDLE}, delay=5.0)
        poller = polled(account)

        async def confirm() -> int:
            async with poller.watch("etl", 30) as watch:
                return len(await watch.once(None, partial(account.list_nodes, watch.subject_id, where=None)))

        async def scenario() -> None:
            first, second = asyncio.ensure_future(confirm()), asyncio.ensure_future(confirm())
            await at(13)  # in the middle of the list of nodes
            first.cancel()
            assert await second == 1

        run_virtually(scenario())
        assert account.questions() == ["get etl", "count named", "nodes of etl"]

    def test_the_last_one_ends_the_polling(self) -> None:
        account = PoolsInMemory({"etl": BOOTING}, delay=3.0)
        poller = polled(account)

        async def scenario() -> None:
            waits = [asyncio.ensure_future(seen_idle(poller.watch("etl", 30))) for _ in range(3)]
            await at(100)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            account.questions()
            await at(1000)

        run_virtually(scenario())
        assert account.questions() == []

    def test_a_thousand_waits_are_woken_a_few_at_a_time(self) -> None:
        account = PoolsInMemory({"etl": IDLE})
        poller = polled(account)
        rounds_of_the_loop = 0
        served: list[int] = []

        def count_a_round() -> None:
            nonlocal rounds_of_the_loop
            rounds_of_the_loop += 1
            if len(served) < 1000:
                asyncio.get_running_loop().call_soon(count_a_round)

        async def wait() -> None:
            async with poller.watch("etl", 30) as watch:
                await watch.reading()
                if not served:
                    count_a_round()
                served.append(rounds_of_the_loop)

        together(*(wait() for _ in range(1000)))

        assert max(Counter(served).values()) <= 100


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.floats(5, 60), st.floats(0, 500), st.floats(1, 500)),
        min_size=1,
        max_size=8,
    )
)
def test_all_waits_are_served_in_any_order_and_nothing_is_left(
    visits: list[tuple[int, float, float, float]],
) -> None:
    account = PoolsInMemory({f"p{number}": BOOTING for number in range(4)})
    poller = polled(account)

    async def visit(pool: int, interval: float, begin: float, span: float) -> int:
        await at(begin)
        looks = 0
        with contextlib.suppress(asyncio.TimeoutError):
            async with poller.watch(f"p{pool}", interval) as watch:
                while now() < begin + span:
                    await asyncio.wait_for(watch.reading(), 5)
                    looks += 1
                    await watch.until_woken(min(interval, begin + span - now()) + 1e-3)
        return looks

    found = together(*(visit(*visited) for visited in visits))

    assert all(looks >= 1 for looks in found)
    shortest = min(interval for _, interval, _, _ in visits)
    longest = max(begin + span for _, _, begin, span in visits)
    assert len(account.turns()) <= longest / (0.9 * shortest) + len(visits) + 1


def test_a_wait_that_slows_down_lets_the_account_be_read_less_often() -> None:
    account = PoolsInMemory({"etl": BOOTING})
    poller = polled(account)

    async def scenario() -> tuple[int, int]:
        async with poller.watch("etl", 10) as watch:
            await watch.reading()
            await at(101)
            often = len(account.questions())
            watch.interval = 1000
            await at(2001)
            return often, len(account.questions()) - often

    often, seldom = run_virtually(scenario())

    assert often >= 20
    assert seldom <= 8
