"""Formulas that people really use, from documentation and from clients of the service."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.emulator.autoscale import evaluate

PENDING_WITH_START = """
startingNumberOfVMs = 1;
maxNumberofVMs = 25;
pendingTaskSamplePercent = $PendingTasks.GetSamplePercent(180 * TimeInterval_Second);
pendingTaskSamples = pendingTaskSamplePercent < 70
    ? startingNumberOfVMs : avg($PendingTasks.GetSample(180 * TimeInterval_Second));
$TargetDedicatedNodes = min(maxNumberofVMs, pendingTaskSamples);
$NodeDeallocationOption = taskcompletion;
"""
WORKING_HOURS = """
$curTime = time();
$workHours = $curTime.hour >= 8 && $curTime.hour < 18;
$isWeekday = $curTime.weekday >= 1 && $curTime.weekday <= 5;
$isWorkingWeekdayHour = $workHours && $isWeekday;
$TargetDedicatedNodes = $isWorkingWeekdayHour ? 20:10;
"""
PREEMPTED_REPLACED = """
maxNumberofVMs = 25;
$TargetDedicatedNodes = min(maxNumberofVMs, $PreemptedNodeCount.GetSample(180 * TimeInterval_Second));
$TargetLowPriorityNodes = min(maxNumberofVMs , maxNumberofVMs - $TargetDedicatedNodes);
"""
LAST_OR_AVERAGE = """
// Fewer than 70 percent of the samples: the last one counts alone.
$samples = $PendingTasks.GetSamplePercent(TimeInterval_Minute * 15);
$tasks = $samples < 70 ? max(0, $PendingTasks.GetSample(1))
    : max( $PendingTasks.GetSample(1), avg($PendingTasks.GetSample(TimeInterval_Minute * 15)));
$targetVMs = $tasks > 0 ? $tasks : max(0, $TargetDedicatedNodes/2);
$TargetDedicatedNodes = max(0, min($targetVMs, 20));
"""
FIXED_AT_FIRST = """
$TargetDedicatedNodes = 4;
lifespan = time() - time("Mon, 23 Nov 2026 09:00:00 GMT");
span = TimeInterval_Minute * 60;
startup = TimeInterval_Minute * 10;
ratio = 50;
$TargetDedicatedNodes = (lifespan > startup ?
    (max($RunningTasks.GetSample(span, ratio), $ActiveTasks.GetSample(span, ratio)) == 0
        ? 0 : $TargetDedicatedNodes) : 4);
"""
BUSY_GROWS = """
$totalDedicatedNodes = (min($CPUPercent.GetSample(TimeInterval_Minute * 10)) > 70) ?
    ($CurrentDedicatedNodes * 1.1) : $CurrentDedicatedNodes;
$TargetDedicatedNodes = min(400, $totalDedicatedNodes)
"""
SLOTS = """
$pct = $ActiveTasks.GetSamplePercent(TimeInterval_Minute * 15);
$queued = $pct < 70 ? max(0, $ActiveTasks.GetSample(1))
    : avg($ActiveTasks.GetSample(TimeInterval_Minute * 15));
