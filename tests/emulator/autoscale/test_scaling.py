"""Pools that scale automatically, over the wire: enabled, evaluated, disabled, and at their interval."""

from __future__ import annotations

import time
from typing import Any

import pytest

POOL = "/pools/linux"
SLEEP = {"id": "task", "commandLine": "/bin/sleep 60"}


@pytest.fixture
def account(start: Any) -> Any:
    """Give a client of an emulator whose clock is moved by hand."""
    return start(clock="manual")


def test_enabling_is_answered_as_recorded(account: Any) -> None:
    _make_pool(account)

    assert (
        account.send("POST", f"{POOL}/enableautoscale", {"autoScaleFormula": "$TargetDedicatedNodes=2"})
        == 200
    )
    pool = account.send("GET", POOL)
    assert (pool["enableAutoScale"], pool["autoScaleFormula"]) == (True, "$TargetDedicatedNodes=2")
    assert pool["autoScaleEvaluationInterval"] == "PT15M"
    assert pool["targetDedicatedNodes"] == 2
    assert pool["autoScaleRun"] == {
        "timestamp": pool["lastModified"],
        "results": "$TargetDedicatedNodes=2;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue",
    }
    account.wait_for_nodes("linux", "idle", 2)


def test_a_pool_is_created_with_its_formula(account: Any) -> None:
    _make_pool(
        account, "$TargetDedicatedNodes=1;$TargetLowPriorityNodes=2", autoScaleEvaluationInterval="PT5M"
    )

    pool = account.send("GET", POOL)
    assert (pool["targetDedicatedNodes"], pool["targetLowPriorityNodes"]) == (1, 2)
    assert pool["autoScaleEvaluationInterval"] == "PT5M"
    account.wait_for_nodes("linux", "idle", 3)


def test_evaluating_is_answered_as_recorded_and_changes_nothing(account: Any) -> None:
    _make_pool(account, "$TargetDedicatedNodes=0")
    before = account.send("GET", POOL)

    run = account.send("POST", f"{POOL}/evaluateautoscale", {"autoScaleFormula": "$TargetLowPriorityNodes=3"})
    assert run.pop("odata.metadata").endswith("#Microsoft.Azure.Batch.Protocol.Entities.AutoScaleRun")
    assert run.pop("timestamp").endswith("Z")
    assert run == {
        "results": "$TargetDedicatedNodes=0;$TargetLowPriorityNodes=3;$NodeDeallocationOption=requeue"
    }
    assert account.send("GET", POOL)["targetLowPriorityNodes"] == before["targetLowPriorityNodes"] == 0


def test_a_formula_without_a_value_is_no_refusal(account: Any) -> None:
    _make_pool(account, "$TargetDedicatedNodes=1")

    run = account.send("POST", f"{POOL}/evaluateautoscale", {"autoScaleFormula": "$something_useless"})
    assert run["error"]["code"] == "AutoScalingFormulaEvaluationError"
    assert run["error"]["values"][0]["value"].startswith("Line 1, Col 1: ")
    assert run["results"] == (
        "$TargetDedicatedNodes=1;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue"
    )


def test_a_pool_whose_formula_fails_keeps_its_size_and_says_why(account: Any) -> None:
    _make_pool(account, "$TargetDedicatedNodes=min($PendingTasks.GetSample(TimeInterval_Hour, 50))")
    pool = account.send("GET", POOL)

    assert pool["autoScaleRun"]["error"]["code"] == "InsufficientSampleData"
    assert pool["targetDedicatedNodes"] == 0


def test_disabling_keeps_the_size_and_forgets_the_formula(account: Any) -> None:
    _make_pool(account, "$TargetDedicatedNodes=1", autoScaleEvaluationInterval="PT5M")
    account.wait_for_nodes("linux", "idle", 1)

    assert account.send("POST", f"{POOL}/disableautoscale") == 200
    account.emulator.control.advance(3600)
    pool = account.send("GET", POOL)
    assert pool["enableAutoScale"] is False
    assert not {"autoScaleFormula", "autoScaleEvaluationInterval", "autoScaleRun"} & set(pool)
    assert pool["targetDedicatedNodes"] == 1


