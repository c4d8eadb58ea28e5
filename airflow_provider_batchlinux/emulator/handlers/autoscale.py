"""Operations on the automatic scaling of pools."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_batchlinux.emulator.account.service import BatchService
from airflow_provider_batchlinux.emulator.autoscale.settings import (
    auto_scale_settings,
    check_formula,
    unscaled,
)
from airflow_provider_batchlinux.emulator.handlers.pools import writable_pool
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, missing_property
from airflow_provider_batchlinux.emulator.protocol.wire import Call, Reply, done, entity
from airflow_provider_batchlinux.emulator.state.records import Pool

# Documented: autoscale can be enabled again only 30 seconds after the last time.
_SECONDS_BETWEEN_ENABLES = 30.0


def enable_pool_auto_scale(service: BatchService, call: Call) -> Reply:
    """Answer POST /pools/{poolId}/enableautoscale."""
    pool = writable_pool(service, call)
    given = call.read("BatchPoolEnableAutoScaleOptions")
    if not pool.is_auto_scaled and pool.allocation_state != "steady":
        raise ServiceError(Code.POOL_BEING_RESIZED)
    if pool.is_auto_scaled and not given:
        raise missing_property(name="autoScaleFormula")
    settings = auto_scale_settings(given, pool.spec)
    _check_pause(pool, call)
    pool = replace(pool, spec={**pool.spec, **settings}, auto_scale_enabled=call.now)
    # Recorded: the pool becomes another version of itself only if a resize begins.
    return done(call, 200, service.scaler.enable(pool, call.now).version)


def disable_pool_auto_scale(service: BatchService, call: Call) -> Reply:
    """
    Answer POST /pools/{poolId}/disableautoscale.

    Recorded: a resize that goes on is stopped, and the pool stays the same version of itself. Assumed: a
    pool that does not scale automatically is not refused.
    """
    pool = writable_pool(service, call)
    pool = replace(pool, spec=unscaled(pool.spec), auto_scale_run=None)
    service.scaler.disable(pool.id)
    service.store.put_pool(pool)
    if pool.allocation_state == "resizing":
        service.allocation.stop(pool, call.now)
    return done(call, 200, pool.version)


def evaluate_pool_auto_scale(service: BatchService, call: Call) -> Reply:
    """
    Answer POST /pools/{poolId}/evaluateautoscale.

    Documented: the pool has to scale automatically. The code of the refusal is assumed.
    """
    pool = writable_pool(service, call)
    formula = call.read("BatchPoolEvaluateAutoScaleOptions")["autoScaleFormula"]
    if not pool.is_auto_scaled:
        reason = "Automatic scaling is not enabled on the pool."
        raise ServiceError(Code.OPERATION_INVALID_FOR_CURRENT_STATE, {"Reason": reason})
    check_formula(formula)
    reply = entity(call, "AutoScaleRun", service.scaler.evaluate(pool, formula, call.now))
    return replace(reply, headers={**reply.headers, **done(call, 200).headers})


def _check_pause(pool: Pool, call: Call) -> None:
    last = pool.auto_scale_enabled
    if last is not None and (call.now - last).total_seconds() < _SECONDS_BETWEEN_ENABLES:
        raise ServiceError(Code.TOO_MANY_ENABLE_AUTO_SCALE_REQUESTS)
