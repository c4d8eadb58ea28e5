"""Operations on jobs."""

from __future__ import annotations

from typing import Any

from airflow_provider_batchlinux.emulator.account.service import BatchService
from airflow_provider_batchlinux.emulator.handlers.serializers import (
    job_node_view,
    job_view,
    task_counts_view,
)
from airflow_provider_batchlinux.emulator.protocol.conditions import check_conditions
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.wire import Call, Reply, created, done, element, listing
from airflow_provider_batchlinux.emulator.rules.auto_pools import auto_pool_of
from airflow_provider_batchlinux.emulator.rules.jobs import check_change, complete_job
from airflow_provider_batchlinux.emulator.rules.networks import check_subnet
from airflow_provider_batchlinux.emulator.rules.pools import check_id
from airflow_provider_batchlinux.emulator.state.records import Job

_REPLACED = frozenset(
    {
        "priority",
        "allowTaskPreemption",
        "maxParallelTasks",
        "constraints",
        "poolInfo",
        "onAllTasksComplete",
        "metadata",
    }
)
_REFUSALS = {"completed": Code.JOB_COMPLETED, "terminating": Code.JOB_BEING_TERMINATED}


def create_job(service: BatchService, call: Call) -> Reply:
    """Answer POST /jobs."""
    body = call.read("BatchJobCreateOptions")
    check_id(body["id"])
    check_subnet(auto_pool_of(body["poolInfo"]), service.place.subscription_id)
    _check_absent(service, body["id"])
    job_id = body.pop("id")
    version = service.store.next_version(call.now)
    spec = complete_job(body, service.caller(is_signed=call.is_signed))
    job = Job(job_id, spec, call.now, version, "active", call.now)
    service.jobs.add(job)
    return created(call.url("jobs", job_id), version)


async def list_jobs(service: BatchService, call: Call) -> Reply:
    """Answer GET /jobs."""
    return await listing(call, "jobs", service.store.jobs.after, lambda job: job_view(call.base_url, job))


def get_job(service: BatchService, call: Call) -> Reply:
    """Answer GET /jobs/{jobId}."""
    job = service.store.job(call.path_values["jobId"])
    check_conditions(call, job.version)
    return element(call, "jobs", job_view(call.base_url, job), job.version)


def update_job(service: BatchService, call: Call) -> Reply:
    """Answer PATCH /jobs/{jobId}."""
    job = _writable(service, call)
    body = call.read("BatchJobUpdateOptions")
    constraints = {**job.spec["constraints"], **body.get("constraints", {})}
    return _change(service, call, job, {**job.spec, **body, "constraints": constraints})


def replace_job(service: BatchService, call: Call) -> Reply:
    """Answer PUT /jobs/{jobId}: missing properties are reset to their defaults."""
    job = _writable(service, call)
    kept = {name: value for name, value in job.spec.items() if name not in _REPLACED}
    return _change(service, call, job, {**kept, **call.read("BatchJob")})


def disable_job(service: BatchService, call: Call) -> Reply:
    """Answer POST /jobs/{jobId}/disable."""
    job = _writable(service, call)
    option = call.read("BatchJobDisableOptions")["disableTasks"]
    _check_state(job, {"active", "disabling", "disabled"})
    return done(call, 202, service.jobs.disable(job, option).version)


def enable_job(service: BatchService, call: Call) -> Reply:
    """
    Answer POST /jobs/{jobId}/enable.

    What an active job answers is not documented; assumed to be refused, as every other state is.
    """
    job = _writable(service, call)
    _check_state(job, {"disabling", "disabled"})
    return done(call, 202, service.jobs.enable(job).version)


def delete_job(service: BatchService, call: Call) -> Reply:
    """Answer DELETE /jobs/{jobId}."""
    service.jobs.delete(_writable(service, call))
    return Reply(202)


def terminate_job(service: BatchService, call: Call) -> Reply:
    """Answer POST /jobs/{jobId}/terminate."""
    job = _writable(service, call)
    reason = call.read("BatchJobTerminateOptions").get("terminateReason", "UserTerminate")
    _check_state(job, {"active", "disabling", "disabled"})
    job = service.jobs.terminate(job, reason)
    return done(call, 202, job.version)


async def list_job_preparation_and_release_task_status(service: BatchService, call: Call) -> Reply:
    """Answer GET /jobs/{jobId}/jobpreparationandreleasetaskstatus."""
    job = service.store.job(call.path_values["jobId"])
    if "jobPreparationTask" not in job.spec:
        raise ServiceError(Code.JOB_PREPARATION_TASK_OR_RELEASE_TASK_NOT_SPECIFIED)
    places = service.store.job_nodes(job.id).after
    set_name = "jobpreparationandreleasetaskstatuslist"
    return await listing(call, set_name, places, lambda place: job_node_view(call.base_url, job, place))


def get_job_task_counts(service: BatchService, call: Call) -> Reply:
    """Answer GET /jobs/{jobId}/taskcounts."""
    job = service.store.job(call.path_values["jobId"])
    return element(call, "taskcountsresult", task_counts_view(service.store.tasks(job.id).counts))


def _check_absent(service: BatchService, job_id: str) -> None:
    existing = service.store.jobs.get(job_id)
    if existing is not None:
        is_deleting = existing.state == "deleting"
        raise ServiceError(Code.JOB_BEING_DELETED if is_deleting else Code.JOB_EXISTS)
    if service.store.schedules.get(job_id) is not None:
        raise ServiceError(Code.JOB_SCHEDULE_WITH_SAME_ID_EXISTS)
    quota = service.quotas.active_jobs
    if quota is not None and service.store.jobs.counts["active"] >= quota:
        raise ServiceError(Code.ACTIVE_JOB_AND_SCHEDULE_QUOTA_REACHED)


def _change(service: BatchService, call: Call, job: Job, body: dict[str, Any]) -> Reply:
    """
    Change the description of a job.

    A job can move to another pool only while it is disabled; the error code is assumed.
    """
    check_subnet(auto_pool_of(body["poolInfo"]), service.place.subscription_id)
    spec = complete_job(body, service.caller(is_signed=call.is_signed), is_scheduled=":" in job.id)
    check_change(job.spec, spec)
    if spec["poolInfo"] != job.spec["poolInfo"] and "poolId" in spec["poolInfo"]:
        _check_state(job, {"disabled"})
    return done(call, 200, service.jobs.change(job, spec).version)


def _check_state(job: Job, allowed: set[str]) -> None:
    if job.state not in allowed:
        refusal = _REFUSALS.get(job.state, Code.OPERATION_INVALID_FOR_CURRENT_STATE)
        raise ServiceError(refusal)


def _writable(service: BatchService, call: Call) -> Job:
    job = service.store.job(call.path_values["jobId"])
    check_conditions(call, job.version)
    if job.state == "deleting":
        raise ServiceError(Code.JOB_BEING_DELETED)
    return job
