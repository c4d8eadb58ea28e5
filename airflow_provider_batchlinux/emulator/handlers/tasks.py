"""Operations on tasks, without their files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_provider_batchlinux.emulator.account.service import BatchService
from airflow_provider_batchlinux.emulator.handlers.serializers import subtask_view, task_view
from airflow_provider_batchlinux.emulator.protocol.conditions import check_conditions
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, refused
from airflow_provider_batchlinux.emulator.protocol.instants import UNLIMITED, format_instant
from airflow_provider_batchlinux.emulator.protocol.wire import (
    Call,
    Reply,
    created,
    done,
    element,
    error_message,
    listing,
    version_headers,
)
from airflow_provider_batchlinux.emulator.rules.pools import check_id
from airflow_provider_batchlinux.emulator.rules.storage import with_working_directory
from airflow_provider_batchlinux.emulator.rules.tasks import check_task
from airflow_provider_batchlinux.emulator.state.records import Job, Task

# Documented: a collection has at most 100 tasks.
_MOST_ADDED = 100
_POOL_USER = {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}}


def create_task(service: BatchService, call: Call) -> Reply:
    """Answer POST /jobs/{jobId}/tasks."""
    job = _active_job(service, call)
    task = _add(service, call, job, call.read("BatchTaskCreateOptions"))
    return created(call.url("jobs", job.id, "tasks", task.id), task.version)


def create_task_collection(service: BatchService, call: Call) -> Reply:
    """Answer POST /jobs/{jobId}/addtaskcollection; each task succeeds or fails independently."""
    job = _active_job(service, call)
    bodies = call.read("BatchTaskGroup")["value"]
    if len(bodies) > _MOST_ADDED:
        raise refused(len(bodies), of="value", reason=f"At most {_MOST_ADDED} tasks are added.")
    results = [_add_result(service, call, job, body) for body in bodies]
    metadata = f"{call.base_url}/$metadata#taskaddresult"
    return Reply(200, {"odata.metadata": metadata, "value": results})


async def list_tasks(service: BatchService, call: Call) -> Reply:
    """Answer GET /jobs/{jobId}/tasks."""
    job = service.store.job(call.path_values["jobId"])
    tasks = service.store.tasks(job.id).after
    return await listing(call, "tasks", tasks, lambda task: task_view(call.base_url, task))


def get_task(service: BatchService, call: Call) -> Reply:
    """Answer GET /jobs/{jobId}/tasks/{taskId}."""
    task = task_of(service, call)
    check_conditions(call, task.version)
    return element(call, "tasks", task_view(call.base_url, task), task.version)


def replace_task(service: BatchService, call: Call) -> Reply:
    """Answer PUT /jobs/{jobId}/tasks/{taskId}: missing constraints get their defaults."""
    task = task_of(service, call)
    check_conditions(call, task.version)
    limits = _limits(call.read("BatchTask"), service.store.job(task.job_id))
    version = service.store.next_version(call.now)
    changed = replace(task, spec={**task.spec, "constraints": limits}, version=version)
    service.retention.watch(service.store.put_task(changed))
    return done(call, 200, version)


def delete_task(service: BatchService, call: Call) -> Reply:
    """Answer DELETE /jobs/{jobId}/tasks/{taskId}."""
    task = task_of(service, call)
    check_conditions(call, task.version)
    service.scheduler.remove(task)
    return Reply(200)


def terminate_task(service: BatchService, call: Call) -> Reply:
    """Answer POST /jobs/{jobId}/tasks/{taskId}/terminate."""
    task = task_of(service, call)
    check_conditions(call, task.version)
    if task.state == "completed":
        raise ServiceError(Code.TASK_COMPLETED)
    service.scheduler.terminate(task)
    return done(call, 204, task_of(service, call).version)


def reactivate_task(service: BatchService, call: Call) -> Reply:
    """Answer POST /jobs/{jobId}/tasks/{taskId}/reactivate."""
    _active_job(service, call)
    task = task_of(service, call)
    check_conditions(call, task.version)
    if task.state != "completed":
        raise ServiceError(Code.TASK_NOT_COMPLETED)
    if task.execution.get("result") != "failure":
        raise ServiceError(Code.TASK_SUCCEEDED)
    service.jobs.run_again(task)
    return Reply(204, headers=version_headers(task_of(service, call).version))


def list_subtasks(service: BatchService, call: Call) -> Reply:
    """Answer GET .../subtasksinfo; the primary task is not among them."""
    task = task_of(service, call)
    subtasks = [subtask_view(call.base_url, task, subtask) for subtask in task.subtasks]
    return Reply(200, {"odata.metadata": f"{call.base_url}/$metadata#subtaskinfo", "value": subtasks})


def task_of(service: BatchService, call: Call) -> Task:
    """Return the task in the path of a call."""
    return service.store.task(call.path_values["jobId"], call.path_values["taskId"])


def _active_job(service: BatchService, call: Call) -> Job:
    job = service.store.job(call.path_values["jobId"])
    refusals = {
        "deleting": Code.JOB_BEING_DELETED,
        "terminating": Code.JOB_BEING_TERMINATED,
        "completed": Code.JOB_COMPLETED,
    }
    if job.state in refusals:
        raise ServiceError(refusals[job.state])
    return job


def _add(service: BatchService, call: Call, job: Job, body: dict[str, Any]) -> Task:
    check_id(body["id"])
    check_task(body, job, service.caller(is_signed=call.is_signed))
    if service.store.tasks(job.id).get(body["id"]) is not None:
        raise ServiceError(Code.TASK_EXISTS)
    task_id = body.pop("id")
    task = Task(
        id=task_id,
        job_id=job.id,
        pool_id=job.pool_id,
        spec=_complete(body, job),
        created=call.now,
        version=service.store.next_version(call.now),
        state="active",
        state_since=call.now,
        execution={"retryCount": 0, "requeueCount": 0},
    )
    service.jobs.add_task(task)
    return task


def _complete(body: dict[str, Any], job: Job) -> dict[str, Any]:
    return {
        "userIdentity": _POOL_USER,
        "requiredSlots": 1,
        **with_working_directory(body),
        "constraints": _limits(body, job),
    }


def _limits(body: dict[str, Any], job: Job) -> dict[str, Any]:
    return {
        "maxWallClockTime": UNLIMITED,
        "retentionTime": "P7D",
        "maxTaskRetryCount": job.spec["constraints"]["maxTaskRetryCount"],
        **body.get("constraints", {}),
    }


def _add_result(service: BatchService, call: Call, job: Job, body: dict[str, Any]) -> dict[str, Any]:
    task_id = body["id"]
    try:
        task = _add(service, call, job, body)
    except ServiceError as error:
        problem = {"code": error.code, "message": error_message(call, error)}
        return {"status": "ClientError", "taskId": task_id, "error": problem}
    return {
        "status": "Success",
        "taskId": task.id,
        "eTag": task.version.etag,
        "lastModified": format_instant(task.version.modified),
        "location": call.url("jobs", job.id, "tasks", task.id),
    }
