"""When job schedules make their jobs; pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow_provider_batchlinux.emulator.protocol.instants import parse_duration, parse_instant
from airflow_provider_batchlinux.emulator.state.records import Json

__all__ = ["end_of", "first_run", "is_in_window", "run_after"]

_ENDLESS = 10 * 365 * 86400.0
"""Windows and intervals from here on are taken as endless."""


def first_run(schedule: Json, created: datetime) -> datetime:
    """Return when a schedule is to make its first job."""
    if "doNotRunUntil" not in schedule:
        return created
    return max(created, parse_instant(schedule["doNotRunUntil"]))


def run_after(schedule: Json, first: datetime, now: datetime) -> datetime | None:
    """
    Return the first recurrence that is later than now; ``None`` if there is none.

    :param first: when the schedule was to make its first job.
    """
    interval = parse_duration(schedule["recurrenceInterval"]) if "recurrenceInterval" in schedule else 0.0
    if interval <= 0 or interval >= _ENDLESS:
        return None
    step = timedelta(seconds=interval)
    run = first if first > now else first + ((now - first) // step + 1) * step
    end = end_of(schedule)
    return run if end is None or run <= end else None


def end_of(schedule: Json) -> datetime | None:
    """Return the time after which a schedule makes no job; ``None`` if there is no such time."""
    text = schedule.get("doNotRunAfter")
    return None if text is None else parse_instant(text)


def is_in_window(schedule: Json, due: datetime, now: datetime) -> bool:
    """Tell whether a job that was due then may still be made now."""
    seconds = parse_duration(schedule["startWindow"]) if "startWindow" in schedule else _ENDLESS
    end = end_of(schedule)
    return (now - due).total_seconds() <= seconds and (end is None or now <= end)
