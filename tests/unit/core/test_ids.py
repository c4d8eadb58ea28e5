"""Ids that the service takes, and digests that hold over retries."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.ids import (
    MAX_ID_LENGTH,
    derived_id,
    fingerprint,
    id_problems,
)

LEGAL = string.ascii_letters + string.digits + "-_"
NAMES = st.text(max_size=100) | st.text(alphabet=LEGAL + ".", min_size=20, max_size=100)
PARTS = st.lists(NAMES, min_size=1, max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("a", id="one character"),
        pytest.param("ETL_2026-01-01", id="letters digits hyphen underscore"),
        pytest.param("x" * MAX_ID_LENGTH, id="as long as allowed"),
        pytest.param("-_", id="no letter at all"),
    ],
)
def test_a_legal_id_has_no_problems(value: str) -> None:
    assert id_problems("pool_id", value) == []


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        pytest.param("", "1 to 64 characters are needed", id="empty"),
        pytest.param(None, "1 to 64 characters are needed", id="none"),
        pytest.param(7, "pool_id=7 is not an id", id="a number"),
        pytest.param("my pool", "characters other than letters", id="a space"),
        pytest.param("pool\n", "characters other than letters", id="a line break at the end"),
        pytest.param("pööl", "characters other than letters", id="a letter outside ASCII"),
        pytest.param("p/ool", "characters other than letters", id="a slash"),
        pytest.param("x" * 65, "has 65 characters; at most 64", id="one character too many"),
    ],
)
def test_an_illegal_id_is_refused_with_its_name_and_value(value: object, complaint: str) -> None:
    [problem] = id_problems("pool_id", value)

    assert complaint in problem
    assert f"pool_id={value!r}" in problem


def test_every_problem_of_an_id_is_named_at_once() -> None:
    letters, length = id_problems("job_id", "ü" * 65)

    assert "other than letters" in letters
    assert " has 65 characters" in length


@given(st.text(alphabet=LEGAL, min_size=1, max_size=MAX_ID_LENGTH))
def test_every_text_in_the_services_alphabet_is_legal(value: str) -> None:
    assert id_problems("pool_id", value) == []


@given(PARTS, st.sampled_from(["", "-t2", "-t0000"]), st.sampled_from(["af", "x", "p" * 16]))
def test_a_derived_id_is_always_legal(parts: list[str], suffix: str, prefix: str) -> None:
    assert id_problems("id", derived_id(*parts, suffix=suffix, prefix=prefix)) == []


@given(PARTS, st.sampled_from(["", "-t2"]))
def test_a_derived_id_keeps_its_prefix_and_suffix_whole(parts: list[str], suffix: str) -> None:
    made = derived_id(*parts, prefix="etl", suffix=suffix)

    assert made.startswith("etl-")
    assert made.endswith(suffix)


@given(PARTS)
def test_the_same_names_make_the_same_id(parts: list[str]) -> None:
    assert derived_id(*parts) == derived_id(*parts)


@given(PARTS, PARTS)
def test_other_names_make_another_id(some: list[str], others: list[str]) -> None:
    assert (derived_id(*some).lower() == derived_id(*others).lower()) == (some == others)


@pytest.mark.parametrize(
    ("some", "others"),
    [
        pytest.param(("etl", "Run"), ("etl", "run"), id="case"),
        pytest.param(("a.b", "c"), ("a-b", "c"), id="a character that ids cannot hold"),
        pytest.param(("ab", "c"), ("a", "bc"), id="where one name ends"),
        pytest.param(("a", "x", "c"), ("a", "y", "c"), id="a name in the middle"),
        pytest.param(("a" * 100, "t"), ("a" * 101, "t"), id="what is cut off"),
        pytest.param(("日次", "t"), ("週次", "t"), id="names with no legal character"),
    ],
)
def test_names_that_look_alike_make_different_ids(some: tuple[str, ...], others: tuple[str, ...]) -> None:
    assert derived_id(*some).lower() != derived_id(*others).lower()


def test_the_first_and_the_last_name_can_be_read_in_an_id() -> None:
    made = derived_id("daily_etl", "manual__2026-01-01T00:00:00+00:00", "create_pool")

    assert re.fullmatch(r"af-daily_etl-create_pool-[0-9a-f]{10}", made)


def test_long_names_make_an_id_of_nearly_the_greatest_length() -> None:
    made = derived_id("a" * 300, "b" * 300, prefix="p" * 16, suffix="-t0000")

    assert MAX_ID_LENGTH - 1 <= len(made) <= MAX_ID_LENGTH


def test_names_without_a_legal_character_leave_the_digest_alone() -> None:
    assert re.fullmatch(r"af-[0-9a-f]{10}", derived_id("日次", "変換"))


def test_a_single_name_is_not_repeated() -> None:
    assert re.fullmatch(r"af-etl-[0-9a-f]{10}", derived_id("etl"))


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_the_order_of_keys_does_not_change_a_fingerprint(request: dict[str, object]) -> None:
    turned = dict(reversed(list(request.items())))

    assert fingerprint(turned) == fingerprint(request)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4), JSON)
def test_any_other_value_changes_a_fingerprint(request: dict[str, object], value: object) -> None:
    assert fingerprint({**request, "added": value}) != fingerprint({**request, "added": [value]})


def test_a_tuple_and_a_list_have_the_same_fingerprint() -> None:
    assert fingerprint({"ssh_from": ("10.0.0.0/8",)}) == fingerprint({"ssh_from": ["10.0.0.0/8"]})


def test_a_fingerprint_is_the_same_in_every_release() -> None:
    assert fingerprint({"pool_id": "etl", "nodes": 2}) == "63d841dc2e038cd64ee2e1693f6eee92"
