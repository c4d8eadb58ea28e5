"""The language of formulas: what has which value, and what is refused how."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_batchlinux.emulator.autoscale import FormulaError, evaluate
from airflow_provider_batchlinux.emulator.autoscale.metrics import Sample

SYNTAX = "AutoScalingFormulaSyntaxError"
EVALUATION = "AutoScalingFormulaEvaluationError"
SAMPLES = "InsufficientSampleData"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 4 - 3", "3"),
        ("-2 * -3", "6"),
        ("7 / 2", "3.5"),
        ("1 / 0", "Infinity"),
        ("-1 / 0", "-Infinity"),
        ("0 / 0", "NaN"),
        (".5 + 1e2", "100.5"),
        ("1 < 2 && 2 <= 2", "1"),
        ("1 > 2 || 3 != 3", "0"),
        ("0 && nowhere", "0"),
        ("1 || nowhere", "1"),
        ("!0 + !5", "1"),
        ("1 ? 2 : nowhere", "2"),
        ("0 ? nowhere : 0 ? 4 : 5", "5"),
        ('"abc" < "abd"', "1"),
        ("'text'", "text"),
        ("[1, 2, 3] * 2", "[2,4,6]"),
        ("[1, 2] + [3, 4]", "[4,6]"),
        ("time()", "2026-11-23T09:30:05.250Z"),
        ('time("Mon, 23 Nov 2026 09:00:00 GMT")', "2026-11-23T09:00:00.000Z"),
        ('time("2026-11-23T10:00:00+01:00")', "2026-11-23T09:00:00.000Z"),
        ('time("2026-11")', "2026-11-01T00:00:00.000Z"),
        ("time() + 2 * TimeInterval_Hour", "2026-11-23T11:30:05.250Z"),
        ("time() - TimeInterval_Day", "2026-11-22T09:30:05.250Z"),
        ('time() - time("2026-11-22T08:00:00Z")', "1.01:30:05.2500000"),
        ("-(TimeInterval_Minute * 90) / 2", "-00:45:00"),
        ("TimeInterval_100ns * 3", "00:00:00.0000003"),
        ("TimeInterval_Week == 7 * TimeInterval_Day", "1"),
        ("time().hour * 100 + time().minute", "930"),
        ("time().year - time().month - time().day - time().second", "1987"),
        ("time().weekday", "1"),
        ('time("2026-11-22T08:00:00Z").weekday', "0"),
    ],
)
def test_an_expression_has_a_value(expression: str, value: str, scene: Any) -> None:
    assert _variable(expression, scene()) == value


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("avg([1, 2, 3], 6)", "3"),
        ("min(4, [2, 9])", "2"),
        ("max(4, [2, 9])", "9"),
        ("max(0, [])", "0"),
        ("sum([1, 2], 3)", "6"),
        ("sum()", "0"),
        ("len([1, 2], 3)", "3"),
        ("std(2, 4, 4, 4, 5, 5, 7, 9)", "2.1380899352994"),
        ("norm(3, 4)", "5"),
        ("range(3, 9, 4)", "6"),
        ("percentile([40, 10, 30, 20], 50)", "20"),
        ("percentile([40, 10, 30, 20], 100)", "40"),
        ("val([5, 6, 7], 1)", "6"),
        ("lg(8)", "3"),
        ("lg(vec(8))", "[3]"),
        ("ln(ex(1))", "1"),
        ("log([10, 100])", "[1,2]"),
        ("log(0)", "-Infinity"),
        ("log(-1)", "NaN"),
        ("ex(1000)", "Infinity"),
        ("floor(2.7) + ceil(2.2)", "5"),
        ("round([1.4, 1.6])", "[1,2]"),
        ("floor(1 / 0)", "Infinity"),
        ("rand()", "0.25"),
    ],
)
def test_a_function_has_a_value(call: str, value: str, scene: Any) -> None:
    assert _variable(call, scene()) == value


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("$PendingTasks", "4"),
        ("$PendingTasks * 2 > 7", "1"),
        ("$PendingTasks.GetSample(1)", "[4]"),
        ("$PendingTasks.GetSample(3)", "[4,4,4]"),
        ("len($PendingTasks.GetSample(99))", "10"),
        ("len($PendingTasks.GetSample(2 * TimeInterval_Minute))", "4"),
        ("len($PendingTasks.GetSample(1 * TimeInterval_Minute, 3 * TimeInterval_Minute))", "4"),
        ("len($PendingTasks.GetSample(time() - TimeInterval_Minute))", "2"),
        ("len($PendingTasks.GetSample(10 * TimeInterval_Minute, 50))", "10"),
        ("$PendingTasks.GetSamplePercent(5 * TimeInterval_Minute)", "100"),
        ("$PendingTasks.GetSamplePercent(10 * TimeInterval_Minute)", "50"),
        ("$PendingTasks.GetSamplePercent(0 * TimeInterval_Hour, 10 * TimeInterval_Minute)", "50"),
        ("$PendingTasks.GetSamplePeriod()", "00:00:30"),
        ("$PendingTasks.Count()", "10"),
        ("$PendingTasks.HistoryBeginTime()", "2026-11-23T09:25:35.250Z"),
    ],
)
def test_a_metric_gives_its_samples(call: str, value: str, scene: Any) -> None:
    assert _variable(call, scene(samples=10, PendingTasks=4)) == value


def test_the_newest_sample_is_the_one_that_get_sample_gives(scene: Any) -> None:
    given = scene(samples=2, PendingTasks=4)
    newer = Sample(given.now, {**given.current, "$PendingTasks": 9.0})
    given = replace(given, samples=[*given.samples, newer], now=given.now + timedelta(seconds=30))

    assert _variable("$PendingTasks.GetSample(1)", given) == "[9]"


def test_comments_and_line_breaks_are_skipped(scene: Any) -> None:
    formula = "// how many\nnodes = 3; /* here; too */\n\n$TargetDedicatedNodes =\n nodes;;"

    assert evaluate(formula, scene()).dedicated == 3


def test_a_variable_is_the_same_with_and_without_its_dollar(scene: Any) -> None:
    assert evaluate("$nodes = 2; $TargetDedicatedNodes = nodes + 1", scene()).dedicated == 3


def test_targets_that_a_formula_does_not_set_stay(scene: Any) -> None:
    targets = evaluate("$TargetLowPriorityNodes = $TargetLowPriorityNodes + 1", scene(dedicated=4, spot=2))

    assert (targets.dedicated, targets.spot, targets.deallocation) == (4, 3, "requeue")


@pytest.mark.parametrize(
    ("formula", "dedicated"),
    [
        pytest.param("$TargetDedicated = 2", 2, id="the alias counts"),
        pytest.param("$TargetDedicatedNodes = 3; $TargetDedicated = 2", 3, id="the full name wins"),
        pytest.param("$TargetDedicatedNodes = 2.9", 2, id="fractions are cut off"),
        pytest.param("$TargetDedicatedNodes = 0 - 3", 0, id="less than none is none"),
        pytest.param("$TargetDedicatedNodes = -1 / 0", 0, id="however much less"),
        pytest.param("$TargetDedicatedNodes = 1; stop(); $TargetDedicatedNodes = 5", 1, id="stop"),
    ],
)
def test_a_target_becomes_a_number_of_nodes(formula: str, dedicated: int, scene: Any) -> None:
    assert evaluate(formula, scene()).dedicated == dedicated


def test_results_are_written_as_recorded(scene: Any) -> None:
    formula = "$workHours = 1; $curTime = time(); $TargetDedicatedNodes = 10"

    assert str(evaluate(formula, scene())) == (
        "$TargetDedicatedNodes=10;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;"
        "$curTime=2026-11-23T09:30:05.250Z;$workHours=1"
    )


@pytest.mark.parametrize(
    ("formula", "code", "place"),
    [
        pytest.param("$TargetDedicatedNodes = ", SYNTAX, "Line 1, Col 25", id="nothing assigned"),
        pytest.param("a = 1;\nb = (2", SYNTAX, "Line 2, Col 7", id="open parenthesis"),
        pytest.param("a = 1 b = 2", SYNTAX, "Line 1, Col 7", id="no semicolon"),
        pytest.param("a = #", SYNTAX, "Line 1, Col 5", id="no token"),
        pytest.param("a = 1; /* open", SYNTAX, "Line 1, Col 8", id="open comment"),
        pytest.param('a = "open', SYNTAX, "Line 1, Col 5", id="open string"),
        pytest.param("a = time().(1)", SYNTAX, "Line 1, Col 12", id="no member"),
        pytest.param("a = " + "(" * 5000, SYNTAX, "Line 1, Col", id="nested too deeply"),
        pytest.param("a = " + "-" * 5000 + "1", SYNTAX, "Line 1, Col", id="too many signs"),
        pytest.param("a=1;" * 101, SYNTAX, "Line 1, Col 401", id="101 statements"),
        pytest.param("$something_useless", EVALUATION, "Line 1, Col 1", id="unknown variable"),
        pytest.param("a = foo(1)", EVALUATION, "Line 1, Col 5", id="unknown function"),
        pytest.param("a = $PendingTasks.Get(1)", EVALUATION, "Line 1, Col 22", id="unknown method"),
        pytest.param("a = (1).GetSample(1)", EVALUATION, "Line 1, Col 18", id="method of a number"),
        pytest.param("a = time().week", EVALUATION, "Line 1, Col 12", id="unknown member"),
        pytest.param('a = 1 + "x"', EVALUATION, "Line 1, Col 7", id="wrong types"),
        pytest.param("a = [1] + [1, 2]", EVALUATION, "Line 1, Col 9", id="vectors of two lengths"),
        pytest.param("a = avg()", EVALUATION, "Line 1, Col 5", id="average of nothing"),
        pytest.param("a = avg($PendingTasks.GetSample(1))", EVALUATION, "Line 1, Col 5", id="no sample yet"),
        pytest.param("a = val([1], 1)", EVALUATION, "Line 1, Col 5", id="beyond the vector"),
        pytest.param('a = time("soon")', EVALUATION, "Line 1, Col 5", id="no time"),
        pytest.param("a = time() + 9e9 * TimeInterval_Year", EVALUATION, "Line 1, Col 12", id="end of time"),
        pytest.param("$PendingTasks = 1", EVALUATION, "Line 1, Col 1", id="read-only"),
        pytest.param("TimeInterval_Day = 1", EVALUATION, "Line 1, Col 1", id="constant"),
        pytest.param("$TargetDedicatedNodes = [1]", EVALUATION, "Line 1, Col 1", id="a vector of nodes"),
        pytest.param("$TargetDedicatedNodes = 1/0", EVALUATION, "Line 1, Col 1", id="endless nodes"),
        pytest.param("$NodeDeallocationOption = 1", EVALUATION, "Line 1, Col 1", id="no such option"),
        pytest.param("a = vec(1);" + "a = vec(a, a);" * 20, EVALUATION, "Line 1, Col", id="endless vector"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(formula: str, code: str, place: str, scene: Any) -> None:
    with pytest.raises(FormulaError) as refusal:
        evaluate(formula, scene())

    assert refusal.value.code == code
    assert refusal.value.detail.startswith(place)


def test_missing_samples_are_told_in_the_words_of_the_service(scene: Any) -> None:
    with pytest.raises(FormulaError) as refusal:
        evaluate("span = TimeInterval_Minute;\na = $RunningTasks.GetSample(span * 10, 70)", scene(samples=2))

    assert refusal.value.code == SAMPLES
    assert refusal.value.detail == (
        "Line 2, Col 28: Insufficient data from data set: $RunningTasks wanted 70%, received 10%"
    )


def test_a_hundred_statements_and_long_sums_are_fine(scene: Any) -> None:
    assert evaluate("a=1;" * 100, scene()).dedicated == 0
    assert _variable("1" + "+1" * 4000, scene()) == "4001"


def _variable(expression: str, scene: Any) -> str:
    variables = evaluate(f"x = {expression}", scene).variables
    assert variables is not None
    return variables["$x"]
