"""Validation and defaults of the autoscale settings of a pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_batchlinux.emulator.autoscale.problems import FormulaSyntaxError
from airflow_provider_batchlinux.emulator.autoscale.syntax import parse
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, refused
from airflow_provider_batchlinux.emulator.protocol.instants import parse_duration

# Documented, as are the five minutes and the 168 hours of the interval.
_LONGEST_FORMULA = 8192
_SHORTEST_INTERVAL, _LONGEST_INTERVAL = 5 * 60.0, 168 * 3600.0
_NAMES = ("autoScaleFormula", "autoScaleEvaluationInterval")
_TARGETS = ("targetDedicatedNodes", "targetLowPriorityNodes")


def settings_of_new_pool(body: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the autoscale settings of a new pool.

    Documented: a formula requires ``enableAutoScale``, which excludes targets. The error code is assumed.

    :raises ServiceError: the settings contradict each other, or a value is invalid.
    """
    is_scaled = body.get("enableAutoScale", False)
    unfit = [name for name in (_TARGETS if is_scaled else _NAMES) if name in body]
    if unfit:
        relation = "with" if is_scaled else "without"
        raise _invalid_settings(reason=f"{', '.join(unfit)} cannot be given {relation} enableAutoScale.")
    if not is_scaled:
        return {"enableAutoScale": False}
    return auto_scale_settings({name: body[name] for name in _NAMES if name in body}, {})


def auto_scale_settings(given: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the autoscale settings of a pool with automatic scaling.

    :param before: the current description of the pool, for settings that are not given.
    :raises ServiceError: the formula is missing or invalid, or the interval is not from five minutes to
        168 hours.
    """
    known = {name: before[name] for name in _NAMES if name in before}
    settings = {"autoScaleEvaluationInterval": "PT15M", **known, **given, "enableAutoScale": True}
    if "autoScaleFormula" not in settings:
        raise _invalid_settings(reason="A pool that scales automatically needs an autoScaleFormula.")
    check_formula(settings["autoScaleFormula"])
    _check_interval(settings["autoScaleEvaluationInterval"])
    return settings


def unscaled(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a pool after automatic scaling is disabled."""
    return {name: value for name, value in spec.items() if name not in _NAMES} | {"enableAutoScale": False}


def check_formula(formula: str) -> None:
    """Raise an error if a formula is too long or invalid."""
    if len(formula) > _LONGEST_FORMULA:
        raise ServiceError(Code.AUTO_SCALE_FORMULA_TOO_LONG)
    try:
        parse(formula)
    except FormulaSyntaxError as error:
        raise ServiceError(Code.AUTO_SCALING_FORMULA_SYNTAX_ERROR, {"Reason": error.detail}) from None


def _check_interval(interval: str) -> None:
    if not _SHORTEST_INTERVAL <= parse_duration(interval) <= _LONGEST_INTERVAL:
        raise refused(interval, of="autoScaleEvaluationInterval")


def _invalid_settings(*, reason: str) -> ServiceError:
    return ServiceError(Code.INVALID_AUTO_SCALING_SETTINGS, {"Reason": reason})
