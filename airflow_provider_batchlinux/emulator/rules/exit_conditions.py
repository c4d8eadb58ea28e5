"""Exit conditions: the effect of a task's end on its job and on tasks that depend on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_batchlinux.emulator.blobs.failures import DOWNLOAD_CODES, UPLOAD_CODES
from airflow_provider_batchlinux.emulator.state.records import Json

_PRE_PROCESSING_CODES = DOWNLOAD_CODES | {
    "CommandProgramNotFound",
    "CommandLaunchFailed",
    "ContainerPoolNotSupported",
    "ContainerTaskSettingsNotFound",
    "ContainerInvalidSettings",
    "ContainerInvalidImage",
}


def dependency_action(spec: Json, execution: Json) -> str:
    """
    Return the dependency action of a completed task: ``satisfy`` or ``block``.

    :param spec: description of the task.
    :param execution: its ``executionInfo``.
    """
    usual = "satisfy" if _is_success(execution) else "block"
    return str(_options(spec.get("exitConditions", {}), execution).get("dependencyAction", usual))


def job_action(spec: Json, execution: Json) -> str:
    """Return the job action of a completed task: ``none``, ``disable`` or ``terminate``."""
    usual = "none" if _is_success(execution) else "terminate"
    return str(_options(spec.get("exitConditions", {}), execution).get("jobAction", usual))


def each_exit_options(conditions: Json) -> Iterator[Json]:
    """Yield all exit options in exit conditions."""
    for name, value in conditions.items():
        if name in ("exitCodes", "exitCodeRanges"):
            yield from (mapping["exitOptions"] for mapping in value)
        else:
            yield value


def _is_success(execution: Json) -> bool:
    return execution.get("result") == "success"


def _options(conditions: Json, execution: Json) -> Mapping[str, Any]:
    """
    Return the exit options of the matching condition.

    Documented: a listed exit code has precedence over a failed upload, and exit code 0 is never ``default``.
    Assumed: codes have precedence over ranges.
    """
    listed = _by_exit_code(conditions, execution.get("exitCode"))
    if listed is not None:
        return listed
    if _is_success(execution):
        return {}
    failure = execution.get("failureInfo", {}).get("code")
    if failure in _PRE_PROCESSING_CODES and "preProcessingError" in conditions:
        return dict(conditions["preProcessingError"])
    if failure in UPLOAD_CODES and "fileUploadError" in conditions:
        return dict(conditions["fileUploadError"])
    return dict(conditions.get("default", {}))


def _by_exit_code(conditions: Json, exit_code: int | None) -> Mapping[str, Any] | None:
    if exit_code is None:
        return None
    for mapping in conditions.get("exitCodes", ()):
        if mapping["code"] == exit_code:
            return dict(mapping["exitOptions"])
    for mapping in conditions.get("exitCodeRanges", ()):
        if mapping["start"] <= exit_code <= mapping["end"]:
            return dict(mapping["exitOptions"])
    return None
