"""Every kind reads what templates, XComs and native rendering make of its values, and refuses the rest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from numbers import Integral
from typing import Any, cast

import pendulum
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.instants import instant_of
from airflow_provider_batchlinux.core.parameters.kinds import (
    CountOrShare,
    PositiveCount,
    Seconds,
    Text,
    count_of,
    count_or_share_of,
    decoded,
    environment_of,
    flag_of,
    hide_environment,
    required_text_of,
    seconds_of_duration,
    text_of,
    whole_number_of,
)
from airflow_provider_batchlinux.core.parameters.reader import Request, read_request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@Integral.register
class OfNumpy:
    """A whole number as numpy has it: registered as a number, and not an ``int``."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __int__(self) -> int:
        return self._number


def test_numbers_of_other_libraries_are_read_as_those_of_python() -> None:
    @dataclass(frozen=True)
    class Numbers(Request):
        count: PositiveCount
        limit: Seconds
        names: tuple[Text, ...]
        share: CountOrShare

    three = cast("Any", OfNumpy(3))
    given = {"count": three, "limit": three, "names": [three], "share": three}

    assert read_request(Numbers, given) == Numbers(3, 3.0, ("3",), 3)


@given(number=st.integers(-(10**6), 10**6))
@pytest.mark.parametrize("form", [int, str, float, Decimal, lambda n: f" {n} ", lambda n: f"{n}.0"])
def test_a_whole_number_is_read_in_every_form(form: Any, number: int) -> None:
    assert whole_number_of(form(number)) == number
    assert count_of(form(number)) == (number if number >= 0 else None)


@pytest.mark.parametrize("value", [True, "3.5", 3.5, "", "None", "three", None, [3], float("nan"), "٣"])
def test_what_is_no_whole_number_is_not_read(value: object) -> None:
    assert whole_number_of(value) is None


@given(seconds=st.integers(1, 10**8))
def test_a_duration_is_read_in_every_form(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    forms = [seconds, float(seconds), span, pendulum.duration(seconds=seconds), str(seconds), str(span)]

    assert {seconds_of_duration(form) for form in [*forms, f"PT{seconds}S"]} == {float(seconds)}


@pytest.mark.parametrize(
    "value", [0, -1, "0", float("inf"), "nan", "soon", "", None, True, timedelta(0), [1]]
)
def test_what_is_no_duration_above_zero_is_not_read(value: object) -> None:
    assert seconds_of_duration(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "2030-01-01T10:00:00+02:00",
        "2030-01-01T10:00+02:00",
        "2030-01-01T08:00:00Z",
        "2030-01-01 08:00:00+00:00",
        datetime(2030, 1, 1, 8, tzinfo=timezone.utc),
        pendulum.datetime(2030, 1, 1, 10, tz="Africa/Johannesburg"),
    ],
)
def test_an_instant_is_read_in_every_form(value: object) -> None:
    assert instant_of(value) == datetime(2030, 1, 1, 8, tzinfo=timezone.utc)


def test_a_day_is_its_midnight_in_utc() -> None:
    for value in ("2030-01-01", date(2030, 1, 1), pendulum.date(2030, 1, 1)):
        assert instant_of(value) == datetime(2030, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize("value", ["2030-01-01T10:00:00", "tomorrow", "", 5, None, datetime(2030, 1, 1)])
def test_an_instant_needs_a_time_zone(value: object) -> None:
    assert instant_of(value) is None


@pytest.mark.parametrize(
    ("value", "read"),
    [(True, True), ("true", True), ("False", False), (1, True), ("0", False), ("yes", True), ("maybe", None)],
)
def test_a_flag_is_read_from_text(value: object, read: bool | None) -> None:
    assert flag_of(value) is read


@pytest.mark.parametrize(("value", "read"), [(5, 5), ("5", 5), ("5%", "5%"), (" 5 % ", "5 %"), ("-1", None)])
def test_a_share_is_text_with_a_percent_sign(value: object, read: object) -> None:
    assert count_or_share_of(value) == read


@pytest.mark.parametrize("value", [-1, True, None, 1.5, "-5%", "101%", "many", ""])
def test_any_other_share_is_not_read(value: object) -> None:
    assert count_or_share_of(value) is None


@pytest.mark.parametrize(("value", "read"), [(20260101, "20260101"), ("a", "a"), (1.5, "1.5"), (True, None)])
def test_a_number_in_the_place_of_text_is_its_text(value: object, read: str | None) -> None:
    assert text_of(value) == read


@pytest.mark.parametrize("value", [None, "", " ", "None", [], {}])
def test_required_text_is_not_what_a_template_makes_of_nothing(value: object) -> None:
    assert required_text_of(value) is None


@settings(max_examples=25)
@given(value=st.lists(JSON, max_size=4) | st.dictionaries(st.text(), JSON, max_size=4))
def test_lists_and_mappings_are_read_from_their_text(value: object) -> None:
    assert decoded(json.dumps(value)) == value
    assert decoded(repr(value)) == value


@given(text=st.text())
def test_text_that_is_no_list_or_mapping_stays_text(text: str) -> None:
    assert decoded(text) == text or text.strip()[0] in "[{("


def test_a_variable_of_none_is_left_out_and_a_number_is_its_text() -> None:
    assert environment_of({"A": None, "B": 1, "C": "", "D": True}) == {"B": "1", "C": "", "D": "True"}


@pytest.mark.parametrize("value", ["A=1", ["A"], {"A": ["x"]}, {"A": {"b": "c"}}])
def test_an_environment_is_a_mapping_of_names_to_text(value: object) -> None:
    assert environment_of(value) is None


def test_the_values_of_an_environment_are_hidden_but_not_masked_elsewhere() -> None:
    secrets: set[str] = set()

    assert hide_environment("{'MODE': 'nightly'}", secrets) == {"MODE": "***"}
    assert not secrets