def test_disabling_stops_a_resize_that_goes_on(start: Any) -> None:
    account = start(clock="manual", profile="realistic")
    _make_pool(account, "$TargetDedicatedNodes=1", wait=False)

    assert account.send("POST", f"{POOL}/disableautoscale") == 200
    assert account.send("GET", POOL)["allocationState"] == "stopping"


@pytest.mark.parametrize(
    ("action", "body"),
    [
        pytest.param("resize", {"targetDedicatedNodes": 2}, id="resize"),
        pytest.param("removenodes", {"nodeList": ["node"]}, id="remove nodes"),
    ],
)
def test_a_pool_that_scales_automatically_is_not_resized_by_hand(
    action: str, body: dict[str, Any], account: Any
) -> None:
    _make_pool(account, "$TargetDedicatedNodes=1")

    assert account.send("POST", f"{POOL}/{action}", body)["code"] == "OperationInvalidForCurrentState"


def test_a_pool_of_fixed_size_has_nothing_to_evaluate(account: Any) -> None:
    _make_pool(account)

    answer = account.send(
        "POST", f"{POOL}/evaluateautoscale", {"autoScaleFormula": "$TargetDedicatedNodes=1"}
    )
    assert answer["code"] == "OperationInvalidForCurrentState"


def test_enabling_waits_for_a_resize_by_hand(start: Any) -> None:
    account = start(clock="manual", profile="realistic")
    account.create_pool()

    answer = account.send("POST", f"{POOL}/enableautoscale", {"autoScaleFormula": "$TargetDedicatedNodes=1"})
    assert answer["code"] == "PoolBeingResized"


def test_enabling_twice_takes_half_a_minute(account: Any) -> None:
    _make_pool(account)
    enable = {"autoScaleFormula": "$TargetDedicatedNodes=1"}
    account.send("POST", f"{POOL}/enableautoscale", enable)

    account.emulator.control.advance(29)
    assert account.send("POST", f"{POOL}/enableautoscale", enable)["code"] == "TooManyEnableAutoScaleRequests"
    account.emulator.control.advance(1)
    assert account.send("POST", f"{POOL}/enableautoscale", enable) == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({}, "InvalidAutoScalingSettings", id="nothing"),
        pytest.param({"autoScaleEvaluationInterval": "PT5M"}, "InvalidAutoScalingSettings", id="no formula"),
        pytest.param(
            {"autoScaleFormula": "$x =", "autoScaleEvaluationInterval": "PT5M"},
            "AutoScalingFormulaSyntaxError",
            id="syntax",
        ),
        pytest.param({"autoScaleFormula": "x=1;" * 2049}, "AutoScaleFormulaTooLong", id="8196 characters"),
        pytest.param(
            {"autoScaleFormula": "x=1", "autoScaleEvaluationInterval": "PT4M59S"},
            "InvalidPropertyValue",
            id="under five minutes",
        ),
        pytest.param(
            {"autoScaleFormula": "x=1", "autoScaleEvaluationInterval": "PT168H1S"},
            "InvalidPropertyValue",
            id="over a week",
        ),
        pytest.param({"formula": "x=1"}, "InvalidRequestBody", id="unknown property"),
    ],
)
def test_wrong_settings_are_refused_and_change_nothing(body: dict[str, Any], code: str, account: Any) -> None:
    _make_pool(account)

    assert account.send("POST", f"{POOL}/enableautoscale", body)["code"] == code
    assert account.send("GET", POOL)["enableAutoScale"] is False


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"enableAutoScale": True}, id="no formula"),
        pytest.param({"autoScaleFormula": "x=1"}, id="a formula that is not enabled"),
        pytest.param(
            {"enableAutoScale": True, "autoScaleFormula": "x=1", "targetDedicatedNodes": 1}, id="both"
        ),
    ],
)
def test_a_new_pool_has_targets_or_a_formula(settings: dict[str, Any], account: Any) -> None:
    pool = {key: value for key, value in _description().items() if key not in settings} | settings

    assert account.send("POST", "/pools", pool)["code"] == "InvalidAutoScalingSettings"


