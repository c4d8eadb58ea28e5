"""Job schedules, and the times at which they create jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_batchlinux.emulator.jobs.lifecycle import JobLifecycle
from airflow_provider_batchlinux.emulator.protocol.instants import parse_duration, parse_instant
from airflow_provider_batchlinux.emulator.simulation.clock import Clock, Timer
from airflow_provider_batchlinux.emulator.state.records import Job, JobSchedule, Json
from airflow_provider_batchlinux.emulator.state.store import Store

_ENDLESS = 10 * 365 * 86400.0
"""Start windows and intervals from here on mean no limit."""


def first_run(schedule: Json, created: datetime) -> datetime:
    """Return when a schedule creates its first job."""
    if "doNotRunUntil" not in schedule:
        return created
    return max(created, parse_instant(schedule["doNotRunUntil"]))


def run_after(schedule: Json, first: datetime, now: datetime) -> datetime | None:
    """
    Return the next recurrence after now; ``None`` if there is no other.

    :param first: time of the first job.
    """
    interval = parse_duration(schedule["recurrenceInterval"]) if "recurrenceInterval" in schedule else 0.0
    if interval <= 0 or interval >= _ENDLESS:
        return None
    step = timedelta(seconds=interval)
    run = first if first > now else first + ((now - first) // step + 1) * step
    end = end_of(schedule)
    return run if end is None or run <= end else None


def end_of(schedule: Json) -> datetime | None:
    """Return the time after which a schedule creates no jobs; ``None`` for no end."""
    text = schedule.get("doNotRunAfter")
    return None if text is None else parse_instant(text)


def is_in_window(schedule: Json, due: datetime, now: datetime) -> bool:
    """Return whether a job that was due may still be created now."""
    seconds = parse_duration(schedule["startWindow"]) if "startWindow" in schedule else _ENDLESS
    end = end_of(schedule)
    return (now - due).total_seconds() <= seconds and (end is None or now <= end)


@dataclass
class JobSchedules:
    """
    The only place that changes the state of job schedules.

    A schedule has at most one job that is not completed. A job that becomes due meanwhile is created when
    that job is completed, if the start window still allows it.

    :param on_ended: called with a schedule that is completed or deleted.
    """

    store: Store
    clock: Clock
    jobs: JobLifecycle
    on_ended: Callable[[JobSchedule], None]
    _timers: dict[str, Timer] = field(default_factory=dict)

    def add(self, schedule: JobSchedule) -> JobSchedule:
        """Add a schedule, and create its first job if it is due."""
        due = first_run(schedule.spec["schedule"], schedule.created)
        self.store.put_schedule(replace(schedule, next_run=due))
        self._advance(schedule.id)
        return self.store.schedule(schedule.id)

    def resume(self, schedule: JobSchedule) -> None:
        """Resume a schedule after a restart. Of several jobs that became due, one is created."""
        self._advance(schedule.id)
        self.clock.call_later(0, lambda: self._settle(schedule.id))

    def change(self, schedule: JobSchedule, spec: Json) -> JobSchedule:
        """
        Change the description of a schedule, for jobs created from now on.

        Assumed: the new interval counts from the first run.
        """
        due = schedule.next_run
        if schedule.jobs_made:
            first = first_run(spec["schedule"], schedule.created)
            due = run_after(spec["schedule"], first, self.clock.now())
        elif spec["schedule"] != schedule.spec["schedule"]:
            due = first_run(spec["schedule"], schedule.created)
        version = self.store.next_version(self.clock.now())
        self.store.put_schedule(replace(schedule, spec=spec, next_run=due, version=version))
        self._advance(schedule.id)
        return self.store.schedule(schedule.id)

    def disable(self, schedule: JobSchedule) -> JobSchedule:
        """Disable a schedule. Its current job continues."""
        return self._enter(schedule, "disabled")

    def enable(self, schedule: JobSchedule) -> JobSchedule:
        """Enable a schedule. Jobs that became due while it was disabled are not created."""
        due = schedule.next_run
        if due is not None and due < self.clock.now():
            first = first_run(schedule.spec["schedule"], schedule.created)
            due = run_after(schedule.spec["schedule"], first, self.clock.now())
        self._enter(schedule, "active", next_run=due)
        self._advance(schedule.id)
        return self.store.schedule(schedule.id)

    def terminate(self, schedule: JobSchedule) -> JobSchedule:
        """Terminate a schedule and its current job."""
        self._forget_timer(schedule.id)
        schedule = self._enter(schedule, "terminating", next_run=None, pending=None)
        for job in self._unfinished_jobs(schedule.id):
            self.jobs.terminate(job, "TerminateWorkitem")
        self.clock.call_later(0, lambda: self._settle(schedule.id))
        return schedule

    def delete(self, schedule: JobSchedule) -> JobSchedule:
        """Delete a schedule and all its jobs."""
        self._forget_timer(schedule.id)
        schedule = self._enter(schedule, "deleting", next_run=None, pending=None)
        for _, job in self.store.jobs_of_schedule(schedule.id):
            self.jobs.delete(job)
        self.clock.call_later(0, lambda: self._settle(schedule.id))
        return schedule

    def job_ended(self, job: Job) -> None:
        """Continue the schedule of a job that is completed or deleted."""
        schedule_id, mark, _ = job.id.partition(":")
        if mark:
            self._advance(schedule_id)
            self._settle(schedule_id)

    def _advance(self, schedule_id: str) -> None:
        """Create a job if it is due, and set a timer for the next."""
        schedule = self.store.schedules.get(schedule_id)
        if schedule is None or schedule.state not in ("active", "disabled"):
            return
        schedule = self._make_job_if_due(self._pass_due_time(schedule))
        if schedule.state == "active" and self._is_over(schedule):
            self._complete(schedule)
        else:
            self._set_timer(schedule)

    def _pass_due_time(self, schedule: JobSchedule) -> JobSchedule:
        now, due = self.clock.now(), schedule.next_run
        if due is None or due > now:
            return schedule
        times = schedule.spec["schedule"]
        following = run_after(times, first_run(times, schedule.created), now)
        pending = due if schedule.state == "active" else None
        return self.store.put_schedule(replace(schedule, next_run=following, pending=pending))

    def _make_job_if_due(self, schedule: JobSchedule) -> JobSchedule:
        due, now = schedule.pending, self.clock.now()
        if due is None or schedule.state != "active" or self._unfinished_jobs(schedule.id):
            return schedule
        if not is_in_window(schedule.spec["schedule"], due, now):
            return self.store.put_schedule(replace(schedule, pending=None))
        number = schedule.jobs_made + 1
        job_id = f"{schedule.id}:job-{number}"
        self.store.put_schedule(replace(schedule, pending=None, jobs_made=number, recent_job=job_id))
        spec = schedule.spec["jobSpecification"]
        self.jobs.add(Job(job_id, spec, now, self.store.next_version(now), "active", now))
        return self.store.schedule(schedule.id)

    def _is_over(self, schedule: JobSchedule) -> bool:
        end = end_of(schedule.spec["schedule"])
        is_past = end is not None and self.clock.now() >= end
        has_ended = is_past or ("recurrenceInterval" not in schedule.spec["schedule"])
        is_idle = schedule.next_run is None and schedule.pending is None
        return has_ended and is_idle and not self._unfinished_jobs(schedule.id)

    def _settle(self, schedule_id: str) -> None:
        schedule = self.store.schedules.get(schedule_id)
        if schedule is None or self._unfinished_jobs(schedule_id):
            return
        if schedule.state == "terminating":
            self._complete(schedule)
        elif schedule.state == "deleting" and not any(self.store.jobs_of_schedule(schedule_id)):
            self.store.schedules.pop(schedule_id)
            self.on_ended(schedule)

    def _complete(self, schedule: JobSchedule) -> None:
        self._forget_timer(schedule.id)
        now = self.clock.now()
        if schedule.state == "terminating":
            # Recorded: that a termination is over is no change of its version.
            done = replace(schedule, state="completed", state_since=now, ended=now)
            self.on_ended(self.store.put_schedule(done))
        else:
            self.on_ended(self._enter(schedule, "completed", ended=now))

    def _unfinished_jobs(self, schedule_id: str) -> list[Job]:
        jobs = self.store.jobs_of_schedule(schedule_id)
        return [job for _, job in jobs if job.state not in ("completed", "deleting")]

    def _set_timer(self, schedule: JobSchedule) -> None:
        self._forget_timer(schedule.id)
        due = schedule.next_run or _next_end(schedule, self.clock.now())
        if due is not None:
            delay = (due - self.clock.now()).total_seconds()
            self._timers[schedule.id.lower()] = self.clock.call_later(
                delay, lambda: self._advance(schedule.id)
            )

    def _forget_timer(self, schedule_id: str) -> None:
        timer = self._timers.pop(schedule_id.lower(), None)
        if timer is not None:
            timer.cancel()

    def _enter(self, schedule: JobSchedule, state: str, **changes: Any) -> JobSchedule:
        now = self.clock.now()
        return self.store.put_schedule(
            replace(
                schedule,
                state=state,
                state_since=now,
                previous_state=schedule.state,
                previous_since=schedule.state_since,
                version=self.store.next_version(now),
                **changes,
            )
        )


def _next_end(schedule: JobSchedule, now: datetime) -> datetime | None:
    end = end_of(schedule.spec["schedule"])
    return end if end is not None and end > now else None
