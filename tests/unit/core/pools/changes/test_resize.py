"""What comes next in a resize: one table."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.core.pools.changes.resize import (
    ResizeRequest,
    ResizeSpec,
    ResizeStep,
    began_at,
    next_step,
    shortfall,
)
from airflow_provider_batchlinux.core.snapshots import PoolSnapshot

ASK, WAIT, DONE, SHORT = ResizeStep.ASK, ResizeStep.WAIT, ResizeStep.DONE, ResizeStep.SHORT


def pool(current: int, target: int, allocation: str = "steady", **more: Any) -> PoolSnapshot:
    body = {
        "id": "etl",
        "state": "active",
        "allocationState": allocation,
        "currentDedicatedNodes": current,
        "targetDedicatedNodes": target,
        **more,
    }
    return PoolSnapshot.from_rest(body)


@pytest.mark.parametrize(
    ("found", "asked", "step"),
    [
        pytest.param(pool(1, 1), False, ASK, id="another size"),
        pytest.param(pool(2, 2), False, DONE, id="the size already"),
        pytest.param(pool(1, 2), False, ASK, id="the target, short since an earlier resize"),
        pytest.param(pool(1, 1, "resizing"), False, WAIT, id="another client resizes"),
        pytest.param(pool(1, 2, "resizing"), True, WAIT, id="ours runs"),
        pytest.param(pool(1, 2, "stopping"), True, WAIT, id="ours is stopped"),
        pytest.param(pool(2, 2), True, DONE, id="ours is done"),
        pytest.param(pool(1, 2), True, SHORT, id="ours got less"),
        pytest.param(pool(3, 3), True, SHORT, id="another came after ours"),
    ],
)
def test_each_pool_has_its_next_step(found: PoolSnapshot, asked: bool, step: ResizeStep) -> None:
    assert next_step(ResizeSpec(dedicated_nodes=2), found, asked=asked) is step


def test_fewer_nodes_do_when_that_is_said() -> None:
    assert next_step(ResizeSpec(2, accept_partial=True), pool(1, 2), asked=True) is DONE


def test_a_number_that_is_not_given_is_sent_as_it_is() -> None:
    found = pool(1, 1, targetLowPriorityNodes=4)

    assert ResizeSpec(dedicated_nodes=2, resize_timeout=600).to_rest(found) == {
        "targetDedicatedNodes": 2,
        "targetLowPriorityNodes": 4,
        "nodeDeallocationOption": "requeue",
        "resizeTimeout": "PT600S",
    }


def test_a_shortfall_tells_the_cause_and_the_remedy() -> None:
    error = {"code": "AccountCoreQuotaReached", "message": "No more cores."}

    said = shortfall(ResizeSpec(2), pool(1, 2, resizeErrors=[error]))

    assert "1 of 2 dedicated" in said
    assert "AccountCoreQuotaReached: No more cores. Remedy: ask for a higher dedicated core quota" in said


def test_all_problems_are_told_at_once() -> None:
    wrong = ResizeSpec(resize_timeout=1)

    assert wrong.problems() == [
        "dedicated_nodes and spot_nodes are both None; give at least one.",
        "resize_timeout is 1 s; the minimum is 300 s.",
    ]


BEGAN, LATER = "2026-01-02T03:04:05.1234567Z", "2026-01-02T03:14:05Z"
OURS = ResizeRequest(asked=True, requested_at="2026-01-02T03:04:05.123456Z")


def changing(target: int = 2, allocation: str = "resizing", since: str | None = BEGAN) -> PoolSnapshot:
    return pool(1, target, allocation, allocationStateTransitionTime=since)


@pytest.mark.parametrize(
    ("of", "found", "ours"),
    [
        pytest.param(OURS, changing(), True, id="ours"),
        pytest.param(ResizeRequest(asked=True), changing(), True, id="ours, its instant not read yet"),
        pytest.param(ResizeRequest(), changing(), False, id="not asked"),
        pytest.param(OURS, changing(allocation="stopping"), False, id="stopped already"),
        pytest.param(OURS, changing(allocation="steady"), False, id="over"),
        pytest.param(OURS, changing(target=3), False, id="to another size"),
        pytest.param(OURS, changing(since=LATER), False, id="begun later"),
        pytest.param(OURS, changing(since=None), False, id="begun at an unknown time"),
    ],
)
def test_a_pool_resizes_for_one_request(of: ResizeRequest, found: PoolSnapshot, ours: bool) -> None:
    assert of.is_under_way(ResizeSpec(dedicated_nodes=2), found) is ours


def test_a_resize_has_begun_when_the_pool_began_to_resize() -> None:
    assert began_at(changing()) == OURS.requested_at


def test_a_resize_that_is_over_at_once_has_begun_when_the_pool_was_changed() -> None:
    found = pool(2, 2, allocationStateTransitionTime=LATER, lastModified=BEGAN)

    assert began_at(found) == OURS.requested_at


def test_a_service_that_names_no_instant_leaves_none() -> None:
    assert began_at(pool(1, 2, "resizing")) is None
