"""Filters and selections of lists."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.instants import format_instant
from airflow_provider_batchlinux.emulator.protocol.odata import FILTERABLE, parse_filter, parse_select

TASK = {
    "id": "Clean-1",
    "state": "completed",
    "creationTime": "2026-01-02T03:04:05.0000000Z",
    "executionInfo": {"exitCode": 1, "result": "failure"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id eq 'clean-1'", True),
        ("id eq 'clean'", False),
        ("state ne 'active'", True),
        ("STATE eq 'x' or id eq 'clean-1'", None),
        ("startswith(id,'CLEAN')", True),
        ("startswith( id , 'Clean-1x' )", False),
        ("executionInfo/exitCode gt 0", True),
        ("executionInfo/exitCode lt -1", False),
        ("executionInfo/result eq 'Failure'", True),
        ("executionInfo/endTime gt DateTime'2020-01-01T00:00:00Z'", False),
        ("executionInfo/endTime ne DateTime'2020-01-01T00:00:00Z'", True),
        ("creationTime ge DateTime'2026-01-02T03:04:05Z'", True),
        ("creationTime lt datetime'Fri, 02 Jan 2026 03:04:05 GMT'", False),
        ("creationTime gt '2026-01-01T00:00:00Z'", True),
        ("not (state eq 'active')", True),
        ("id eq 'x' and id eq 'y' or state eq 'completed'", True),
        ("id eq 'x' and (id eq 'y' or state eq 'completed')", False),
        (" state eq 'completed' ", True),
        ("id eq 'it''s'", False),
    ],
)
def test_a_filter_holds_or_not(text: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(ServiceError):
            parse_filter(text, "tasks")
    else:
        assert parse_filter(text, "tasks")(TASK) is expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a comparison"),
        ("state", "a comparison"),
        ("state eq", "ends too early"),
        ("state eq idle", "not a value of type string"),
        ("executionInfo/exitCode eq 1.5", "not a value of type int"),
        ("executionInfo/exitCode eq '1'", "not a value of type int"),
        ("creationTime gt DateTime'yesterday'", "not a value of type time"),
        ("state eq 'a' 'b'", "was not expected"),
        ("(state eq 'a'", "ends too early"),
        ("state eq 'a", "cannot be read from"),
        ("commandLine eq 'a'", "'commandLine' cannot be filtered by"),
        ("state startswith 'a'", "a comparison"),
        ("startswith(state,'a')", "'startswith' cannot be used with 'state'"),
        ("id eq 'a' & x", "cannot be read from"),
        ("(" * 60 + "state eq 'a'" + ")" * 60, "nested too deeply"),
        ("not " * 60 + "state eq 'a'", "nested too deeply"),
    ],
)
def test_a_filter_that_cannot_be_read_says_where(text: str, reason: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        parse_filter(text, "tasks")

    assert refusal.value.code == "InvalidQueryParameterValue"
    assert reason in refusal.value.values["Reason"]


@given(st.text())
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    status = 400
    try:
        parse_filter(text, "tasks")(TASK)
    except ServiceError as refusal:
        status = refusal.status

    assert status == 400


LEAVES = st.sampled_from(
    [
        ("state eq 'completed'", True),
        ("id eq 'x'", False),
        ("startswith(id,'cl')", True),
        ("executionInfo/exitCode ge 2", False),
    ]
)


def _allocate(children: Any) -> Any:
    negated = children.map(lambda c: (f"not ({c[0]})", not c[1]))
    pairs = st.tuples(children, children)
    both = pairs.map(lambda p: (f"({p[0][0]}) and ({p[1][0]})", p[0][1] and p[1][1]))
    either = pairs.map(lambda p: (f"({p[0][0]}) or ({p[1][0]})", p[0][1] or p[1][1]))
    return st.one_of(negated, both, either)


@given(st.recursive(LEAVES, _allocate, max_leaves=8))
def test_and_or_not_mean_what_they_mean(case: tuple[str, bool]) -> None:
    text, expected = case

    assert parse_filter(text, "tasks")(TASK) is expected


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_can_be_looked_for(name: str) -> None:
    quoted = name.replace("'", "''")

    assert parse_filter(f"id eq '{quoted}'", "pools")({"id": name})


@given(st.datetimes(datetime(1900, 1, 1)), st.datetimes(datetime(1900, 1, 1)))
def test_times_are_compared_as_times(one: datetime, other: datetime) -> None:
    one, other = one.replace(tzinfo=timezone.utc), other.replace(tzinfo=timezone.utc)
    matches = parse_filter(f"creationTime lt DateTime'{format_instant(other)}'", "pools")

    assert matches({"creationTime": format_instant(one)}) == (one < other)


@pytest.mark.parametrize("set_name", FILTERABLE)
def test_a_list_without_a_filter_shows_everything(set_name: str) -> None:
    assert parse_filter(None, set_name)({})


def test_a_selection_keeps_what_it_names() -> None:
    select = parse_select("id, executionInfo/exitCode,stats", "tasks")

    assert select(TASK) == {"id": "Clean-1", "executionInfo": TASK["executionInfo"]}


def test_a_selection_of_an_unknown_property_is_refused() -> None:
    with pytest.raises(ServiceError, match="The property 'colour' cannot be selected"):
        parse_select("id,colour", "tasks")
