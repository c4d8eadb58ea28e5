"""Operations on job schedules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_batchlinux.emulator.account.service import BatchService
from airflow_provider_batchlinux.emulator.handlers.serializers import job_schedule_view, job_view
from airflow_provider_batchlinux.emulator.protocol.conditions import check_conditions
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, refused
from airflow_provider_batchlinux.emulator.protocol.instants import parse_duration
from airflow_provider_batchlinux.emulator.protocol.wire import (
    Call,
    Reply,
    created,
    done,
    element,
    listing,
    version_headers,
)
from airflow_provider_batchlinux.emulator.rules.auto_pools import auto_pool_of
from airflow_provider_batchlinux.emulator.rules.jobs import complete_job
from airflow_provider_batchlinux.emulator.rules.networks import check_subnet
from airflow_provider_batchlinux.emulator.rules.pools import check_id
from airflow_provider_batchlinux.emulator.state.records import Job, JobSchedule, Json

_SHORTEST = 60.0
_ENDING: Mapping[str, Code] = {
    "completed": Code.JOB_SCHEDULE_COMPLETED,
    "terminating": Code.JOB_SCHEDULE_BEING_TERMINATED,
}


def create_job_schedule(service: BatchService, call: Call) -> Reply:
    """Answer POST /jobschedules."""
    body = call.read("BatchJobScheduleCreateOptions")
    check_id(body["id"])
    if service.store.schedules.get(body["id"]) is not None:
        raise ServiceError(Code.JOB_SCHEDULE_EXISTS)
    if service.store.jobs.get(body["id"]) is not None:
        raise ServiceError(Code.JOB_WITH_SAME_ID_EXISTS)
    _check_quota(service)
    schedule_id = body.pop("id")
    version = service.store.next_version(call.now)
    spec = _complete(service, call, body)
    service.schedules.add(JobSchedule(schedule_id, spec, call.now, version, "active", call.now))
    return created(call.url("jobschedules", schedule_id), version)


async def list_job_schedules(service: BatchService, call: Call) -> Reply:
    """Answer GET /jobschedules."""
    schedules = service.store.schedules.after
    return await listing(
        call, "jobschedules", schedules, lambda found: job_schedule_view(call.base_url, found)
    )


def job_schedule_exists(service: BatchService, call: Call) -> Reply:
    """Answer HEAD /jobschedules/{jobScheduleId}."""
    schedule = _schedule(service, call)
    return Reply(200, headers=version_headers(schedule.version))


def get_job_schedule(service: BatchService, call: Call) -> Reply:
    """Answer GET /jobschedules/{jobScheduleId}."""
    schedule = _schedule(service, call)
    return element(call, "jobschedules", job_schedule_view(call.base_url, schedule), schedule.version)


def update_job_schedule(service: BatchService, call: Call) -> Reply:
    """Answer PATCH /jobschedules/{jobScheduleId}."""
    schedule = _writable(service, call)
    spec = _complete(service, call, {**schedule.spec, **call.read("BatchJobScheduleUpdateOptions")})
    return done(call, 200, service.schedules.change(schedule, spec).version)


def replace_job_schedule(service: BatchService, call: Call) -> Reply:
    """Answer PUT /jobschedules/{jobScheduleId}: missing properties are removed, also the schedule."""
    schedule = _writable(service, call)
    kept = {name: value for name, value in schedule.spec.items() if name == "displayName"}
    spec = _complete(service, call, {**kept, "schedule": {}, **call.read("BatchJobSchedule")})
    return done(call, 200, service.schedules.change(schedule, spec).version)


def disable_job_schedule(service: BatchService, call: Call) -> Reply:
    """Answer POST /jobschedules/{jobScheduleId}/disable."""
    schedule = _writable(service, call)
    return done(call, 204, service.schedules.disable(schedule).version)


def enable_job_schedule(service: BatchService, call: Call) -> Reply:
    """Answer POST /jobschedules/{jobScheduleId}/enable."""
    schedule = _writable(service, call)
    return done(call, 204, service.schedules.enable(schedule).version)


def terminate_job_schedule(service: BatchService, call: Call) -> Reply:
    """Answer POST /jobschedules/{jobScheduleId}/terminate."""
    schedule = _writable(service, call)
    return done(call, 202, service.schedules.terminate(schedule).version)


def delete_job_schedule(service: BatchService, call: Call) -> Reply:
    """Answer DELETE /jobschedules/{jobScheduleId}."""
    schedule = _schedule(service, call)
    if schedule.state == "deleting":
        raise ServiceError(Code.JOB_SCHEDULE_BEING_DELETED)
    service.schedules.delete(schedule)
    return Reply(202)


async def list_jobs_from_schedule(service: BatchService, call: Call) -> Reply:
    """Answer GET /jobschedules/{jobScheduleId}/jobs."""
    schedule = service.store.schedule(call.path_values["jobScheduleId"])

    def after(key: str) -> Iterator[tuple[str, Job]]:
        return service.store.jobs_of_schedule(schedule.id, key)

    return await listing(call, "jobs", after, lambda job: job_view(call.base_url, job))


def _complete(service: BatchService, call: Call, body: Json) -> dict[str, Any]:
    for name in ("startWindow", "recurrenceInterval"):
        value = body["schedule"].get(name)
        if value is not None and parse_duration(value) < _SHORTEST:
            raise refused(value, of=name, reason="The shortest value is one minute.")
    check_subnet(auto_pool_of(body["jobSpecification"]["poolInfo"]), service.place.subscription_id)
    job = complete_job(body["jobSpecification"], service.caller(is_signed=call.is_signed), is_scheduled=True)
    return {**body, "jobSpecification": job}


def _check_quota(service: BatchService) -> None:
    quota = service.quotas.active_jobs
    counts = (service.store.jobs.counts["active"], service.store.schedules.counts["active"])
    if quota is not None and sum(counts) >= quota:
        raise ServiceError(Code.ACTIVE_JOB_AND_SCHEDULE_QUOTA_REACHED)


def _schedule(service: BatchService, call: Call) -> JobSchedule:
    schedule = service.store.schedule(call.path_values["jobScheduleId"])
    check_conditions(call, schedule.version)
    return schedule


def _writable(service: BatchService, call: Call) -> JobSchedule:
    """Return a schedule that can be changed. Assumed: a terminating one cannot."""
    schedule = _schedule(service, call)
    if schedule.state == "deleting":
        raise ServiceError(Code.JOB_SCHEDULE_BEING_DELETED)
    if schedule.state in _ENDING:
        raise ServiceError(_ENDING[schedule.state])
    return schedule
