"""A table of cases that is one test runs all of its rows, and names those that fail."""

from __future__ import annotations

import pytest

from tests.tables import each_of


def test_each_row_runs_and_those_that_fail_are_named() -> None:
    ran: list[int] = []

    @each_of({"one": (1,), "two": (2,), "three": (3,)})
    def is_odd(number: int) -> None:
        ran.append(number)
        assert number % 2, f"{number} is even"

    with pytest.raises(
        AssertionError, match=r"^1 of 3 rows fail.*\ntwo: AssertionError: 2 is even"
    ) as caught:
        is_odd()

    assert ran == [1, 2, 3]
    assert caught.value.__cause__ is not None


def test_a_table_without_rows_fails() -> None:
    with pytest.raises(AssertionError):
        each_of({})(lambda: None)()
