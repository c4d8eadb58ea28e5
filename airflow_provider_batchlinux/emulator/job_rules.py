"""Descriptions of jobs: what the service adds to them and what it refuses; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_batchlinux.emulator.errors import missing_property, not_implemented, refused
from airflow_provider_batchlinux.emulator.instants import UNLIMITED, parse_duration
from airflow_provider_batchlinux.emulator.records import Json
from airflow_provider_batchlinux.emulator.storage_rules import check_task_files

__all__ = ["complete_job"]

_USER = {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}}
_LONGEST_RELEASE = 900.0
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


def complete_job(body: Json) -> dict[str, Any]:
    """
    Return the description of a job with the defaults that the service shows.

    :raises ServiceError: the first thing that the service refuses in it.
    """
    if "poolId" not in body["poolInfo"]:
        raise not_implemented(what="automatic pools")
    _check_release(body)
    limits = {"maxWallClockTime": UNLIMITED, "maxTaskRetryCount": 0, **body.get("constraints", {})}
    return {
        "priority": 0,
        "maxParallelTasks": -1,
        "usesTaskDependencies": False,
        "allowTaskPreemption": False,
        "onAllTasksComplete": "noaction",
        "onTaskFailure": "noaction",
        **body,
        "constraints": limits,
        **{name: _complete_task(name, body[name]) for name in _DEFAULTS if name in body},
    }


def _complete_task(name: str, task: Json) -> Json:
    check_task_files(task)
    complete = {**_DEFAULTS[name], **task}
    if name != "jobReleaseTask":
        limits = {"maxWallClockTime": UNLIMITED, "retentionTime": "P7D", "maxTaskRetryCount": 0}
        complete["constraints"] = {**limits, **task.get("constraints", {})}
    return complete


def _check_release(body: Json) -> None:
    """Refuse a release task without a preparation task, as documented; the code is assumed."""
    release = body.get("jobReleaseTask")
    if release is None:
        return
    if "jobPreparationTask" not in body:
        raise missing_property(name="jobPreparationTask")
    limit = release.get("maxWallClockTime", "PT15M")
    if parse_duration(limit) > _LONGEST_RELEASE:
        raise refused(limit, of="maxWallClockTime", reason="A job release task has at most 15 minutes.")
