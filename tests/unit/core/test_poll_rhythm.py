"""How long the poller waits before its next turn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.poll_rhythm import is_far, is_turning, next_interval, rest_after
from airflow_provider_batchlinux.core.pool_state import PoolSnapshot

SECONDS = st.floats(0.01, 3600)


def pool(current: int, *, state: str = "active", allocation: str = "steady", target: int = 4) -> PoolSnapshot:
    body: dict[str, Any] = {
        "id": "etl",
        "state": state,
        "allocationState": allocation,
        "targetDedicatedNodes": target,
        "currentDedicatedNodes": current,
    }
    return PoolSnapshot.from_rest(body)


@pytest.mark.parametrize(
    ("seen", "far"),
    [
        pytest.param(pool(0, allocation="resizing"), True, id="allocated, without nodes"),
        pytest.param(pool(1, allocation="resizing"), False, id="with nodes already"),
        pytest.param(pool(0), False, id="steady without nodes"),
        pytest.param(pool(0, allocation="resizing", target=0), False, id="shrinking to nothing"),
        pytest.param(pool(0, state="deleting", allocation="resizing"), False, id="being deleted"),
        pytest.param(None, False, id="gone"),
    ],
)
def test_a_pool_is_far_while_it_is_only_being_allocated(seen: PoolSnapshot | None, far: bool) -> None:
    assert is_far(seen) is far


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
    ("asked", "far", "turning", "chosen"),
    [
        pytest.param(30, [False, True], [False, False], 30, id="as asked"),
        pytest.param(20, [True, True], [False, False], 40, id="all are far"),
        pytest.param(40, [True], [False], 60, id="all are far, but not slower than a minute"),
        pytest.param(300, [True], [False], 300, id="never faster for being far"),
        pytest.param(30, [False, True], [True, False], 15, id="one is about to turn"),
        pytest.param(8, [False], [True], 5, id="one is about to turn, but not faster than 5 s"),
        pytest.param(2, [False], [True], 2, id="never slower for being about to turn"),
    ],
)
def test_the_interval_follows_the_pools(
    asked: float, far: list[bool], turning: list[bool], chosen: float
) -> None:
    assert next_interval(asked, far=far, turning=turning) == chosen


@given(SECONDS, st.lists(st.booleans(), min_size=1), st.lists(st.booleans(), min_size=1))
def test_the_interval_stays_within_half_and_double_of_what_was_asked(
    asked: float, far: list[bool], turning: list[bool]
) -> None:
    assert asked / 2 <= next_interval(asked, far=far, turning=turning) <= asked * 2


@given(SECONDS, SECONDS)
def test_the_service_rests_at_least_as_long_as_it_worked(interval: float, took: float) -> None:
    rest = rest_after(interval, took)

    assert rest >= took
    assert took + rest == pytest.approx(max(interval, 2 * took))
