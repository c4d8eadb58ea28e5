"""How long a pool took to be of use, and what it has cost so far."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.core.pools.readiness.timeline import Timeline, timeline_of
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, StartTaskRun
from tests.unit.core.snapshots import node, pool

BEGAN = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def timeline_with(*nodes: NodeSnapshot, **changes: Any) -> Timeline:
    found = pool(created=BEGAN, allocation_state_since=at(60), **changes)
    return timeline_of(found, nodes, at(3600))


def test_the_way_of_a_pool_is_told_from_its_creation() -> None:
    idle = [node("idle", str(end), allocated=at(0), state_since=at(end)) for end in (90, 130)]

    assert timeline_with(*idle) == Timeline(60, 90, 130, 2.0)


def test_the_way_of_a_pool_is_told_from_the_request_where_that_is_known() -> None:
    found = pool(created=BEGAN, allocation_state_since=at(1060))

    assert timeline_of(found, [], at(3600), requested_at=at(1000)).to_steady == 60


@pytest.mark.parametrize(
    ("state", "start_task_ended", "expected"),
    [
        pytest.param("idle", None, 100, id="idle since"),
        pytest.param("idle", 80, 80, id="idle again after work"),
        pytest.param("idle", 120, 100, id="not waiting for its start task"),
        pytest.param("running", 80, 80, id="at work"),
        pytest.param("running", None, 70, id="at work, without a start task"),
        pytest.param("starting", 80, None, id="not there yet"),
    ],
)
def test_a_node_counts_from_when_it_could_first_work(
    state: str, start_task_ended: float | None, expected: float | None
) -> None:
    run = (
        None
        if start_task_ended is None
        else StartTaskRun("completed", "success", 0, None, at(start_task_ended))
    )
    one = node(state, state_since=at(100), last_boot=at(70), start_task=run)

    assert timeline_with(one).to_ready == expected


def test_what_the_service_does_not_tell_is_left_open() -> None:
    timeline = timeline_of(pool(allocation_state="resizing"), [node("idle")], at(3600))

    assert timeline == Timeline(None, None, None, 0.0)
    assert str(timeline) == "0 node-hours so far"


def test_clocks_that_differ_give_no_negative_times() -> None:
    assert timeline_with(node("idle", state_since=at(-5), allocated=at(7200))) == Timeline(60, 0, 0, 0)


def test_a_timeline_is_one_line_in_the_log() -> None:
    assert str(Timeline(60, 90, 130.5, 2.25)) == (
        "steady after 60 s, first node after 90 s, ready after 130.5 s, 2.25 node-hours so far"
    )
