"""Whatever is sent as a formula: it has a value or is refused as a formula, nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator.autoscale import FormulaError, Scene, Targets, evaluate
from airflow_provider_batchlinux.emulator.autoscale.evaluator import DEALLOCATION_OPTIONS
from airflow_provider_batchlinux.emulator.autoscale.functions import FUNCTIONS
from airflow_provider_batchlinux.emulator.autoscale.metrics import Sample

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=timezone.utc)
VALUES = {"$PendingTasks": 3.0, "$PreemptedNodeCount": 0.0}
SCENE = Scene(
    NOW, 2, 1, VALUES, [Sample(NOW - timedelta(seconds=30 * back), VALUES) for back in (2, 1, 0)], lambda: 0.5
)

ATOMS = st.one_of(
    st.integers(0, 400).map(str),
    st.floats(0, allow_nan=False, allow_infinity=False).map(str),
    st.sampled_from(
        [
            "$PendingTasks",
            "$TargetDedicatedNodes",
            "$TargetDedicated",
            "x",
            "$y",
            "TimeInterval_Hour",
            "TimeInterval_Year",
            "requeue",
            '"2026-11-23"',
            '"0001-01-01T00:00:00+14:00"',
            "time()",
            "[]",
        ]
    ),
)
NAMES = st.sampled_from([*FUNCTIONS, "time", "rand", "stop", "unknown"])
METHODS = st.sampled_from(["GetSample", "GetSamplePercent", "Count", "HistoryBeginTime", "Nothing"])
SYMBOLS = st.sampled_from(["+", "-", "*", "/", "<", "<=", "==", ">=", ">", "!=", "&&", "||"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    items = st.lists(inner, max_size=3).map(",".join)
    return st.one_of(
        st.tuples(inner, SYMBOLS, inner).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(st.sampled_from("-!"), inner).map("".join),
        st.tuples(inner, inner, inner).map(lambda parts: "({} ? {} : {})".format(*parts)),
        st.tuples(NAMES, items).map(lambda parts: "{}({})".format(*parts)),
        st.tuples(inner, METHODS, items).map(lambda parts: "{}.{}({})".format(*parts)),
        st.tuples(inner, st.sampled_from(["hour", "weekday", "era"])).map(".".join),
        items.map(lambda found: f"[{found}]"),
    )


EXPRESSIONS = st.recursive(ATOMS, _grown, max_leaves=12)
TARGETS = st.sampled_from(
    ["x", "$y", "$TargetDedicatedNodes", "$TargetLowPriority", "$NodeDeallocationOption", "$PendingTasks"]
)
STATEMENTS = st.one_of(EXPRESSIONS, st.tuples(TARGETS, EXPRESSIONS).map(" = ".join))
FORMULAS = st.lists(STATEMENTS, max_size=6).map(";".join)


@given(st.one_of(st.text(), st.text("$xTime.()[]?:;,=<>!&|+-*/\"' 019e\n")))
@example("/*/*" * 2000)
@example("a" + ".b" * 4000)
@example("1?" * 4000)
@example("[" * 4000)
@example('a=time("' + "9" * 5000 + '")')
@example("x=" + "9" * 5000)
def test_any_text_has_a_value_or_is_refused(text: str) -> None:
    _check(text)


@settings(max_examples=100)
@given(FORMULAS)
def test_any_formula_has_a_value_or_is_refused(formula: str) -> None:
    _check(formula)


@settings(max_examples=50)
@given(FORMULAS)
def test_a_formula_has_the_same_value_each_time(formula: str) -> None:
    assert _outcome(formula) == _outcome(formula)


@given(EXPRESSIONS)
def test_blanks_and_comments_change_no_value(expression: str) -> None:
    spread = f"// first\n x  =\n\t{expression} /* last */ ;"

    assert _outcome(spread).partition(": ")[2] == _outcome(f"x={expression}").partition(": ")[2]


def _outcome(formula: str) -> str:
    try:
        return f"value: {evaluate(formula, SCENE)}"
    except FormulaError as error:
        return f"{error.code} {error.detail}"


def _check(formula: str) -> None:
    """Let anything but a value and the refusal of a formula fail the test."""
    try:
        targets = evaluate(formula, SCENE)
    except FormulaError:
        return
    assert isinstance(targets, Targets)
    assert 0 <= targets.dedicated < 2**31
    assert 0 <= targets.spot < 2**31
    assert targets.deallocation in DEALLOCATION_OPTIONS
    assert str(targets).startswith("$TargetDedicatedNodes=")
