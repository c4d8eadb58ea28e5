"""Validation and defaults of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.errors import missing_property, refused
from airflow_provider_batchlinux.emulator.protocol.instants import UNLIMITED, parse_duration
from airflow_provider_batchlinux.emulator.protocol.versions import without_secrets
from airflow_provider_batchlinux.emulator.rules.auto_pools import complete_pool_info
from airflow_provider_batchlinux.emulator.rules.caller import Caller
from airflow_provider_batchlinux.emulator.rules.packages import check_task_packages
from airflow_provider_batchlinux.emulator.rules.pools import check_id
from airflow_provider_batchlinux.emulator.rules.storage import (
    check_environment,
    check_task_files,
    with_working_directory,
)
from airflow_provider_batchlinux.emulator.rules.tasks import check_limits, check_slots
from airflow_provider_batchlinux.emulator.state.records import Json

_USER = {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}}
_LONGEST_RELEASE = 900.0
_HIGHEST_PRIORITY = 1000
_DEFAULTS: Mapping[str, Json] = {
    "jobManagerTask": {
        "requiredSlots": 1,
        "userIdentity": _USER,
        "runExclusive": True,
        "allowLowPriorityNode": True,
        "killJobOnCompletion": True,
    },
    "jobPreparationTask": {
        "id": "jobpreparation",
        "userIdentity": _USER,
        "waitForSuccess": True,
        "rerunOnNodeRebootAfterSuccess": True,
    },
    "jobReleaseTask": {
        "id": "jobrelease",
        "maxWallClockTime": "PT15M",
        "retentionTime": "P7D",
        "userIdentity": _USER,
    },
}


def complete_job(body: Json, caller: Caller, *, is_scheduled: bool = False) -> dict[str, Any]:
    """
    Return the description of a job with defaults.

    :param is_scheduled: whether the job belongs to a job schedule.
    :raises ServiceError: the first invalid value.
    """
    _check_numbers(body)
    _check_release(body)
    check_environment(body.get("commonEnvironmentSettings", ()))
    limits = {"maxWallClockTime": UNLIMITED, "maxTaskRetryCount": 0, **body.get("constraints", {})}
    check_limits(limits)
    tasks = {name: _complete_task(name, body[name]) for name in _DEFAULTS if name in body}
    packages = tasks.get("jobManagerTask", {}).get("applicationPackageReferences", ())
    check_task_packages(packages, caller.store, caller.place)
    _check_ids(tasks)
    pool_info = complete_pool_info(body["poolInfo"], is_scheduled=is_scheduled, caller=caller)
    return {
        "priority": 0,
        "maxParallelTasks": -1,
        "usesTaskDependencies": False,
        "allowTaskPreemption": False,
        "onAllTasksComplete": "noaction",
        "onTaskFailure": "noaction",
        **body,
        "poolInfo": pool_info,
        "constraints": limits,
        **tasks,
    }


def check_change(before: Json, after: Json) -> None:
    """
    Raise an error for a change that is not allowed.

    :param before: current description of the job.
    :param after: new description of the job.
    """
    was, will_be = before["onAllTasksComplete"], after["onAllTasksComplete"]
    if was == "terminatejob" and will_be == "noaction":
        reason = "A job that is to terminate with its last task cannot be told otherwise."
        raise refused(will_be, of="onAllTasksComplete", reason=reason)
    _check_auto_pool(before["poolInfo"], after["poolInfo"])


def _check_auto_pool(before: Json, after: Json) -> None:
    """Raise an error for a change of an auto pool other than ``keepAlive`` of one with its job's lifetime."""
    is_changed = before != after and "autoPoolSpecification" in {**before, **after}
    if not is_changed:
        return
    # A client that sends a job back as it was shown cannot send its secrets.
    shown = (without_secrets("BatchPoolInfo", info) for info in (before, after))
    was, will_be = (info.get("autoPoolSpecification", {}) for info in shown)
    is_kept = {**was, "keepAlive": None} == {**will_be, "keepAlive": None}
    if not is_kept or was["poolLifetimeOption"] != "job":
        reason = "Only keepAlive can be changed, of a pool that lives as long as its job."
        changed = sorted(name for name in {*was, *will_be} if was.get(name) != will_be.get(name))
        raise refused(", ".join(changed), of="poolInfo", reason=reason)


def _complete_task(name: str, task: Json) -> Json:
    check_task_files(task)
    complete = {**_DEFAULTS[name], **with_working_directory(task)}
    if name != "jobReleaseTask":
        limits = {"maxWallClockTime": UNLIMITED, "retentionTime": "P7D", "maxTaskRetryCount": 0}
        complete["constraints"] = {**limits, **task.get("constraints", {})}
        check_limits(complete["constraints"])
    check_slots(complete)
    return complete


def _check_numbers(body: Json) -> None:
    priority, most = body.get("priority", 0), body.get("maxParallelTasks", -1)
    if not -_HIGHEST_PRIORITY <= priority <= _HIGHEST_PRIORITY:
        raise refused(priority, of="priority")
    if most == 0 or most < -1:
        raise refused(most, of="maxParallelTasks")


def _check_ids(tasks: Mapping[str, Json]) -> None:
    """Raise an error if two tasks in the job description have the same id. The code is assumed."""
    known: set[str] = set()
    for task in tasks.values():
        check_id(task["id"])
        if task["id"].lower() in known:
            raise refused(task["id"], of="id", reason="The ids of a job's own tasks differ.")
        known.add(task["id"].lower())


def _check_release(body: Json) -> None:
    """Raise an error for a release task without a preparation task (documented; the code is assumed)."""
    release = body.get("jobReleaseTask")
    if release is None:
        return
    if "jobPreparationTask" not in body:
        raise missing_property(name="jobPreparationTask")
    limit = release.get("maxWallClockTime", "PT15M")
    if parse_duration(limit) > _LONGEST_RELEASE:
        raise refused(limit, of="maxWallClockTime", reason="A job release task has at most 15 minutes.")
