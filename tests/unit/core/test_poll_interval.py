"""How long the poller waits before its next turn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.poll_interval import is_turning, next_interval, rest_after
from airflow_provider_batchlinux.core.snapshots import PoolSnapshot

SECONDS = st.floats(0.01, 3600)


def pool(current: int, *, state: str = "active", target: int = 4) -> PoolSnapshot:
    body: dict[str, Any] = {
        "id": "etl",
        "state": state,
        "allocationState": "steady",
        "targetDedicatedNodes": target,
        "currentDedicatedNodes": current,
    }
    return PoolSnapshot.from_rest(body)


@pytest.mark.parametrize(
    ("seen", "idle", "turning"),
    [
        pytest.param(pool(4), 1, True, id="the first of its nodes is idle"),
        pytest.param(pool(4), 3, True, id="the last one is missing"),
        pytest.param(pool(4), 4, False, id="all are idle"),
        pytest.param(pool(4), 0, False, id="none is idle"),
        pytest.param(pool(3), 1, False, id="nodes are still to come"),
        pytest.param(pool(4, state="deleting"), 1, False, id="being deleted"),
        pytest.param(None, 1, False, id="gone"),
    ],
)
def test_a_pool_is_about_to_turn_when_all_nodes_are_there_and_some_are_idle(
    seen: PoolSnapshot | None, idle: int, turning: bool
) -> None:
    assert is_turning(seen, {"idle": idle}) is turning


@pytest.mark.parametrize(
    ("asked", "turning", "chosen"),
    [
        pytest.param(30, [False, False], 30, id="as asked"),
        pytest.param(30, [True, False], 15, id="one is about to turn"),
        pytest.param(8, [True], 5, id="one is about to turn, but not faster than 5 s"),
        pytest.param(2, [True], 2, id="never slower for being about to turn"),
    ],
)
def test_the_interval_follows_the_pools(asked: float, turning: list[bool], chosen: float) -> None:
    assert next_interval(asked, turning) == chosen


@given(SECONDS, st.lists(st.booleans()))
def test_no_wait_is_longer_than_the_requested_interval(asked: float, turning: list[bool]) -> None:
    assert asked / 2 <= next_interval(asked, turning) <= asked


@given(SECONDS, SECONDS)
def test_the_service_rests_at_least_as_long_as_it_worked(interval: float, took: float) -> None:
    rest = rest_after(interval, took)

    assert rest >= took
    assert took + rest == pytest.approx(max(interval, 2 * took))
