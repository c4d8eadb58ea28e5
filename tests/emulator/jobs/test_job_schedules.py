"""When job schedules make their jobs, on a clock that is moved by hand."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator.jobs.schedules import is_in_window, run_after

_FIRST = datetime(2026, 1, 1, tzinfo=timezone.utc)
_HOUR = 3600


@pytest.fixture
def account(start: Any) -> Any:
    """Give an account whose clock is moved by hand."""
    return start(clock="manual")


def test_a_schedule_makes_a_job_at_each_interval(account: Any) -> None:
    _create(account, recurrenceInterval="PT1H")
    for number in (1, 2, 3):
        assert _recent(account) == f"hourly:job-{number}"
        _end_job(account, number)
        account.emulator.control.advance(_HOUR)

    assert _recent(account) == "hourly:job-4"


def test_a_job_that_is_due_waits_for_the_one_before_it(account: Any) -> None:
    _create(account, recurrenceInterval="PT1H")
    account.emulator.control.advance(_HOUR * 1.5)
    assert _recent(account) == "hourly:job-1"

    _end_job(account, 1)

    assert _recent(account) == "hourly:job-2"


def test_a_job_that_is_due_is_lost_after_the_start_window(account: Any) -> None:
    _create(account, recurrenceInterval="PT1H", startWindow="PT5M")
    account.emulator.control.advance(_HOUR + 301)

    _end_job(account, 1)

    assert _recent(account) == "hourly:job-1"
    account.emulator.control.advance(_HOUR)
    assert _recent(account) == "hourly:job-2"


def test_a_disabled_schedule_makes_no_job(account: Any) -> None:
    _create(account, recurrenceInterval="PT1H")
    _end_job(account, 1)
    account.send("POST", "/jobschedules/hourly/disable")
    account.emulator.control.advance(_HOUR * 2.5)
    assert _recent(account) == "hourly:job-1"

    account.send("POST", "/jobschedules/hourly/enable")
    account.emulator.control.advance(_HOUR / 2)

    assert _recent(account) == "hourly:job-2"


def test_a_schedule_ends_after_its_last_time(account: Any) -> None:
    now = account.emulator.control.now()
    end = (now + timedelta(hours=1.5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    _create(account, recurrenceInterval="PT1H", doNotRunAfter=end)
    _end_job(account, 1)
    account.emulator.control.advance(_HOUR)
    assert "nextRunTime" not in account.send("GET", "/jobschedules/hourly")["executionInfo"]
    _end_job(account, 2)

    account.emulator.control.advance(_HOUR)

    assert account.send("GET", "/jobschedules/hourly")["state"] == "completed"


@given(st.integers(60, 10**6), st.integers(0, 10**8))
def test_the_next_run_is_a_whole_number_of_intervals_ahead(interval: int, elapsed: int) -> None:
    now = _FIRST + timedelta(seconds=elapsed)

    run = run_after({"recurrenceInterval": f"PT{interval}S"}, _FIRST, now)

    assert run is not None
    assert now < run <= now + timedelta(seconds=interval)
    assert (run - _FIRST) % timedelta(seconds=interval) == timedelta()


def test_a_start_window_is_endless_unless_it_is_given() -> None:
    late = _FIRST + timedelta(days=300)

    assert is_in_window({}, _FIRST, late)
    assert not is_in_window({"startWindow": "P1D"}, _FIRST, late)


def _create(account: Any, **times: str) -> None:
    specification = {"poolInfo": {"poolId": "linux"}}
    body = {"id": "hourly", "schedule": times, "jobSpecification": specification}
    assert account.send("POST", "/jobschedules", body) == 201


def _recent(account: Any) -> str:
    recent: str = account.send("GET", "/jobschedules/hourly")["executionInfo"]["recentJob"]["id"]
    return recent


def _end_job(account: Any, number: int) -> None:
    path = f"/jobs/hourly%3Ajob-{number}"
    account.send("POST", f"{path}/terminate")
    while account.send("GET", path)["state"] != "completed":
        pass
