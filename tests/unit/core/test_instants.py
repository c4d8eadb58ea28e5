"""Durations and instants as users and the service write them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.instants import (
    Duration,
    expiry_of,
    iso8601_duration,
    parse_instant,
    rest_instant,
    seconds_of,
)

UTC = timezone.utc
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(datetime(1000, 1, 2), datetime(9999, 12, 30), timezones=ZONES)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(90, 90.0, id="whole seconds"),
        pytest.param(0.5, 0.5, id="part of a second"),
        pytest.param(timedelta(minutes=2), 120.0, id="timedelta"),
        pytest.param(pendulum.duration(hours=6), 21_600.0, id="pendulum duration"),
        pytest.param(pendulum.duration(days=1, minutes=1), 86_460.0, id="pendulum duration over a day"),
    ],
)
def test_a_duration_is_read_in_seconds(value: Duration, seconds: float) -> None:
    assert seconds_of("timeout", value) == seconds


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        pytest.param(0, "timeout=0 is not a finite time span above zero", id="zero"),
        pytest.param(-1, "timeout=-1 is not a finite", id="negative"),
        pytest.param(timedelta(0), "is not a finite", id="a timedelta of zero"),
        pytest.param(float("nan"), "timeout=nan is not a finite", id="not a number"),
        pytest.param(float("inf"), "timeout=inf is not a finite", id="for ever"),
        pytest.param("5m", "timeout='5m' is not a duration", id="text"),
        pytest.param(True, "timeout=True is not a duration", id="a truth value"),
        pytest.param(None, "timeout=None is not a duration", id="none"),
    ],
)
def test_what_is_no_duration_above_zero_is_refused(value: Duration, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        seconds_of("timeout", value)


@pytest.mark.parametrize(
    ("expires_in", "expires_at", "expiry"),
    [
        pytest.param(3600, None, datetime(2026, 3, 1, 13, tzinfo=UTC), id="seconds from now"),
        pytest.param(
            pendulum.duration(days=2), None, datetime(2026, 3, 3, 12, tzinfo=UTC), id="duration from now"
        ),
        pytest.param(
            None,
            pendulum.datetime(2026, 3, 1, 14, tz="Europe/Berlin"),
            datetime(2026, 3, 1, 13, tzinfo=UTC),
            id="pendulum instant of another zone",
        ),
        pytest.param(
            None, "2026-03-01T14:00:00+01:00", datetime(2026, 3, 1, 13, tzinfo=UTC), id="text with an offset"
        ),
        pytest.param(
            None, "2026-03-01T15:00+02:00", datetime(2026, 3, 1, 13, tzinfo=UTC), id="text without seconds"
        ),
        pytest.param(None, "2026-03-02", datetime(2026, 3, 2, tzinfo=UTC), id="text of a day"),
        pytest.param(None, date(2026, 3, 2), datetime(2026, 3, 2, tzinfo=UTC), id="a day"),
        pytest.param(None, pendulum.date(2026, 3, 2), datetime(2026, 3, 2, tzinfo=UTC), id="pendulum day"),
        pytest.param(None, "20260301T130000Z", datetime(2026, 3, 1, 13, tzinfo=UTC), id="text without signs"),
        pytest.param(
            None,
            "2026-03-01 13:00:00+00:00",
            datetime(2026, 3, 1, 13, tzinfo=UTC),
            id="text as a template renders an instant",
        ),
    ],
)
def test_an_expiry_is_an_instant_in_utc(
    expires_in: Duration | None, expires_at: datetime | str | None, expiry: datetime
) -> None:
    found = expiry_of(expires_in, expires_at, NOW)

    assert found == expiry
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("expires_in", "expires_at", "complaint"),
    [
        pytest.param(None, None, "exactly one of expires_in and expires_at", id="neither"),
        pytest.param(60, "2030-01-01T00:00:00Z", "exactly one of expires_in and expires_at", id="both"),
        pytest.param(None, datetime(2030, 1, 1), "with a time zone", id="an instant without a zone"),
        pytest.param(None, "2030-01-01T00:00:00", "with a time zone", id="text without a zone"),
        pytest.param(None, "2026-03", "expires_at='2026-03' is not an instant", id="a month"),
        pytest.param(None, "2026-02-30", "is not an instant", id="a day that does not exist"),
        pytest.param(None, 1_900_000_000, "is not an instant", id="a number"),
        pytest.param(None, "13:00", "is not an instant", id="a time"),
        pytest.param(None, "PT5M", "is not an instant", id="a duration"),
        pytest.param(None, "", "is not an instant", id="empty text"),
        pytest.param(None, "2026-03-01", "is not after now", id="the start of today"),
        pytest.param(None, "tomorrow", "expires_at='tomorrow' is not an instant", id="text of another kind"),
        pytest.param(None, NOW, "is not after now (2026-03-01T12:00:00+00:00)", id="just now"),
        pytest.param(None, "2026-02-28T00:00:00Z", "is not after now", id="past"),
        pytest.param(0, None, "expires_in=0 is not a finite time span", id="no time at all"),
        pytest.param(1e12, None, "expires_in=1000000000000.0 ends after the year 9999", id="too far off"),
        pytest.param(1e30, None, "ends after the year 9999", id="longer than a timedelta holds"),
    ],
)
def test_an_expiry_that_cannot_be_meant_is_refused(
    expires_in: Duration | None, expires_at: datetime | str | None, complaint: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        expiry_of(expires_in, expires_at, NOW)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        pytest.param("2025-01-16T07:08:09Z", datetime(2025, 1, 16, 7, 8, 9, tzinfo=UTC), id="no decimals"),
        pytest.param(
            "2025-01-16T07:08:09.5Z", datetime(2025, 1, 16, 7, 8, 9, 500_000, tzinfo=UTC), id="one decimal"
        ),
        pytest.param(
            "2025-01-16T07:08:09.1234567Z",
            datetime(2025, 1, 16, 7, 8, 9, 123_456, tzinfo=UTC),
            id="the service's seven decimals",
        ),
        pytest.param(
            "2025-01-16T07:08:09-05:00", datetime(2025, 1, 16, 12, 8, 9, tzinfo=UTC), id="another zone"
        ),
        pytest.param(
            " 2025-01-16t07:08:09z ", datetime(2025, 1, 16, 7, 8, 9, tzinfo=UTC), id="lower case and blanks"
        ),
    ],
)
def test_an_instant_is_read_as_the_service_writes_it(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("2025-01-16T07:08:09", id="no zone"),
        pytest.param("2025-01-16", id="a day"),
        pytest.param("2025-13-16T07:08:09Z", id="a thirteenth month"),
        pytest.param("0001-01-01T00:00:00+05:00", id="before the first year"),
        pytest.param("2025-01-16T07:08:09Z and more", id="more text behind it"),
    ],
)
def test_a_text_that_is_no_instant_reads_as_none(text: str | None) -> None:
    assert parse_instant(text) is None


@given(INSTANTS)
def test_an_instant_written_for_the_service_is_read_back_the_same(instant: datetime) -> None:
    assert parse_instant(rest_instant(instant)) == instant


@given(INSTANTS)
def test_an_instant_written_as_iso_text_is_read_back_the_same(instant: datetime) -> None:
    assert parse_instant(instant.isoformat()) == instant


@given(st.text(alphabet="0123456789-T:.Z+ ٣", max_size=35))
def test_reading_an_instant_never_fails(text: str) -> None:
    assert parse_instant(text) is None or isinstance(parse_instant(text), datetime)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(900, "PT900S", id="whole seconds"),
        pytest.param(0.25, "PT0.25S", id="part of a second"),
        pytest.param(1e-5, "PT0S", id="less than a millisecond"),
        pytest.param(123_456.789, "PT123456.789S", id="many digits"),
        pytest.param(999_999.9, "PT999999.9S", id="just below a million"),
        pytest.param(604_800, "PT604800S", id="a week"),
        pytest.param(3e7, "PT30000000S", id="a year"),
    ],
)
def test_a_duration_is_written_without_an_exponent(seconds: float, text: str) -> None:
    assert iso8601_duration(seconds) == text


@given(st.floats(0.001, 1e9))
def test_a_written_duration_is_the_same_to_the_millisecond(seconds: float) -> None:
    written = re.fullmatch(r"PT(\d+(?:\.\d{1,3})?)S", iso8601_duration(seconds))

    assert written is not None
    assert float(written.group(1)) == pytest.approx(seconds, abs=0.0006)
