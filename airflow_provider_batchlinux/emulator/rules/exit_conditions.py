"""Tells what follows from how a task ended, for its job and for those that depend on it; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_batchlinux.emulator.blobs.failures import DOWNLOAD_CODES, UPLOAD_CODES
from airflow_provider_batchlinux.emulator.state.records import Json

_PRE_PROCESSING_CODES = DOWNLOAD_CODES | {
    "CommandProgramNotFound",
    "CommandLaunchFailed",
    "ContainerPoolNotSupported",
}


def dependency_action(spec: Json, execution: Json) -> str:
    """
    Tell whether a completed task lets those that depend on it run: ``satisfy`` or ``block``.

    :param spec: the task's description.
    :param execution: the task's ``executionInfo``.
    """
    usual = "satisfy" if _is_success(execution) else "block"
    return str(_options(spec.get("exitConditions", {}), execution).get("dependencyAction", usual))


def job_action(spec: Json, execution: Json) -> str:
    """Tell what a completed task asks for its job: ``none``, ``disable`` or ``terminate``."""
    usual = "none" if _is_success(execution) else "terminate"
    return str(_options(spec.get("exitConditions", {}), execution).get("jobAction", usual))


def each_exit_options(conditions: Json) -> Iterator[Json]:
    """Return all the options that exit conditions hold, for whatever exit."""
    for name, value in conditions.items():
        if name in ("exitCodes", "exitCodeRanges"):
            yield from (mapping["exitOptions"] for mapping in value)
        else:
            yield value


def _is_success(execution: Json) -> bool:
    return execution.get("result") == "success"


def _options(conditions: Json, execution: Json) -> Mapping[str, Any]:
    """
    Return the options of the condition that holds.

    Codes go before ranges, which is not documented; assumed. An exit code that is listed goes before a
    failed upload, and exit code 0 is never ``default``, as documented.
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
