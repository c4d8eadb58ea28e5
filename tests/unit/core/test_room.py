"""When a full quota has room: for as many creates as jobs or pools have ended."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.room import Room


def taken(room: Room, counts: list[int], *, waiting: int = 100, every: float = 15.0) -> list[int]:
    """Let all that wait ask at each count, and return how many went on."""
    return [
        sum(room.take(count, turn, turn * every) for _ in range(waiting)) for turn, count in enumerate(counts)
    ]


def test_only_as_many_go_on_as_have_ended() -> None:
    assert taken(Room(0.0), [100, 100, 97, 100]) == [0, 0, 3, 0]


def test_one_is_let_through_now_and_then_in_case_the_quota_was_raised() -> None:
    assert taken(Room(0.0), [100] * 10) == [0, 0, 0, 0, 1, 0, 0, 0, 1, 0]


def test_a_quota_that_was_raised_is_known_by_what_it_took() -> None:
    assert taken(Room(0.0), [100, 100, 104, 102]) == [0, 0, 0, 2]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=50))
def test_no_more_go_on_than_the_quota_takes(ended: list[int]) -> None:
    room, active = Room(0.0), 50
    for turn, gone in enumerate(ended):
        active = max(0, active - gone)
        active += sum(room.take(active, turn, 0.0) for _ in range(100))

        assert active <= 50
