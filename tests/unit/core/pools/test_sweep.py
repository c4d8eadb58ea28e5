"""Which pools the sweeper deletes: one table."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.core.instants import rest_instant
from airflow_provider_batchlinux.core.pool_metadata import (
    MAX_HOLDERS,
    METADATA_PREFIX,
    Holder,
    PoolMarks,
    handed_over,
    metadata_of,
    rest_metadata,
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


def body(*, state: str = "active", installation: str | None = "af", **marks: str) -> dict[str, Any]:
    marks = {**({"installation": installation} if installation else {}), **marks}
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
        pytest.param({**RUN}, None, "run 'today' of Dag 'etl' has ended", id="no expiry"),
        pytest.param({**RUN, "shared": "true"}, None, None, id="no expiry, shared with unknown runs"),
        pytest.param({**RUN, "shared": "true", "takers": "{"}, None, None, id="no expiry, takers unreadable"),
        pytest.param(
            {**RUN, "shared": "true", "takers": "[1]"}, None, None, id="no expiry, malformed takers"
        ),
        pytest.param(
            {**RUN, "shared": "true", "takers": '[["etl", "today"]]'},
            None,
            "run 'today' of Dag 'etl' has ended",
            id="no expiry, shared within its run",
        ),
        pytest.param(
            {**RUN, "shared": "true", "takers": '[["etl", "tomorrow"]]'},
            None,
            "run 'tomorrow' of Dag 'etl' has ended, as has 1 earlier run",
            id="no expiry, shared",
        ),
        pytest.param({**RUN, "kept": BEFORE}, None, None, id="no expiry, kept"),
        pytest.param({**RUN, "kept": BEFORE, "expires_at": AFTER}, None, None, id="kept, not expired yet"),
        pytest.param(
            {**RUN, "kept": BEFORE, "expires_at": BEFORE},
            "expired at 2026-11-22 09:00 UTC",
            "expired at 2026-11-22 09:00 UTC",
            id="kept, expired",
        ),
        pytest.param({**RUN, "kept_until": AFTER}, None, None, id="kept after a failure"),
        pytest.param(
            {**RUN, "kept_until": BEFORE},
            None,
            "run 'today' of Dag 'etl' has ended",
            id="kept after a failure for long enough",
        ),
        pytest.param({}, None, None, id="no expiry, no run"),
        pytest.param(
            {**RUN, "expires_at": BEFORE},
            "expired at 2026-11-22 09:00 UTC",
            "expired at 2026-11-22 09:00 UTC",
            id="expired",
        ),
        pytest.param({**RUN, "expires_at": AFTER}, None, None, id="not expired yet"),
        pytest.param(
            {**RUN, "shared": "true", "expires_at": BEFORE},
            "expired at 2026-11-22 09:00 UTC",
            "expired at 2026-11-22 09:00 UTC",
            id="shared, expired",
        ),
    ],
)
def test_a_pool_is_deleted_only_for_a_reason(
    marks: dict[str, str], while_run_lives: str | None, after_run: str | None
) -> None:
    (pool,) = owned_pools([body(**marks)], ["af"])

    found = [sweep_of(pool, NOW, runs_have_ended=over) for over in (False, True)]

    assert [sweep.reason if sweep else None for sweep in found] == [while_run_lives, after_run]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(body(installation="prod"), id="of another Airflow"),
        pytest.param(body(installation=None), id="without an owner"),
        pytest.param(body(state="deleting"), id="being deleted"),
    ],
)
def test_pools_of_others_are_ignored(other: dict[str, Any]) -> None:
    assert owned_pools([other], ["af"]) == []


def test_overdue_node_hours_count_from_the_expiry() -> None:
    (pool,) = owned_pools([body(**RUN, expires_at=BEFORE)], ["af"])
    sweep = sweep_of(pool, NOW, runs_have_ended=False)
    assert sweep is not None

    assert sweep.to_dict() == {
        "pool_id": "etl",
        "reason": "expired at 2026-11-22 09:00 UTC",
        "nodes": 3,
        "overdue_node_hours": 9.0,
    }
    assert sweep_table([sweep]).splitlines()[1].split()[:3] == ["etl", "3", "9"]


def test_the_saving_is_what_the_current_nodes_use_in_a_day() -> None:
    (pool,) = owned_pools([body(**RUN)], ["af"])
    sweep = sweep_of(pool, NOW, runs_have_ended=True)
    assert sweep is not None

    assert node_hours_per_day([sweep, sweep]) == 2 * 24 * 3


def holder(run_id: str) -> Holder:
    return Holder("etl", run_id, "af")


def test_a_pool_that_every_run_has_released_is_deleted() -> None:
    released = PoolMarks.of(body(**RUN)).released_by(holder("today")).to_metadata()

    (pool,) = owned_pools([{**body(), "metadata": rest_metadata(released)}], ["af"])

    sweep = sweep_of(pool, NOW, runs_have_ended=True)
    assert sweep is not None
    assert sweep.reason == "no Dag run uses it any more"


def test_more_runs_than_can_be_listed_are_not_forgotten() -> None:
    marks = PoolMarks.of(body(**RUN))
    for number in (*range(MAX_HOLDERS - 1), 3):
        marks = PoolMarks.read(marks.held_by(holder(f"run {number}")).to_metadata())
        assert marks.runs is not None
    listed = marks.runs

    marks = PoolMarks.read(marks.held_by(holder("one more")).to_metadata())

    assert marks.runs is None
    assert marks.all_holders == listed
    assert PoolMarks.read(marks.released_by(holder("today")).to_metadata()).runs is None


def test_as_many_runs_as_an_earlier_release_listed_may_have_been_more() -> None:
    takers = json.dumps([["etl", f"run {number}"] for number in range(MAX_HOLDERS)])

    assert PoolMarks.of(body(**RUN, shared="true", takers=takers)).runs is None


def test_runs_that_were_not_written_down_stay_unknown() -> None:
    marks = PoolMarks.of(body(**RUN, shared="true")).held_by(holder("tomorrow"))

    assert marks.runs is None
    assert PoolMarks.read(marks.to_metadata()).runs is None


def test_a_pool_that_changes_hands_keeps_whom_it_served() -> None:
    mine = metadata_of(body(dag_id="etl", run_id="tomorrow"))

    handed = PoolMarks.read(handed_over(metadata_of(body(**RUN)), mine))

    assert handed.runs == (holder("today"), holder("tomorrow"))
    assert handed.creator == holder("tomorrow")
    again = handed.to_metadata()
    assert handed_over(again, mine) == again