$TargetDedicatedNodes = max(2, min(100, ceil($queued / $TaskSlotsPerNode)));
"""
SPOT_FIRST = """
wanted = max(0, $PendingTasks.GetSample(1));
$TargetLowPriorityNodes = min(10, wanted);
$TargetDedicatedNodes = $PreemptedNodeCount > 0 ? min(2, wanted) : 0;
$NodeDeallocationOption = requeue;
"""
SCALE_TO_ZERO = "$TargetDedicatedNodes = max(0, $PendingTasks.GetSample(1)) > 0 ? 3 : 0;"
QUEUE_OF_ONE = """
$maxComputeNodeLimit=1;$minCapacity = 0;
$LastSampledActiveTasks =$ActiveTasks.GetSample(1);$LastSampledRunningTasks =$RunningTasks.GetSample(1);
$RunningAndWaiting = max($LastSampledActiveTasks, 0) + max($LastSampledRunningTasks, 0);
$needcompute =$RunningAndWaiting >= 1;
$nodesToAllocate =$RunningAndWaiting >$maxComputeNodeLimit ?$maxComputeNodeLimit:$RunningAndWaiting;
$TargetDedicated =$needcompute ?$nodesToAllocate:$minCapacity;
"""


@pytest.mark.parametrize(
    ("formula", "facts", "targets"),
    [
        pytest.param("$TargetDedicatedNodes=3", {}, (3, 0), id="a constant"),
        pytest.param(PENDING_WITH_START, {}, (1, 0), id="pending, before there are samples"),
        pytest.param(PENDING_WITH_START, {"samples": 4, "PendingTasks": 9}, (1, 0), id="pending, 66 %"),
        pytest.param(PENDING_WITH_START, {"samples": 6, "PendingTasks": 9}, (9, 0), id="pending, 100 %"),
        pytest.param(PENDING_WITH_START, {"samples": 6, "PendingTasks": 99}, (25, 0), id="pending, capped"),
        pytest.param(PENDING_WITH_START, {"samples": 6}, (0, 0), id="pending, to zero"),
        pytest.param(WORKING_HOURS, {}, (20, 0), id="Monday at half past nine"),
        pytest.param(PREEMPTED_REPLACED, {}, (25, 0), id="preempted, before there are samples"),
        pytest.param(
            PREEMPTED_REPLACED, {"samples": 6, "PreemptedNodeCount": 4}, (4, 21), id="preempted are replaced"
        ),
        pytest.param(LAST_OR_AVERAGE, {"dedicated": 8}, (4, 0), id="nothing to do: half of it"),
        pytest.param(LAST_OR_AVERAGE, {"samples": 1, "PendingTasks": 7}, (7, 0), id="the last sample"),
        pytest.param(LAST_OR_AVERAGE, {"samples": 40, "PendingTasks": 30}, (20, 0), id="the average, capped"),
        pytest.param(FIXED_AT_FIRST, {"samples": 120}, (0, 0), id="after its start, without tasks"),
        pytest.param(FIXED_AT_FIRST, {"samples": 120, "ActiveTasks": 1}, (4, 0), id="after it, with tasks"),
        pytest.param(
            BUSY_GROWS, {"samples": 20, "CPUPercent": 90, "CurrentDedicatedNodes": 20}, (22, 0), id="busy"
        ),
        pytest.param(
            BUSY_GROWS, {"samples": 20, "CPUPercent": 10, "CurrentDedicatedNodes": 20}, (20, 0), id="calm"
        ),
        pytest.param(SLOTS, {"samples": 1, "ActiveTasks": 9, "TaskSlotsPerNode": 4}, (3, 0), id="slots"),
        pytest.param(SPOT_FIRST, {"samples": 1, "PendingTasks": 6}, (0, 6), id="spot"),
        pytest.param(
            SPOT_FIRST,
            {"samples": 1, "PendingTasks": 6, "PreemptedNodeCount": 1},
            (2, 6),
            id="spot with dedicated fallback",
        ),
        pytest.param(SCALE_TO_ZERO, {"samples": 1, "PendingTasks": 1, "dedicated": 3}, (3, 0), id="kept up"),
        pytest.param(SCALE_TO_ZERO, {"samples": 1, "dedicated": 3}, (0, 0), id="scaled to zero"),
        pytest.param(QUEUE_OF_ONE, {"samples": 1, "ActiveTasks": 3}, (1, 0), id="a queue for one node"),
        pytest.param(QUEUE_OF_ONE, {}, (0, 0), id="an empty queue for one node"),
    ],
)
def test_a_formula_scales_as_its_author_means(
    formula: str, facts: dict[str, float], targets: tuple[int, int], scene: Any
) -> None:
    found = evaluate(formula, scene(**facts))

    assert (found.dedicated, found.spot) == targets


@pytest.mark.parametrize(
    ("now", "nodes"),
    [
        pytest.param(datetime(2026, 11, 23, 8, tzinfo=timezone.utc), 20, id="Monday at eight"),
        pytest.param(datetime(2026, 11, 23, 18, tzinfo=timezone.utc), 10, id="Monday at six"),
        pytest.param(datetime(2026, 11, 28, 12, tzinfo=timezone.utc), 10, id="Saturday"),
        pytest.param(datetime(2026, 11, 29, 12, tzinfo=timezone.utc), 10, id="Sunday"),
    ],
)
def test_working_hours_are_told_from_the_time(now: datetime, nodes: int, scene: Any) -> None:
    assert evaluate(WORKING_HOURS, scene(now=now)).dedicated == nodes


def test_a_pool_keeps_its_first_size_while_it_starts(scene: Any) -> None:
    now = datetime(2026, 11, 23, 9, 0, tzinfo=timezone.utc) + timedelta(minutes=9)

    assert evaluate(FIXED_AT_FIRST, scene(now=now)).dedicated == 4
