"""A benchmark that misses a limit says so, to people and to programs; the others stay as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.result import Limit, Result, as_table, write_json


def result(value: float) -> Result:
    return Result(value, "requests", None, None, limits=(Limit("requests", value, at_most=3),))


@pytest.mark.parametrize(
    ("limit", "is_met"),
    [
        pytest.param(Limit("requests", 3, at_most=3), True, id="as many as may be"),
        pytest.param(Limit("requests", 4, at_most=3), False, id="too many"),
        pytest.param(Limit("times", 100, at_least=100), True, id="as few as may be"),
        pytest.param(Limit("times", 99, at_least=100), False, id="too few"),
    ],
)
def test_a_limit_is_met_up_to_its_number(limit: Limit, is_met: bool) -> None:
    assert limit.is_met is is_met


def test_the_table_shows_which_limits_are_met() -> None:
    unlimited = Result(1, "s", None, None, "as little as can be")
    shown = as_table({"good": result(2), "bad": result(4), "free": unlimited}).splitlines()

    assert [line.split()[-1] for line in shown[1:]] == ["met", "missed", "-"]


def test_a_missed_limit_is_told_with_what_was_measured() -> None:
    assert (result(2).missed, result(4).missed) == ([], ["requests at most 3: it is 4"])


def test_the_file_has_limits_as_data_and_keeps_other_benchmarks(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text('{"other": {"value": 7}, "ours": {"value": 9}}')

    write_json({"ours": result(4)}, file)

    written = json.loads(file.read_text())
    assert written["other"] == {"value": 7}
    assert written["ours"]["value"] == 4
    assert written["ours"]["limits"] == [
        {"what": "requests", "value": 4, "at_most": 3, "at_least": None, "met": False}
    ]
