"""Adopt a pool that exists: keep it, or change it into the requested one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.backend import PoolBackend
from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.client.pools.resize import RESIZE_CONFLICTS
from airflow_provider_batchlinux.core.pool_metadata import (
    MAX_HOLDERS,
    Holder,
    PoolMarks,
    handed_over,
    metadata_of,
)
from airflow_provider_batchlinux.core.pools.changes.if_exists import Decision
from airflow_provider_batchlinux.core.pools.create_requests import PoolRequest
from airflow_provider_batchlinux.core.pools.repair import history_in, switched_off_formula, with_history
from airflow_provider_batchlinux.exceptions import BatchRequestError

log = logging.getLogger(__name__)

_FORMULA_LEFT_OFF = (
    "Pool %r: an earlier release of the provider has switched off its autoscale formula for a repair. Enable "
    "it again with BatchLinuxEnableAutoscaleOperator(formula=%r)."
)
_TOO_MANY = (
    "Pool %r: more Dag runs use it than its metadata can list. Teardowns keep it, and the sweeper deletes it "
    "only at its expiry: give it expires_in, or delete it with force=True."
)


@dataclass(frozen=True)
class AdoptedPool:
    """
    A pool that a request has adopted.

    :param body: the pool as the service returned it, with the properties that were changed.
    :param changed: the names of these properties.
    :param requested_at: when its resize began, by the service's clock; ``None`` if none was requested.
    """

    body: Mapping[str, Any]
    changed: tuple[str, ...] = ()
    requested_at: str | None = None


async def change_pool(
    backend: PoolBackend,
    request: PoolRequest,
    body: Mapping[str, Any],
    found: Mapping[str, Any],
    decision: Decision,
) -> AdoptedPool:
    """Change a pool in place into the requested one."""
    client, pool_id, plan = backend.client, body["id"], decision.plan
    await backend.update(pool_id, {name: value for name, value in plan.patch.items() if name != "metadata"})
    # In this order: the service refuses a resize while autoscale is enabled.
    if plan.disable_autoscale:
        await client.disable_autoscale(pool_id)
    if plan.autoscale is not None:
        await client.enable_autoscale(pool_id, plan.autoscale)
    if plan.resize is not None:
        await client.resize_pool(pool_id, plan.resize)
    # The new fingerprint is written last: until then, a retry sees the differences and completes the change.
    wanted = metadata_of(body)
    await change_metadata(client, pool_id, lambda metadata: handed_over(metadata, wanted))
    # With the new size: it makes the targets to which an abandoned repair would grow the pool obsolete.
    size = plan.resize or ({"enableAutoScale": True} if plan.autoscale is not None else {})
    changed = {**found, **plan.patch, **size}
    await _finish_abandoned_repair(client, {**changed, "metadata": found.get("metadata")}, request.now)
    requested_at = await _resize_began_at(client, found) if plan.resize is not None else None
    names = tuple(dict.fromkeys(item.property_name for item in decision.differences))
    return AdoptedPool(changed, names, requested_at)


async def keep_pool(
    client: BatchLinuxClient, request: PoolRequest, found: Mapping[str, Any], decision: Decision
) -> AdoptedPool:
    """Keep a pool, record that another Dag run uses it, and request missing nodes again."""
    pool_id = request.spec.pool_id

    def held(metadata: Mapping[str, str]) -> dict[str, str]:
        return _held(PoolMarks.read(metadata), request).update(metadata)

    # Also a pool that another client created: no teardown may delete it then.
    after = await change_metadata(client, pool_id, held)
    if after is not None and PoolMarks.read(after).has_more_holders:
        log.warning(_TOO_MANY, pool_id)
    await _finish_abandoned_repair(client, found, request.now)
    if decision.plan.resize is None:
        return AdoptedPool(found)
    await _resize_again(client, pool_id, decision.plan.resize)
    # The wait that follows counts its own requests for missing nodes from zero.
    await change_metadata(
        client, pool_id, lambda metadata: with_history(metadata, replace(history_in(metadata), resize=None))
    )
    return AdoptedPool(found, requested_at=await _resize_began_at(client, found))


def _held(marks: PoolMarks, request: PoolRequest) -> PoolMarks:
    """Return the marks after the Dag run of a request uses the pool, too."""
    if not marks.is_owned_by(request.owner):
        # Another task instance created it, perhaps for a shorter time: it must not expire during this one.
        marks = replace(marks.with_later_expiry(request.expires_at), is_shared=True)
    # Asking Airflow costs a request a run, so it is asked only when the metadata is full.
    if len(marks.all_holders) >= MAX_HOLDERS:
        ended = [holder for holder in marks.all_holders if request.has_ended(holder)]
        marks = replace(marks, holders=tuple(item for item in marks.all_holders if item not in ended))
    return marks.held_by(Holder.of(request.owner))


async def _finish_abandoned_repair(client: BatchLinuxClient, found: Mapping[str, Any], now: datetime) -> None:
    """Grow a pool back to the size that a repair has reduced, if the repair's worker or triggerer died."""
    if (formula := switched_off_formula(metadata_of(found))) and not found.get("enableAutoScale"):
        log.warning(_FORMULA_LEFT_OFF, found["id"], formula)
    history = history_in(metadata_of(found))
    if history.grow_to is None or found.get("enableAutoScale") or not history.is_abandoned(now):
        return
    targets = int(found.get("targetDedicatedNodes") or 0), int(found.get("targetLowPriorityNodes") or 0)
    if history.is_left_by_repair(targets):
        dedicated, spot = history.grow_to
        body = {"targetDedicatedNodes": dedicated, "targetLowPriorityNodes": spot}
        await _resize_again(client, found["id"], body)


async def _resize_again(client: BatchLinuxClient, pool_id: str, resize: Mapping[str, Any]) -> None:
    try:
        await client.resize_pool(pool_id, resize)
    except BatchRequestError as error:
        # Several tasks may create the same pool: another one was faster, and its resize is running.
        if error.code not in RESIZE_CONFLICTS:
            raise
        log.info("Pool %r: its missing nodes are not requested again: %s", pool_id, error)


async def _resize_began_at(client: BatchLinuxClient, before: Mapping[str, Any]) -> str | None:
    """Return when the resize that was just requested began, by the service's clock, or an earlier instant."""
    names = ("allocationState", "allocationStateTransitionTime")
    now = await client.find_pool_body(before["id"], ["id", *names])
    # A resize that is over has the time of its end, which is that of its errors: they would count as old.
    is_running = now is not None and str(now.get(names[0])).lower() == "resizing"
    began: str | None = (now if now is not None and is_running else before).get(names[1])
    return began
