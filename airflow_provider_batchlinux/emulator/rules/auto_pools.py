"""Validation and defaults of the pool information of jobs."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, missing_property, refused
from airflow_provider_batchlinux.emulator.rules.caller import Caller
from airflow_provider_batchlinux.emulator.rules.pools import complete_pool
from airflow_provider_batchlinux.emulator.state.records import Json

_PREFIX = re.compile(r"[A-Za-z0-9_-]{0,20}")
_LATER = {
    Code.POOL_QUOTA_REACHED.code: "AutoPoolCreationFailedWithQuotaReached",
    Code.INVALID_APPLICATION_PACKAGE_REFERENCES.code: "InvalidApplicationPackageReferencesInAutoPool",
    Code.AUTO_SCALING_FORMULA_SYNTAX_ERROR.code: "InvalidAutoScaleFormulaInAutoPool",
    Code.AUTO_SCALE_FORMULA_TOO_LONG.code: "InvalidAutoScaleFormulaInAutoPool",
    Code.INVALID_AUTO_SCALING_SETTINGS.code: "InvalidAutoScaleFormulaInAutoPool",
}
"""Errors that are found when the pool is created, and the documented scheduling errors of the job."""


def auto_pool_of(info: Json) -> Json:
    """Return the description of the auto pool in the pool information of a job; empty if it has none."""
    pool: Json = info.get("autoPoolSpecification", {}).get("pool", {})
    return pool


def complete_pool_info(info: Json, *, is_scheduled: bool, caller: Caller) -> Json:
    """
    Return the pool information of a job with defaults.

    Assumed: invalid values are refused when the job is created. Only errors with a documented scheduling
    error are reported by the job later.

    :param is_scheduled: whether the job belongs to a job schedule.
    :raises ServiceError: the body has neither pool nor auto pool, or both, or an invalid auto pool.
    """
    if "autoPoolSpecification" not in info:
        if "poolId" not in info:
            raise missing_property(name="poolId")
        return info
    auto = info["autoPoolSpecification"]
    if "poolId" in info:
        raise refused(info["poolId"], of="poolId", reason="A job has a pool or an automatic pool, not both.")
    _check(auto, is_scheduled=is_scheduled)
    pool = _complete_unless_later(auto["pool"], caller)
    return {"autoPoolSpecification": {"keepAlive": False, **auto, "pool": pool}}


def complete_auto_pool(pool: Json, caller: Caller) -> dict[str, Any]:
    """
    Return the description of an auto pool with defaults.

    :raises ServiceError: the first invalid value.
    """
    targets = {} if pool.get("enableAutoScale") else {"targetDedicatedNodes": 0, "targetLowPriorityNodes": 0}
    complete = complete_pool({"id": "auto", **targets, **pool}, caller)
    del complete["id"]
    return complete


def scheduling_error(error: ServiceError) -> Json | None:
    """Return the scheduling error of a job for an error of its pool; ``None`` if the job is refused."""
    if error.code not in _LATER:
        return None
    details = [{"name": name, "value": value} for name, value in error.values.items()]
    return {
        "category": "usererror",
        "code": _LATER[error.code],
        "message": error.sentence,
        "details": details,
    }


def _check(auto: Json, *, is_scheduled: bool) -> None:
    if "pool" not in auto:
        raise missing_property(name="pool")
    prefix = auto.get("autoPoolIdPrefix", "")
    if _PREFIX.fullmatch(prefix) is None:
        raise refused(prefix, of="autoPoolIdPrefix")
    lifetime = auto["poolLifetimeOption"]
    if lifetime == "jobschedule" and not is_scheduled:
        reason = "Only pools of job schedules live as long as a job schedule."
        raise refused(lifetime, of="poolLifetimeOption", reason=reason)


def _complete_unless_later(pool: Json, caller: Caller) -> Json:
    try:
        return complete_auto_pool(pool, caller)
    except ServiceError as error:
        if scheduling_error(error) is None:
            raise
        return pool
