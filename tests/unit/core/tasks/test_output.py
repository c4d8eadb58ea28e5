"""What of a command's output is shown while it runs, and what is left for its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.tasks.output import (
    STREAMS,
    Progress,
    Turns,
    first_to_read,
    length_to_show,
    readable,
)


@pytest.mark.parametrize(
    ("content", "is_cut", "shown"),
    [
        pytest.param(b"one\ntwo\nthr", False, b"one\ntwo\n", id="whole lines"),
        pytest.param(b"one\ntwo\nthr", True, b"one\ntwo\n", id="whole lines of a part"),
        pytest.param(b"thr", False, b"", id="a line that is not complete"),
        pytest.param(b"thr", True, b"thr", id="a line that is longer than a part"),
        pytest.param(b"10 %\r20 %\r3", False, b"10 %\r20 %\r", id="a progress bar"),
        pytest.param("abé".encode()[:-1], True, b"ab", id="half of a character of two bytes"),
        pytest.param("ab☃".encode()[:-1], True, b"ab", id="part of a character of three bytes"),
        pytest.param("ab😀".encode()[:-1], True, b"ab", id="part of a character of four bytes"),
        pytest.param("ab😀".encode(), True, "ab😀".encode(), id="a whole character"),
        pytest.param(b"\xff\xfe\xff\xff\xff", True, b"\xff\xfe\xff\xff\xff", id="no text"),
        pytest.param(b"\xe2", True, b"\xe2", id="never nothing"),
        pytest.param(b"", True, b"", id="nothing"),
    ],
)
def test_only_whole_lines_and_characters_are_shown(content: bytes, is_cut: bool, shown: bytes) -> None:
    assert content[: length_to_show(content, is_cut=is_cut)] == shown


@given(st.text(min_size=1), st.integers(4, 9))
def test_text_that_is_read_in_parts_is_shown_as_it_is(text: str, size: int) -> None:
    content, shown = text.encode(errors="ignore"), []
    while content:
        part = content[:size]
        count = length_to_show(part, is_cut=True)
        shown.append(part[:count].decode())
        content = content[count:]

    assert "".join(shown) == text.encode(errors="ignore").decode()


def test_what_is_no_text_does_not_reach_the_log() -> None:
    assert readable(b"a\x00b\xffc\x1b[0m\td\n") == "a\ufffdb\ufffdc\x1b[0m\td"


@given(st.integers(0, 10**11), st.integers(0, 10**6), st.data())
def test_no_more_than_the_limit_is_shown_and_the_end_in_any_case(
    size: int, limit: int, data: st.DataObject
) -> None:
    shown = data.draw(st.integers(0, min(size, limit - limit // 2)))

    first = first_to_read(size, limit, shown, least=0)

    assert shown <= first <= size
    assert shown + size - first <= limit
    assert size - first >= min(size - shown, limit // 2)


def test_the_end_that_an_error_shows_is_read_although_it_was_shown() -> None:
    assert first_to_read(5000, 10_000, shown=5000, least=2000) == 3000


@pytest.mark.parametrize(
    "plain", [None, "x", {}, {"run": 1}, {"run": [1, "x"]}, {"run": [1, 2], "stdout": "y"}]
)
def test_what_is_no_progress_is_none(plain: object) -> None:
    assert Progress.of(plain) is None


def test_progress_survives_storage() -> None:
    progress = Progress((1, 2)).after("stdout", 5).after("stdout", 4).after("stderr", 1)

    assert Progress.of(progress.to_plain()) == progress
    assert (progress.at("stdout"), progress.at("stderr")) == (9, 1)


@pytest.mark.parametrize("busy", STREAMS)
def test_a_command_that_writes_to_one_stream_costs_little_more_than_a_request_a_poll(busy: str) -> None:
    turns, reads = Turns(), 0
    for _ in range(60):
        streams = turns.next()
        reads += len(streams)
        turns.had_news({stream: stream == busy for stream in streams})

    assert reads <= 1.2 * 60


def test_both_streams_are_read_while_none_has_news() -> None:
    turns = Turns()
    seen = set()
    for _ in range(3):
        streams = turns.next()
        seen.update(streams)
        turns.had_news(dict.fromkeys(streams, False))

    assert seen == set(STREAMS)
