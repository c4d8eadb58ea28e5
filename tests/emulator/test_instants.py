"""Times and durations of the service."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator.protocol.instants import (
    UNLIMITED,
    format_duration,
    format_http_date,
    format_instant,
    parse_duration,
    parse_http_date,
    parse_instant,
    ticks,
)

INSTANTS = st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(timezone.utc))


@given(INSTANTS)
def test_an_instant_survives_being_written_and_read(instant: datetime) -> None:
    assert parse_instant(format_instant(instant)) == instant
    assert parse_http_date(format_http_date(instant)) == instant.replace(microsecond=0)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05",
        "2026-01-02T03:04:05.0000000Z",
        "2026-01-02T05:04:05+02:00",
        "2026-01-01T22:34:05-0430",
    ],
)
def test_an_instant_may_be_written_in_many_ways(text: str) -> None:
    assert parse_instant(text) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-01-02", "2026-13-02T03:04:05Z", "P1D"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_instant(text)


@given(st.integers(0, 400), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_is_read_in_seconds(days: int, hours: int, minutes: int, seconds: int) -> None:
    expected = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)

    text = f"P{days}DT{hours}H{minutes}M{seconds}S"

    assert parse_duration(text) == expected.total_seconds()


@pytest.mark.parametrize(
    ("text", "seconds"), [("PT15M", 900), ("P1D", 86400), ("PT0.5S", 0.5), ("pt1h", 3600)]
)
def test_parts_of_a_duration_may_be_left_out(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "P", "PT", "15", "P1W", "-PT1M"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an ISO 8601 duration"):
        parse_duration(text)


def test_the_unlimited_duration_lasts_for_thousands_of_years() -> None:
    assert parse_duration(UNLIMITED) > 29_000 * 365 * 86400


def test_ticks_are_those_of_recorded_etags() -> None:
    # Recorded: eTag 0x8DD365E13F342AF with lastModified 2025-01-16T18:46:24.6013615Z.
    modified = parse_instant("2025-01-16T18:46:24.601361Z")

    assert ticks(modified) == 0x8DD365E13F342AF - 5


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("P3Y6M4DT12H30M5S", "P1279DT12H30M5S"),
        ("PT0H20M", "PT20M"),
        ("PT24H", "P1D"),
        ("PT0S", "PT0S"),
        ("PT1.50S", "PT1.5S"),
        ("P7D", "P7D"),
        (UNLIMITED, UNLIMITED),
    ],
)
def test_a_duration_is_shown_as_the_service_counts_it(sent: str, shown: str) -> None:
    assert format_duration(sent) == shown
    assert parse_duration(sent) == parse_duration(shown)


def test_a_duration_longer_than_the_service_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than the longest duration of the service"):
        parse_duration("P10675200D")
