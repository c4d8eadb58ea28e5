"""How long a wait pauses before its next poll."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.poll_interval import interval_after, rest_after

SECONDS = st.floats(0.01, 3600)


@pytest.mark.parametrize(
    ("quiet", "asked", "soonest", "chosen"),
    [
        pytest.param(0, 30, 5, 5, id="just begun, or just changed"),
        pytest.param(80, 30, 5, 8, id="a tenth of the time without a change"),
        pytest.param(5000, 30, 5, 30, id="never later than requested"),
        pytest.param(0, 2, 5, 2, id="never later than requested from the start"),
        pytest.param(0, 30, None, 30, id="as requested"),
    ],
)
def test_what_has_just_changed_is_polled_more_often(
    quiet: float, asked: float, soonest: float | None, chosen: float
) -> None:
    assert interval_after(quiet, asked, soonest) == chosen


@given(st.floats(0, 1e6), SECONDS, SECONDS)
def test_a_change_is_noticed_within_the_promised_time(quiet: float, asked: float, soonest: float) -> None:
    assert interval_after(quiet, asked, soonest) <= min(asked, max(soonest, quiet / 10))


@given(SECONDS, SECONDS)
def test_the_service_rests_at_least_as_long_as_it_worked(interval: float, took: float) -> None:
    rest = rest_after(interval, took)

    assert rest >= took
    assert took + rest == pytest.approx(max(interval, 2 * took))
