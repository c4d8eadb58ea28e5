"""Job schedules, as the SDK sees them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from azure.batch import BatchClient, models

from tests.contract.requests import refusal_of

Eventually = Callable[[Callable[[], Any], Callable[[Any], bool]], Any]

_DAILY = models.BatchJobScheduleConfiguration(recurrence_interval=timedelta(days=1))
_SPECIFICATION = models.BatchJobSpecification(
    pool_info=models.BatchPoolInfo(pool_id="linux"), display_name="nightly", priority=3
)


@pytest.fixture
def nightly(client: BatchClient) -> BatchClient:
    """Give a client of an account with a schedule that makes a job each day, the first one now."""
    _create(client, "nightly", _DAILY)
    return client


def test_a_new_schedule_makes_its_first_job_at_once(nightly: BatchClient) -> None:
    schedule = nightly.get_job_schedule("NIGHTLY")

    info = schedule.execution_info
    assert (schedule.id, schedule.state, info.recent_job.id) == ("nightly", "active", "nightly:job-1")
    assert info.next_run_time == schedule.creation_time + timedelta(days=1)
    assert schedule.job_specification.constraints.max_task_retry_count == 0
    job = nightly.get_job("nightly:job-1")
    assert (job.state, job.display_name, job.priority) == ("active", "nightly", 3)


def test_a_schedule_that_is_not_to_run_yet_makes_no_job(client: BatchClient) -> None:
    later = datetime(2100, 1, 1, tzinfo=timezone.utc)
    _create(client, "later", models.BatchJobScheduleConfiguration(do_not_run_until=later))

    info = client.get_job_schedule("later").execution_info

    assert (info.recent_job, info.next_run_time) == (None, later)
    assert list(client.list_jobs_from_schedule("later")) == []


def test_a_schedule_that_does_not_recur_ends_with_its_job(
    client: BatchClient, eventually: Eventually
) -> None:
    _create(client, "once", models.BatchJobScheduleConfiguration())
    client.begin_terminate_job("once:job-1", {"terminateReason": "enough"}, polling_interval=0).result()

    schedule = eventually(lambda: client.get_job_schedule("once"), lambda s: s.state == "completed")

    assert schedule.execution_info.next_run_time is None
    assert schedule.execution_info.end_time is not None


def test_schedules_and_their_jobs_are_listed_and_filtered(nightly: BatchClient) -> None:
    _create(nightly, "other", _DAILY)

    assert [found.id for found in nightly.list_job_schedules()] == ["nightly", "other"]
    filtered = nightly.list_job_schedules(filter="startswith(id,'oth') and state eq 'active'")
    assert [found.id for found in filtered] == ["other"]
    assert [job.id for job in nightly.list_jobs_from_schedule("nightly")] == ["nightly:job-1"]


def test_a_schedule_is_there_or_not(nightly: BatchClient, send: Any) -> None:
    answer = send("HEAD", "/jobschedules/nightly?api-version=2025-06-01")

    assert (answer.status, answer.headers["etag"]) == (200, nightly.get_job_schedule("nightly").etag)
    assert send("HEAD", "/jobschedules/missing?api-version=2025-06-01").status == 404
    assert refusal_of(lambda: nightly.get_job_schedule("missing")) == (404, "JobScheduleNotFound")
    assert refusal_of(lambda: _create(nightly, "Nightly", _DAILY)) == (409, "JobScheduleExists")


def test_updating_a_schedule_keeps_what_is_left_out(nightly: BatchClient) -> None:
    hourly = models.BatchJobScheduleConfiguration(recurrence_interval=timedelta(hours=5))

    nightly.update_job_schedule("nightly", models.BatchJobScheduleUpdateOptions(schedule=hourly))

    schedule = nightly.get_job_schedule("nightly")
    assert schedule.schedule.recurrence_interval == timedelta(hours=5)
    assert schedule.job_specification.priority == 3
    assert schedule.execution_info.next_run_time == schedule.creation_time + timedelta(hours=5)


def test_replacing_a_schedule_removes_what_is_left_out(nightly: BatchClient) -> None:
    specification = models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id="other"))

    nightly.replace_job_schedule("nightly", models.BatchJobSchedule(job_specification=specification))

    schedule = nightly.get_job_schedule("nightly")
    assert (schedule.schedule, schedule.job_specification.priority) == (None, 0)
    assert schedule.execution_info.next_run_time is None


def test_a_schedule_is_disabled_and_enabled(nightly: BatchClient) -> None:
    nightly.disable_job_schedule("nightly")
    assert nightly.get_job_schedule("nightly").state == "disabled"
    assert nightly.get_job("nightly:job-1").state == "active"

    nightly.enable_job_schedule("nightly")

    schedule = nightly.get_job_schedule("nightly")
    assert (schedule.state, schedule.previous_state) == ("active", "disabled")


def test_a_terminated_schedule_ends_its_job(nightly: BatchClient) -> None:
    nightly.begin_terminate_job_schedule("nightly", polling_interval=0).result()

    assert nightly.get_job_schedule("nightly").state == "completed"
    job = nightly.get_job("nightly:job-1")
    assert (job.state, job.execution_info.termination_reason) == ("completed", "TerminateWorkitem")
    assert refusal_of(lambda: nightly.disable_job_schedule("nightly")) == (409, "JobScheduleCompleted")


def test_a_deleted_schedule_is_gone_with_its_jobs(nightly: BatchClient) -> None:
    nightly.begin_delete_job_schedule("nightly", polling_interval=0).result()

    assert refusal_of(lambda: nightly.get_job_schedule("nightly")) == (404, "JobScheduleNotFound")
    assert refusal_of(lambda: nightly.get_job("nightly:job-1")) == (404, "JobNotFound")


def test_an_interval_below_a_minute_is_refused(client: BatchClient) -> None:
    short = models.BatchJobScheduleConfiguration(recurrence_interval=timedelta(seconds=59))

    assert refusal_of(lambda: _create(client, "short", short)) == (400, "InvalidPropertyValue")


def _create(client: BatchClient, schedule_id: str, times: models.BatchJobScheduleConfiguration) -> None:
    options = models.BatchJobScheduleCreateOptions(
        id=schedule_id, schedule=times, job_specification=_SPECIFICATION
    )
    client.create_job_schedule(options)
