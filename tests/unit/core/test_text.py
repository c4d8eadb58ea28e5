"""Text laid out for logs and errors."""

from __future__ import annotations

import pytest

from airflow_provider_batchlinux.core.text import broken_into_lines, counted, indented, joined, table


def test_a_table_lays_its_columns_under_each_other() -> None:
    laid_out = table(("node", "state"), [("tvm-1", "idle"), ("a-longer-name", "running")])

    assert laid_out.splitlines() == [
        "node           state",
        "tvm-1          idle",
        "a-longer-name  running",
    ]


def test_a_table_without_rows_is_its_header() -> None:
    assert table(("node", "state"), []) == "node  state"


def test_no_line_of_a_table_ends_in_blanks() -> None:
    lines = table(("node", "error"), [("tvm-1", ""), ("tvm-2", "refused")]).splitlines()

    assert lines == [line.rstrip() for line in lines]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a\nb", "    a\n    b", id="two lines"),
        pytest.param("a\n", "    a", id="a line break at the end"),
        pytest.param("  a", "      a", id="a line that is indented already"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_every_line_is_set_off_to_the_right(text: str, shown: str) -> None:
    assert indented(text) == shown


LONG = "No image has the name 'a'. " + "It has " + "very " * 20 + "many words."


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("Short. Two sentences.", ["Short. Two sentences."], id="short"),
        pytest.param(
            LONG,
            [
                "No image has the name 'a'.",
                "  It has " + ("very " * 17).strip(),
                "  very very very many words.",
            ],
            id="long",
        ),
        pytest.param(
            f"  Code: {'x' * 80}. Remedy: {'y' * 60}",
            [f"  Code: {'x' * 80}.", f"    Remedy: {'y' * 60}"],
            id="indented",
        ),
        pytest.param("    " + LONG, ["    " + LONG], id="the output of a program"),
        pytest.param("x" * 200, ["x" * 200], id="a word"),
        pytest.param("a\n\nb\n", ["a", "", "b", ""], id="line breaks"),
    ],
)
def test_long_lines_are_broken_at_sentences_and_output_is_not(text: str, lines: list[str]) -> None:
    assert broken_into_lines(text).split("\n") == lines


def test_the_first_line_leaves_room_for_what_is_before_it() -> None:
    text = "many words " * 20

    first, *others = broken_into_lines(text, width=60, beside=20).split("\n")

    assert 30 < len(first) <= 40
    assert 40 < max(map(len, others)) <= 60
    assert " ".join([first, *(line.strip() for line in others)]) == text.strip()


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        pytest.param([], "", id="none"),
        pytest.param(["a", "b"], "'a', 'b'", id="few"),
        pytest.param(["a", "b", "c"], "'a', 'b', 'c'", id="as many as are shown"),
        pytest.param(["a", "b", "c", "d", "e"], "'a', 'b', 'c' and 2 more", id="more than are shown"),
    ],
)
def test_the_first_names_are_listed_and_the_rest_counted(names: list[str], shown: str) -> None:
    assert joined(names, limit=3) == shown


@pytest.mark.parametrize(
    ("number", "noun", "expected"),
    [(0, "pool", "0 pools"), (1, "pool", "1 pool"), (2, "pool", "2 pools"), (0.5, "hour", "0.5 hours")],
)
def test_a_noun_agrees_with_its_number(number: float, noun: str, expected: str) -> None:
    assert counted(number, noun) == expected
