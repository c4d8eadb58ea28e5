"""Result files and output: what is accepted, what is refused by name, how much is left out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.tasks.result import FileEnd, parse_result, why_lost

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(max_size=5).filter(lambda t: "\0" not in t), inner)
    ),
    max_leaves=10,
)


@given(VALUES)
def test_every_value_that_airflow_can_store_is_read(value: object) -> None:
    assert parse_result(FileEnd(json.dumps(value).encode())) == value


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "is not JSON: ", id="empty"),
        pytest.param(b"nonsense", "is not JSON: ", id="no JSON"),
        pytest.param(b'{"a": 1', "is not JSON: ", id="cut"),
        pytest.param(b"\xff\xff", "is not JSON: ", id="not UTF-8"),
        pytest.param(b'{"mean": NaN}', "holds NaN, which JSON does not have; write null instead", id="NaN"),
        pytest.param(b"[Infinity]", "holds Infinity, which JSON does not have", id="Infinity"),
        pytest.param(b"-Infinity", "holds -Infinity, which JSON does not have", id="-Infinity"),
        pytest.param(b"[-1e999]", "holds -1e999, which is larger than a number can be", id="too large"),
        pytest.param(b"36893488147419103232", "an integer of more than 64 bits", id="a long integer"),
        pytest.param(b"[" * 40_000, "is nested too deeply", id="too deep"),
        pytest.param(b'["\\ud800"]', "holds half of a surrogate pair", id="surrogate"),
        pytest.param(b'{"a\\u0000": 1}', "holds the character NUL", id="NUL"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|holds) ") as refused:
        parse_result(FileEnd(content))

    assert reason in str(refused.value)


def test_a_result_that_was_not_read_whole_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^is over 3 bytes; put data into storage instead$"):
        parse_result(FileEnd(b"123", omitted=1))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        pytest.param(FileEnd(b"one\ntwo\n"), "one\ntwo", id="whole"),
        pytest.param(FileEnd(b"ne\ntwo\n", omitted=7), "[10 bytes left out]\ntwo", id="cut in a line"),
        pytest.param(FileEnd(b"\ntwo\n", omitted=3), "[4 bytes left out]\ntwo", id="cut after a line"),
        pytest.param(FileEnd(b"a long line", omitted=9), "[9 bytes left out]\na long line", id="one line"),
        pytest.param(FileEnd(b"a line\n", omitted=9), "[9 bytes left out]\na line", id="the end of a line"),
        pytest.param(
            FileEnd("é\nü".encode()[1:], omitted=1), "[3 bytes left out]\nü", id="cut in a character"
        ),
    ],
)
def test_cut_output_begins_with_how_much_is_left_out(file: FileEnd, text: str) -> None:
    assert file.text() == text


@given(st.lists(st.text("abcé", max_size=8), min_size=1), st.integers(1, 60))
def test_no_line_is_shown_in_part_and_every_byte_is_counted(lines: list[str], limit: int) -> None:
    content = "".join(f"{line}\n" for line in lines).encode()
    end = FileEnd(content).last(limit)
    mark, _, shown = end.text().partition("\n")

    assert end.omitted + len(end.content) == len(content)
    if end.omitted and "\n" in end.content.decode(errors="replace").rstrip("\n"):
        left_out = int(mark.split(" ")[0].removeprefix("["))
        assert content[left_out:].decode().rstrip() == shown
        assert content[left_out - 1 : left_out] == b"\n"


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        pytest.param("TaskFilesUnavailable", None, "node 'n' no longer exists", id="node gone"),
        pytest.param("TaskFilesUnavailable", "preempted", "node 'n' is preempted", id="node preempted"),
        pytest.param("TaskFilesUnavailable", "deallocated", None, id="node that comes back"),
        pytest.param("TaskFilesUnavailable", "rebooting", None, id="node that reboots"),
        pytest.param("NodeNotFound", None, "node 'n' no longer exists", id="no node"),
        pytest.param("TaskFilesCleanedup", "idle", "their retention time is over", id="retention"),
        pytest.param("JobNotFound", None, "the job was deleted", id="no job"),
        pytest.param("Forbidden", None, None, id="refused"),
        pytest.param("FileNotFound", "idle", None, id="no such file"),
        pytest.param(None, None, None, id="no code"),
    ],
)
def test_files_are_lost_only_where_no_later_try_can_read_them(
    code: str | None, state: str | None, reason: str | None
) -> None:
    assert why_lost(code, "n", state) == reason
