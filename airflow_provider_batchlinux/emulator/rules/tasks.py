"""Validation of tasks."""

from __future__ import annotations

from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, refused
from airflow_provider_batchlinux.emulator.rules.caller import Caller
from airflow_provider_batchlinux.emulator.rules.exit_conditions import each_exit_options
from airflow_provider_batchlinux.emulator.rules.packages import check_task_packages
from airflow_provider_batchlinux.emulator.rules.storage import check_task_files
from airflow_provider_batchlinux.emulator.state.records import Job, Json

_LONGEST_LIST = 64_000
# Documented: four slots for each core, and at most 256 for a node.
_MOST_SLOTS = 256


def check_task(body: Json, job: Job, caller: Caller) -> None:
    """
    Raise an error if a task is invalid in its job.

    :raises ServiceError: the first invalid value.
    """
    _check_id(body["id"], job)
    check_slots(body)
    check_limits(body.get("constraints", {}))
    _check_instances(body)
    check_task_files(body)
    check_task_packages(body.get("applicationPackageReferences", ()), caller.store, caller.place)
    if "dependsOn" in body:
        _check_dependencies(body["dependsOn"], job)
    for options in each_exit_options(body.get("exitConditions", {})):
        _check_exit_options(options, job)


def check_slots(task: Json) -> None:
    """
    Raise an error if a number of slots is impossible in every pool.

    Documented: more slots than the nodes of the task's pool have are accepted, but the task never runs.
    """
    slots = task.get("requiredSlots", 1)
    if not 1 <= slots <= _MOST_SLOTS:
        raise refused(slots, of="requiredSlots")


def check_limits(limits: Json) -> None:
    """Raise an error for a number of retries below -1, which means no limit."""
    retries = limits.get("maxTaskRetryCount", 0)
    if retries < -1:
        raise refused(retries, of="maxTaskRetryCount")


def _check_id(task_id: str, job: Job) -> None:
    refusals = {
        "jobPreparationTask": Code.TASK_ID_SAME_AS_JOB_PREPARATION_TASK,
        "jobReleaseTask": Code.TASK_ID_SAME_AS_JOB_RELEASE_TASK,
    }
    for name, refusal in refusals.items():
        if job.spec.get(name, {}).get("id", "").lower() == task_id.lower():
            raise ServiceError(refusal)


def _check_instances(task: Json) -> None:
    settings = task.get("multiInstanceSettings")
    if settings is None:
        return
    if settings.get("numberOfInstances", 1) < 1:
        raise refused(settings["numberOfInstances"], of="numberOfInstances")
    if task.get("requiredSlots", 1) != 1:
        reason = "A multi-instance task requires one slot."
        raise refused(task["requiredSlots"], of="requiredSlots", reason=reason)


def _check_dependencies(depends_on: Json, job: Job) -> None:
    if not job.spec["usesTaskDependencies"]:
        raise ServiceError(Code.TASK_DEPENDENCIES_NOT_SPECIFIED_ON_JOB)
    if sum(map(len, depends_on.get("taskIds", ()))) > _LONGEST_LIST:
        raise ServiceError(Code.TASK_DEPENDENCY_LIST_TOO_LONG)
    for ids in depends_on.get("taskIdRanges", ()):
        if ids["end"] < ids["start"]:
            raise refused(ids["end"], of="end", reason="A range of task ids ends before it starts.")


def _check_exit_options(options: Json, job: Job) -> None:
    """Raise an error if exit options contradict the job. The error code is documented."""
    if "jobAction" in options and job.spec["onTaskFailure"] == "noaction":
        reason = "The job's onTaskFailure is noaction, so that no jobAction can be given."
        raise refused(options["jobAction"], of="jobAction", reason=reason)
    if "dependencyAction" in options and not job.spec["usesTaskDependencies"]:
        reason = "The job's usesTaskDependencies is false, so that no dependencyAction can be given."
        raise refused(options["dependencyAction"], of="dependencyAction", reason=reason)