def test_a_changed_formula_keeps_the_interval(account: Any) -> None:
    _make_pool(account, "$TargetDedicatedNodes=1", autoScaleEvaluationInterval="PT5M")

    account.send("POST", f"{POOL}/enableautoscale", {"autoScaleFormula": "$TargetDedicatedNodes=2"})
    pool = account.send("GET", POOL)
    assert (pool["autoScaleEvaluationInterval"], pool["targetDedicatedNodes"]) == ("PT5M", 2)


def test_the_formula_is_evaluated_at_every_interval_and_not_before(account: Any) -> None:
    _make_pool(account, "$TargetDedicatedNodes=$TargetDedicatedNodes+1", autoScaleEvaluationInterval="PT5M")
    account.wait_for_nodes("linux", "idle", 1)

    account.emulator.control.advance(299)
    assert account.send("GET", POOL)["targetDedicatedNodes"] == 1
    account.emulator.control.advance(1)
    account.wait_for_nodes("linux", "idle", 2)
    account.emulator.control.advance(300)
    account.wait_for_nodes("linux", "idle", 3)


def test_waiting_tasks_bring_nodes_and_their_end_takes_them_away(account: Any) -> None:
    formula = "$TargetDedicatedNodes=min(2, max(0, $PendingTasks.GetSample(1)))"
    _make_pool(account, formula, autoScaleEvaluationInterval="PT5M")
    _add_tasks(account, 3)

    account.emulator.control.advance(300)
    account.wait_for_nodes("linux", "running", 2)
    assert account.send("DELETE", "/jobs/job") == 202
    _wait(lambda: account.states()[1:], ["idle", "idle"])
    account.emulator.control.advance(300)
    _wait(account.states, ["steady"])


def test_tasks_and_nodes_are_counted_by_their_states(account: Any) -> None:
    _make_busy_pool(account)
    _add_tasks(account, 2, first=1)
    tasks, nodes = (
        ("ActiveTasks", "PendingTasks", "RunningTasks"),
        ("CurrentDedicatedNodes", "UsableNodeCount"),
    )
    names = (*tasks, *nodes, "CPUPercent")
    formula = ";".join(f"{name[0].lower()}{name[1:]} = ${name}" for name in names)

    run = account.send("POST", f"{POOL}/evaluateautoscale", {"autoScaleFormula": formula})
    assert run["results"].split(";")[3:] == [
        "$activeTasks=2",
        "$cPUPercent=100",
        "$currentDedicatedNodes=1",
        "$pendingTasks=3",
        "$runningTasks=1",
        "$usableNodeCount=1",
    ]


def test_nodes_that_did_not_come_are_asked_for_again_at_the_next_interval(account: Any) -> None:
    account.emulator.control.resize_error("linux", "AllocationFailed", "No capacity.")
    _make_pool(account, "$TargetDedicatedNodes=2", autoScaleEvaluationInterval="PT5M")
    assert account.states() == ["steady"]
    assert account.send("GET", POOL)["resizeErrors"][0]["code"] == "AllocationFailed"

    account.emulator.control.advance(300)
    account.wait_for_nodes("linux", "idle", 2)
    assert "resizeErrors" not in account.send("GET", POOL)


def test_samples_reach_formulas_a_minute_after_they_were_taken(start: Any) -> None:
    account = start(clock="manual", profile="realistic")
    _make_pool(account, "$TargetDedicatedNodes=0", wait=False)
    formula = "p=$PendingTasks.GetSamplePercent(TimeInterval_Minute * 3); n=$PendingTasks.Count()"
    percent = {"autoScaleFormula": formula}

    found = []
    for _ in range(4):
        found.append(account.send("POST", f"{POOL}/evaluateautoscale", percent)["results"].split(";")[3:])
        account.emulator.control.advance(60)
    assert found == [
        ["$n=0", "$p=0"],
        ["$n=0", "$p=0"],
        ["$n=2", "$p=33.3333333333333"],
        ["$n=4", "$p=66.6666666666667"],
    ]


@pytest.mark.parametrize(
    ("option", "state", "result"),
    [
        pytest.param("requeue", "active", None, id="requeue"),
        pytest.param("terminate", "completed", "failure", id="terminate"),
    ],
)
def test_shrinking_does_to_running_tasks_what_the_formula_says(
    option: str, state: str, result: str | None, account: Any
) -> None:
    _make_busy_pool(account)

    _scale_to_zero(account, option)
    _wait(account.states, ["steady"])
    task = account.send("GET", "/jobs/job/tasks/task0")
    assert (task["state"], task["executionInfo"].get("result")) == (state, result)


