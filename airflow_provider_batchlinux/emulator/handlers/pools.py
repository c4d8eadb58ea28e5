"""Operations on pools."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_provider_batchlinux.emulator.account.service import BatchService
from airflow_provider_batchlinux.emulator.handlers.serializers import pool_view
from airflow_provider_batchlinux.emulator.protocol.conditions import check_conditions
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, missing_property, refused
from airflow_provider_batchlinux.emulator.protocol.wire import (
    Call,
    Reply,
    created,
    done,
    element,
    listing,
    version_headers,
)
from airflow_provider_batchlinux.emulator.rules.networks import check_subnet
from airflow_provider_batchlinux.emulator.rules.pools import (
    check_pool_properties,
    check_targets,
    complete_pool,
    complete_pool_properties,
)
from airflow_provider_batchlinux.emulator.state.records import Pool

# Documented: a request removes at most 100 nodes.
_MOST_REMOVED = 100
_REPLACED = frozenset({"startTask", "applicationPackageReferences", "metadata"})
_ONLY_WHEN_EMPTY = frozenset(
    {
        "vmSize",
        "enableInterNodeCommunication",
        "virtualMachineConfiguration",
        "taskSlotsPerNode",
        "networkConfiguration",
        "userAccounts",
        "mountConfiguration",
    }
)


def create_pool(service: BatchService, call: Call) -> Reply:
    """Answer POST /pools."""
    body = call.read("BatchPoolCreateOptions")
    check_subnet(body, service.place.subscription_id)
    spec = complete_pool(body, service.caller(is_signed=call.is_signed))
    pool = service.pools.add(spec.pop("id"), spec, call.now)
    return created(call.url("pools", pool.id), pool.version)


async def list_pools(service: BatchService, call: Call) -> Reply:
    """Answer GET /pools."""
    return await listing(call, "pools", service.store.pools.after, lambda pool: _view(service, call, pool))


def get_pool(service: BatchService, call: Call) -> Reply:
    """Answer GET /pools/{poolId}."""
    pool = service.store.pool(call.path_values["poolId"])
    check_conditions(call, pool.version)
    return element(call, "pools", _view(service, call, pool), pool.version)


def pool_exists(service: BatchService, call: Call) -> Reply:
    """Answer HEAD /pools/{poolId}."""
    pool = service.store.pool(call.path_values["poolId"])
    check_conditions(call, pool.version)
    return Reply(200, headers=version_headers(pool.version))


def update_pool(service: BatchService, call: Call) -> Reply:
    """Answer PATCH /pools/{poolId}."""
    pool = writable_pool(service, call)
    body = call.read("BatchPoolUpdateOptions")
    check_subnet(body, service.place.subscription_id)
    check_pool_properties(body, service.caller(is_signed=call.is_signed))
    _check_changeable(service, pool, body)
    spec = {**pool.spec, **complete_pool_properties(body)}
    changed = service.store.put_pool(replace(pool, spec=spec, version=service.store.next_version(call.now)))
    return done(call, 200, changed.version)


def replace_pool_properties(service: BatchService, call: Call) -> Reply:
    """Answer POST /pools/{poolId}/updateproperties: missing and empty properties are removed."""
    pool = writable_pool(service, call)
    body = call.read("BatchPoolReplaceOptions")
    check_pool_properties(body, service.caller(is_signed=call.is_signed))
    given = {name: value for name, value in complete_pool_properties(body).items() if value != []}
    kept = {name: value for name, value in pool.spec.items() if name not in _REPLACED}
    version = service.store.next_version(call.now)
    service.store.put_pool(replace(pool, spec={**kept, **given}, version=version))
    return done(call, 204, version)


def delete_pool(service: BatchService, call: Call) -> Reply:
    """Answer DELETE /pools/{poolId}."""
    pool = writable_pool(service, call)
    service.pools.delete(pool, call.now)
    return Reply(202)


def resize_pool(service: BatchService, call: Call) -> Reply:
    """Answer POST /pools/{poolId}/resize."""
    body = call.read("BatchPoolResizeOptions")
    if "targetDedicatedNodes" not in body and "targetLowPriorityNodes" not in body:
        # Recorded: this is found before the pool is looked for.
        raise missing_property(name="targetDedicatedNodes and/or targetLowPriorityNodes")
    pool = _resizable(service, call)
    check_targets(body)
    # Recorded: a target that is left out becomes 0, it does not stay.
    targets = (body.get("targetDedicatedNodes", 0), body.get("targetLowPriorityNodes", 0))
    timeout = body.get("resizeTimeout", pool.spec["resizeTimeout"])
    pool = replace(
        pool,
        spec={**pool.spec, "resizeTimeout": timeout},
        version=service.store.next_version(call.now),
    )
    option = body.get("nodeDeallocationOption", "requeue")
    service.allocation.resize(pool, *targets, call.now, deallocation=option)
    return done(call, 202, pool.version)


def stop_pool_resize(service: BatchService, call: Call) -> Reply:
    """Answer POST /pools/{poolId}/stopresize."""
    pool = writable_pool(service, call)
    if pool.allocation_state != "resizing":
        # The service's code for this is not known; assumed.
        raise ServiceError(Code.OPERATION_INVALID_FOR_CURRENT_STATE)
    # Recorded: the pool stays the same version of itself.
    service.allocation.stop(pool, call.now)
    return done(call, 202, pool.version)


def remove_nodes(service: BatchService, call: Call) -> Reply:
    """Answer POST /pools/{poolId}/removenodes."""
    pool = _resizable(service, call)
    body = call.read("BatchNodeRemoveOptions")
    node_ids = body["nodeList"]
    if not 1 <= len(node_ids) <= _MOST_REMOVED:
        reason = f"The list has 1 to {_MOST_REMOVED} nodes."
        raise refused(len(node_ids), of="nodeList", reason=reason)
    nodes = {node_id.lower(): service.store.node(pool.id, node_id) for node_id in node_ids}
    pool = replace(pool, version=service.store.next_version(call.now))
    option = body.get("nodeDeallocationOption", "requeue")
    service.allocation.remove_nodes(pool, list(nodes.values()), call.now, deallocation=option)
    return done(call, 202, pool.version)


def writable_pool(service: BatchService, call: Call) -> Pool:
    """Return the pool in the path of a call that changes it, unless it is being deleted."""
    pool = service.store.pool(call.path_values["poolId"])
    check_conditions(call, pool.version)
    if pool.state == "deleting":
        raise ServiceError(Code.POOL_BEING_DELETED)
    return pool


def _view(service: BatchService, call: Call, pool: Pool) -> dict[str, Any]:
    return pool_view(service.store, call.base_url, pool)


def _resizable(service: BatchService, call: Call) -> Pool:
    pool = writable_pool(service, call)
    if pool.is_auto_scaled:
        # Documented as 409; the code is assumed.
        reason = "Automatic scaling is enabled on the pool: disable it first."
        raise ServiceError(Code.OPERATION_INVALID_FOR_CURRENT_STATE, {"Reason": reason})
    if pool.allocation_state != "steady":
        raise ServiceError(Code.POOL_BEING_RESIZED)
    return pool


def _check_changeable(service: BatchService, pool: Pool, body: dict[str, Any]) -> None:
    fixed = sorted(_ONLY_WHEN_EMPTY & set(body))
    if fixed and len(service.store.nodes(pool.id)):
        # Documented as possible only when the pool is empty; the answer is assumed.
        raise ServiceError(
            Code.OPERATION_INVALID_FOR_CURRENT_STATE,
            {"Reason": f"{', '.join(fixed)} can be changed only when the pool has no nodes."},
        )
