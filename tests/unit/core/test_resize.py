"""What comes next in a resize: one table."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.core.pool_state import PoolSnapshot
from airflow_provider_batchlinux.core.resize import ResizeSpec, ResizeStep, next_step, shortfall

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
        pytest.param(pool(1, 1, "resizing"), False, WAIT, id="somebody else resizes"),
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
    wrong = ResizeSpec(dedicated_nodes=-1, resize_timeout=1, running_tasks="kill")

    assert [problem.split("=")[0].split(" ")[0] for problem in wrong.problems()] == [
        "dedicated_nodes",
        "running_tasks",
        "resize_timeout",
    ]
    assert ResizeSpec().problems() == ["dedicated_nodes and spot_nodes are both None; give at least one."]