@pytest.mark.parametrize("option", ["taskcompletion", "retaineddata"])
def test_shrinking_can_wait_for_running_tasks_and_starts_no_other(option: str, account: Any) -> None:
    _make_busy_pool(account, taskSlotsPerNode=2)

    _scale_to_zero(account, option)
    _add_tasks(account, 1, first=1)
    assert account.states() == ["resizing", "running"]
    assert account.send("POST", "/jobs/job/tasks/task0/terminate") == 204
    _wait(account.states, ["steady"])
    assert account.send("GET", "/jobs/job/tasks/task1")["state"] == "active"


def test_a_stopped_resize_keeps_the_nodes_that_waited_for_their_tasks(account: Any) -> None:
    _make_busy_pool(account)
    _scale_to_zero(account, "taskcompletion")

    assert account.send("POST", f"{POOL}/disableautoscale") == 200
    _wait(account.states, ["steady", "running"])
    account.send("POST", "/jobs/job/tasks/task0/terminate")
    _wait(account.states, ["steady", "idle"])


def test_other_targets_take_the_place_of_those_of_a_resize(start: Any) -> None:
    account = start(clock="manual", profile="realistic")
    _make_pool(account, "$TargetDedicatedNodes=2", wait=False)

    account.emulator.control.advance(30)
    account.send("POST", f"{POOL}/enableautoscale", {"autoScaleFormula": "$TargetDedicatedNodes=1"})
    account.emulator.control.advance(30)
    assert account.states() == ["resizing"]
    account.emulator.control.advance(1)
    assert account.states() == ["steady", "creating"]


def test_a_pool_of_the_same_id_does_not_inherit_the_schedule(account: Any) -> None:
    formula = "$TargetDedicatedNodes=$TargetDedicatedNodes+1"
    _make_pool(account, formula, autoScaleEvaluationInterval="PT5M")
    account.emulator.control.advance(200)
    account.send("DELETE", POOL)
    _wait(lambda: account.send("GET", POOL).get("code"), "PoolNotFound")

    _make_pool(account, formula, autoScaleEvaluationInterval="PT5M")
    account.emulator.control.advance(299)
    assert account.send("GET", POOL)["targetDedicatedNodes"] == 1
    account.emulator.control.advance(1)
    assert account.send("GET", POOL)["targetDedicatedNodes"] == 2


def _description() -> dict[str, Any]:
    reference = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
    machine = {"imageReference": reference, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
    return {"id": "linux", "vmSize": "standard_d2s_v5", "virtualMachineConfiguration": machine}


def _make_pool(account: Any, formula: str | None = None, *, wait: bool = True, **more: Any) -> None:
    scaling = {} if formula is None else {"enableAutoScale": True, "autoScaleFormula": formula}
    assert account.send("POST", "/pools", {**_description(), **scaling, **more}) == 201
    if wait:
        _wait(lambda: account.send("GET", POOL)["allocationState"], "steady")


def _make_busy_pool(account: Any, **more: Any) -> None:
    _make_pool(account, "$TargetDedicatedNodes=1", **more)
    account.wait_for_nodes("linux", "idle")
    _add_tasks(account, 1)
    account.wait_for_nodes("linux", "running")


def _add_tasks(account: Any, number: int, first: int = 0) -> None:
    if not first:
        assert account.send("POST", "/jobs", {"id": "job", "poolInfo": {"poolId": "linux"}}) == 201
    for task in range(first, first + number):
        assert account.send("POST", "/jobs/job/tasks", {**SLEEP, "id": f"task{task}"}) == 201


def _scale_to_zero(account: Any, option: str) -> None:
    formula = f"$TargetDedicatedNodes=0;$NodeDeallocationOption={option}"
    assert account.send("POST", f"{POOL}/enableautoscale", {"autoScaleFormula": formula}) == 200


def _wait(read: Any, expected: Any) -> None:
    deadline = time.monotonic() + 10
    while (found := read()) != expected:
        assert time.monotonic() < deadline, found
