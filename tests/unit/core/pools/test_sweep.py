"""Which pools may go: one table."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.core.instants import rest_instant
from airflow_provider_batchlinux.core.pool_metadata import (
    METADATA_PREFIX,
    handed_over,
    metadata_of,
    runs_in,
    with_taker,
)
from airflow_provider_batchlinux.core.pools.sweep import (
    node_hours_per_day,
    owned_pools,
    sweep_of,
    sweep_table,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
BEFORE, AFTER = rest_instant(NOW - timedelta(hours=3)), rest_instant(NOW + timedelta(hours=3))
RUN = {"dag_id": "etl", "run_id": "today"}


def body(*, state: str = "active", instance: str | None = "af", **marks: str) -> dict[str, Any]:
    marks = {**({"instance": instance} if instance else {}), **marks}
    metadata = [{"name": METADATA_PREFIX + name, "value": value} for name, value in marks.items()]
    return {
        "id": "etl",
        "state": state,
        "eTag": "0x1",
        "metadata": metadata,
        "currentDedicatedNodes": 2,
        "currentLowPriorityNodes": 1,
    }


@pytest.mark.parametrize(
    ("marks", "while_run_lives", "after_run"),
    [
        pytest.param({**RUN}, None, "run 'today' of Dag 'etl' is over", id="no end"),
        pytest.param({**RUN, "shared": "true"}, None, None, id="no end, shared with nobody knows whom"),
        pytest.param({**RUN, "shared": "true", "takers": "{"}, None, None, id="no end, takers unreadable"),
        pytest.param({**RUN, "shared": "true", "takers": "[1]"}, None, None, id="no end, takers senseless"),
        pytest.param(
            {**RUN, "shared": "true", "takers": '[["etl", "today"]]'},
            None,
            "run 'today' of Dag 'etl' is over",
            id="no end, shared within its run",
        ),
        pytest.param(
            {**RUN, "shared": "true", "takers": '[["etl", "tomorrow"]]'},
            None,
            "run 'tomorrow' of Dag 'etl' is over, as are 1 others that had it",
            id="no end, shared",
        ),
        pytest.param({**RUN, "kept": BEFORE}, None, None, id="no end, kept"),
        pytest.param({**RUN, "kept": BEFORE, "expires_at": AFTER}, None, None, id="kept, end to come"),
        pytest.param(
            {**RUN, "kept": BEFORE, "expires_at": BEFORE},
            "wanted until 2026-11-22 09:00 UTC",
            "wanted until 2026-11-22 09:00 UTC",
            id="kept, end passed",
        ),
        pytest.param({}, None, None, id="no end, no run"),
        pytest.param(
            {**RUN, "expires_at": BEFORE},
            "wanted until 2026-11-22 09:00 UTC",
            "wanted until 2026-11-22 09:00 UTC",
            id="end passed",
        ),
        pytest.param({**RUN, "expires_at": AFTER}, None, None, id="end to come"),
        pytest.param(
            {**RUN, "shared": "true", "expires_at": BEFORE},
            "wanted until 2026-11-22 09:00 UTC",
            "wanted until 2026-11-22 09:00 UTC",
            id="shared, end passed",
        ),
    ],
)
def test_a_pool_goes_for_a_reason_only(
    marks: dict[str, str], while_run_lives: str | None, after_run: str | None
) -> None:
    (pool,) = owned_pools([body(**marks)], "af")

    found = [sweep_of(pool, NOW, runs_are_over=over) for over in (False, True)]

    assert [sweep.reason if sweep else None for sweep in found] == [while_run_lives, after_run]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(body(instance="prod"), id="of another Airflow"),
        pytest.param(body(instance=None), id="of nobody known"),
        pytest.param(body(state="deleting"), id="being deleted"),
    ],
)
def test_a_pool_that_is_not_ours_to_delete_is_not_looked_at(other: dict[str, Any]) -> None:
    assert owned_pools([other], "af") == []


def test_what_a_pool_has_cost_since_its_end_is_told() -> None:
    (pool,) = owned_pools([body(**RUN, expires_at=BEFORE)], "af")
    sweep = sweep_of(pool, NOW, runs_are_over=False)
    assert sweep is not None

    assert sweep.to_dict() == {
        "pool_id": "etl",
        "reason": "wanted until 2026-11-22 09:00 UTC",
        "nodes": 3,
        "overdue_node_hours": 9.0,
    }
    assert sweep_table([sweep]).splitlines()[1].split()[:3] == ["etl", "3", "9"]


def test_what_is_saved_is_what_the_machines_of_now_would_cost_in_a_day() -> None:
    (pool,) = owned_pools([body(**RUN)], "af")
    sweep = sweep_of(pool, NOW, runs_are_over=True)
    assert sweep is not None

    assert node_hours_per_day([sweep, sweep]) == 2 * 24 * 3


def test_the_last_twenty_runs_that_took_a_pool_are_known() -> None:
    marks: dict[str, str] = metadata_of(body(**RUN))
    for number in (*range(30), 15):
        marks = with_taker(marks, {"dag_id": "etl", "run_id": f"run {number}"})

    assert runs_in(marks) == (("etl", "today"), *(("etl", f"run {number}") for number in _LAST))


_LAST = [*(number for number in range(10, 30) if number != 15), 15]


def test_runs_that_were_not_written_down_stay_unknown() -> None:
    marks = with_taker(metadata_of(body(**RUN, shared="true")), {"dag_id": "etl", "run_id": "tomorrow"})

    assert runs_in(marks) is None


def test_a_pool_that_changes_hands_keeps_whom_it_served() -> None:
    mine = metadata_of(body(dag_id="etl", run_id="tomorrow"))

    assert runs_in(handed_over(metadata_of(body(**RUN)), mine)) == (("etl", "tomorrow"), ("etl", "today"))
    assert handed_over(mine, mine) == mine
