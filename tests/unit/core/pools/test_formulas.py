"""Ready-made formulas do what their names say, by the evaluator of the embedded service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.pools.formulas import (
    by_pending_tasks,
    by_working_hours,
    zero_when_idle,
)
from airflow_provider_batchlinux.core.pools.validation.rules import formula_problems
from airflow_provider_batchlinux.emulator.autoscale import Scene, evaluate
from airflow_provider_batchlinux.emulator.autoscale.metrics import Sample

MONDAY_MORNING = datetime(2026, 11, 23, 9, 30, tzinfo=timezone.utc)
COUNTS = st.integers(0, 50)


def scene(
    pending: Sequence[float] = (), *, dedicated: int = 0, spot: int = 0, now: datetime = MONDAY_MORNING
) -> Scene:
    """Make a scene with the numbers of pending tasks, one each 30 seconds, the last of them now."""
    ages = reversed(range(len(pending)))
    samples = [
        Sample(now - timedelta(seconds=30 * age), {"$PendingTasks": float(count)})
        for age, count in zip(ages, pending, strict=True)
    ]
    current = {"$PendingTasks": float(pending[-1]) if pending else 0.0}
    return Scene(now, dedicated, spot, current, samples, lambda: 0.5)


def targets(formula: str, *args: Any, **options: Any) -> tuple[int, int]:
    found = evaluate(formula, scene(*args, **options))
    return found.dedicated, found.spot


@pytest.mark.parametrize(
    ("options", "pending", "wanted"),
    [
        pytest.param({"max_dedicated": 10}, [6] * 20, (6, 0), id="one for each task"),
        pytest.param({"max_dedicated": 10}, [60] * 20, (10, 0), id="not more than the most"),
        pytest.param(
            {"max_dedicated": 10, "min_dedicated": 2}, [0] * 20, (2, 0), id="not fewer than the least"
        ),
        pytest.param(
            {"max_dedicated": 10, "task_slots_per_node": 4}, [9] * 20, (3, 0), id="slots are filled"
        ),
        pytest.param({"max_dedicated": 2, "max_spot": 10}, [6] * 20, (2, 4), id="spot takes the rest"),
        pytest.param({"max_spot": 10}, [6] * 20, (0, 6), id="spot only"),
        pytest.param({"max_dedicated": 10}, [3], (3, 0), id="a new pool uses its last sample"),
        pytest.param({"max_dedicated": 10}, [9, 0], (0, 0), id="few samples make no mean"),
        pytest.param({"max_dedicated": 10}, [0] * 19 + [8], (8, 0), id="a burst is met at once"),
    ],
)
def test_pending_tasks_get_their_nodes(
    options: dict[str, Any], pending: list[float], wanted: tuple[int, int]
) -> None:
    assert targets(by_pending_tasks(**options), pending) == wanted


@given(COUNTS, COUNTS, COUNTS, st.integers(1, 8), st.lists(st.integers(0, 500), min_size=1, max_size=12))
def test_pending_tasks_never_bring_more_or_fewer_nodes_than_allowed(
    most: int, spot: int, least: int, slots: int, pending: list[float]
) -> None:
    bounds: dict[str, Any] = {"max_dedicated": most + least + 1, "min_dedicated": least, "max_spot": spot}
    found = targets(by_pending_tasks(**bounds, task_slots_per_node=slots), pending)

    assert least <= found[0] <= most + least + 1
    assert 0 <= found[1] <= spot
    assert sum(found) >= min(pending[-1] / slots, most + least + 1 + spot)


@pytest.mark.parametrize(
    ("now", "options", "wanted"),
    [
        pytest.param(MONDAY_MORNING, {}, (4, 2), id="at work"),
        pytest.param(MONDAY_MORNING.replace(hour=7), {}, (1, 0), id="before work"),
        pytest.param(MONDAY_MORNING.replace(hour=18), {}, (1, 0), id="after work"),
        pytest.param(MONDAY_MORNING - timedelta(days=1), {}, (1, 0), id="on Sunday"),
        pytest.param(
            MONDAY_MORNING - timedelta(days=1), {"days": ["Sunday"]}, (4, 2), id="who works on Sunday"
        ),
        pytest.param(MONDAY_MORNING.replace(hour=7), {"utc_offset_hours": 1}, (4, 2), id="further east"),
        pytest.param(
            MONDAY_MORNING.replace(hour=2), {"utc_offset_hours": -5.5}, (1, 0), id="still Sunday there"
        ),
    ],
)
def test_working_hours_have_their_nodes(
    now: datetime, options: dict[str, Any], wanted: tuple[int, int]
) -> None:
    formula = by_working_hours(dedicated=4, spot=2, off_dedicated=1, **options)

    assert targets(formula, now=now) == wanted


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)), st.integers(0, 23), st.integers(-12, 14))
def test_working_hours_are_those_of_the_calendar(instant: datetime, first: int, offset: int) -> None:
    formula = by_working_hours(spot=1, first_hour=first, last_hour=24, utc_offset_hours=offset)
    there = instant + timedelta(hours=offset)
    at_work = there.weekday() < 5 and there.hour >= first

    assert targets(formula, now=instant.replace(tzinfo=timezone.utc)) == (0, int(at_work))


@pytest.mark.parametrize(
    ("pending", "now", "wanted"),
    [
        pytest.param([0] * 30, (3, 2), (0, 0), id="idle long enough"),
        pytest.param([5] + [0] * 20, (3, 2), (3, 2), id="idle for less"),
        pytest.param([0] * 29 + [1], (0, 0), (3, 2), id="work comes"),
        pytest.param([0] * 5, (3, 2), (3, 2), id="too few samples to tell"),
        pytest.param([], (3, 2), (3, 2), id="a new pool keeps its size"),
    ],
)
def test_a_pool_goes_to_zero_only_when_idle(
    pending: list[float], now: tuple[int, int], wanted: tuple[int, int]
) -> None:
    formula = zero_when_idle(dedicated=3, spot=2, idle_minutes=12)

    assert targets(formula, pending, dedicated=now[0], spot=now[1]) == wanted


@given(COUNTS, COUNTS, st.lists(st.integers(0, 3), max_size=40), COUNTS, COUNTS)
def test_a_pool_has_its_size_none_or_what_it_had(
    dedicated: int, spot: int, pending: list[float], had_dedicated: int, had_spot: int
) -> None:
    formula = zero_when_idle(dedicated=dedicated + 1, spot=spot)
    found = targets(formula, pending, dedicated=had_dedicated, spot=had_spot)

    assert found in {(dedicated + 1, spot), (0, 0), (had_dedicated, had_spot)}
    if pending and pending[-1]:
        assert found == (dedicated + 1, spot)


READY_MADE: list[Callable[..., str]] = [
    lambda **option: by_pending_tasks(max_spot=1, **option),
    lambda **option: by_working_hours(spot=1, **option),
    lambda **option: zero_when_idle(spot=1, **option),
]


@pytest.mark.parametrize("make", READY_MADE, ids=["pending", "hours", "idle"])
@pytest.mark.parametrize("option", ["taskcompletion", "requeue", "terminate"])
def test_running_tasks_are_treated_as_asked(make: Callable[..., str], option: str) -> None:
    formula = make(deallocation=option)

    assert evaluate(formula, scene([1])).deallocation == option
    assert formula_problems(formula) == []


@pytest.mark.parametrize("make", READY_MADE, ids=["pending", "hours", "idle"])
def test_running_tasks_are_left_alone_unless_asked(make: Callable[..., str]) -> None:
    assert evaluate(make(), scene([1])).deallocation == "taskcompletion"


@pytest.mark.parametrize(
    ("make", "options", "problems"),
    [
        pytest.param(by_pending_tasks, {}, ["would never have a node"], id="no node"),
        pytest.param(
            by_pending_tasks,
            {"max_spot": 1, "min_spot": 2},
            ["min_spot=2 is more than max_spot=1"],
            id="bounds",
        ),
        pytest.param(
            by_pending_tasks,
            {"max_dedicated": 1.5, "task_slots_per_node": 0, "window_minutes": -1, "deallocation": "now"},
            ["max_dedicated=1.5", "task_slots_per_node=0", "window_minutes=-1", "deallocation='now'"],
            id="all at once",
        ),
        pytest.param(
            by_working_hours,
            {"spot": 1, "first_hour": 20, "last_hour": 8, "days": ["caturday"], "utc_offset_hours": 15},
            ["first_hour=20", "days=['caturday']", "utc_offset_hours=15"],
            id="hours",
        ),
        pytest.param(
            zero_when_idle,
            {"dedicated": -1, "idle_minutes": 0},
            ["dedicated=-1", "idle_minutes=0"],
            id="idle",
        ),
    ],
)
def test_arguments_that_make_no_sense_are_named(
    make: Callable[..., str], options: dict[str, Any], problems: list[str]
) -> None:
    with pytest.raises(ValueError, match=problems[0].split("=")[0]) as failure:
        make(**options)

    lines = str(failure.value).splitlines()
    assert len(lines) == len(problems)
    assert all(problem in line for problem, line in zip(problems, lines, strict=True))


@pytest.mark.parametrize(
    ("formula", "problem"),
    [
        pytest.param("$TargetDedicatedNodes == 1;", "sets neither", id="a comparison is no assignment"),
        pytest.param("// $TargetDedicatedNodes = 1;", "sets neither", id="only in a comment"),
        pytest.param("$TargetDedicatedNodes = max(1, 2;", "has an unmatched '('", id="open"),
        pytest.param("$TargetDedicatedNodes = 1);", "has an unmatched ')'", id="closed too often"),
        pytest.param('$TargetDedicatedNodes = time("Mon;', "has an unterminated string", id="half a text"),
        pytest.param(
            "$TargetDedicatedNodes = 1;" + "x = 1;" * 100, "has 101 statements", id="too many statements"
        ),
        pytest.param("$TargetDedicatedNodes = 1;" + " " * 8192, "has 8218 characters", id="too long"),
    ],
)
def test_a_form_that_cannot_be_right_is_named(formula: str, problem: str) -> None:
    assert any(problem in found for found in formula_problems(formula))


def test_brackets_and_semicolons_in_texts_and_comments_do_not_count() -> None:
    assert formula_problems('/* ( */ t = time("(;"); // )\n$TargetLowPriorityNodes = 1') == []
