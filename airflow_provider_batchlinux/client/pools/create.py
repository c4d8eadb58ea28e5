"""Making a pool be there, or be gone, whatever happened before."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.management import ManagementClient
from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.client.pools.planes import PoolBackend
from airflow_provider_batchlinux.client.pools.resolve import (
    PoolRequest,
    ResolvedPool,
    choose_pool,
    warn_of_end,
)
from airflow_provider_batchlinux.client.pools.steady import PoolSteadyWait
from airflow_provider_batchlinux.client.waits.loop import WaitSchedule, wait_for
from airflow_provider_batchlinux.core.images.catalog import SupportedImage
from airflow_provider_batchlinux.core.images.query import ImageQuery
from airflow_provider_batchlinux.core.images.resolve import (
    ResolvedImage,
    resolve_image,
)
from airflow_provider_batchlinux.core.pool_metadata import (
    fingerprint_of,
    handed_over,
    is_owned_by,
    metadata_of,
    with_later_expiry,
    with_taker,
)
from airflow_provider_batchlinux.core.pools.changes.if_exists import Action, Decision, decide
from airflow_provider_batchlinux.core.pools.changes.update_plan import ChangePlan
from airflow_provider_batchlinux.core.pools.repair.history import history_in, with_history
from airflow_provider_batchlinux.exceptions import BatchConflictError, BatchRequestError

__all__ = ["EnsuredPool", "PoolBusyError", "PoolGoneWait", "ensure_pool"]

log = logging.getLogger(__name__)

_LOOK_INTERVAL = 5.0
_CONFLICT = 409


@dataclass(frozen=True)
class EnsuredPool:
    """
    A pool that is there.

    :param created: it was made now, and not by an earlier try or somebody else.
    :param image: what its nodes run; ``None`` when a pool that was taken as it is does not tell.
    :param vm_size: the size of its nodes; ``None`` when a pool that was taken as it is does not tell.
    :param changed: the properties that were changed on it.
    :param requested_at: when a pool that was there was asked for nodes, as the service tells it in ISO 8601;
        ``None`` for a new one, whose creation that is, and where nothing had to be asked.
    """

    pool_id: str
    created: bool
    image: ResolvedImage | None
    vm_size: str | None = None
    changed: tuple[str, ...] = ()
    requested_at: str | None = None

    def to_result(self) -> dict[str, Any]:
        """Give it as plain JSON-able values."""
        image = self.image
        end = image.end_of_support if image else None
        return {
            "pool_id": self.pool_id,
            "created": self.created,
            "changed": list(self.changed),
            "requested_at": self.requested_at,
            "vm_size": self.vm_size,
            "image": dict(image.reference) if image else None,
            "node_agent_sku": image.node_agent_sku if image else None,
            "image_end_of_support": end.isoformat() if end else None,
        }


async def ensure_pool(
    client: BatchLinuxClient, wish: PoolRequest, plane: ManagementClient | None = None
) -> EnsuredPool:
    """
    Create the pool, or find the one that is there and do with it what was chosen.

    :param plane: the management plane; ``None`` when nothing is asked of it.
    :raises ImageNotFoundError: the service offers no such image; nothing was created.
    :raises BatchConflictError: a pool of that id exists and cannot be taken; nothing was changed.
    :raises WaitTimeoutError: a pool of that id was still being deleted at the deadline.
    :raises PoolBusyError: it is being deleted or resized, and nobody is to wait here.
    """
    chosen = await choose_pool(client, wish, plane)
    body = dict(chosen.body)
    site = PoolBackend(client, plane, wish.spec)
    body |= site.managed_parts
    while (found := await _create_or_find(site, body, wish)) is not None:
        decision = decide(wish.if_exists, body, found, owner=wish.owner)
        if decision.action is Action.REFUSE:
            raise BatchConflictError(decision.reason, code="PoolExists")
        log.log(logging.WARNING if decision.differences else logging.INFO, "%s", decision.reason)
        if decision.action is not Action.RECREATE:
            return await _kept(site, wish, body, found, decision, chosen)
        await client.delete_pool(wish.spec.pool_id)
    return EnsuredPool(wish.spec.pool_id, True, chosen.image, chosen.vm_size)


class PoolBusyError(Exception):
    """
    A pool of the wanted id is being deleted or resized, and is to be waited for elsewhere.

    :param is_going: it is being deleted; else it is being resized.
    """

    def __init__(self, status: str, *, is_going: bool) -> None:
        super().__init__(status)
        self.is_going = is_going


@dataclass
class PoolGoneWait:
    """Wait until the service knows no pool of an id."""

    client: BatchLinuxClient
    pool_id: str
    status: str = field(default="", init=False)

    async def poll(self) -> dict[str, Any] | None:
        """Look once: the pool's id when it is gone, ``None`` to go on waiting."""
        found = await self.client.find_pool_body(self.pool_id, ["id", "state"])
        if found is None:
            self.status = f"Pool {self.pool_id!r} is gone."
            return {"pool_id": self.pool_id}
        self.status = f"Pool {self.pool_id!r} is {found.get('state')}; a resource lock can hold this up."
        return None


async def _create_or_find(
    site: PoolBackend, body: Mapping[str, Any], wish: PoolRequest
) -> Mapping[str, Any] | None:
    """Create the pool, or give the one that is there; one that is being deleted is waited out."""
    pool_id = body["id"]
    while True:
        try:
            await site.create(body)
        except BatchConflictError as error:
            if error.code not in ("PoolExists", "PoolBeingDeleted"):
                raise
        else:
            return None
        found = await site.find(pool_id)
        if found is not None and str(found.get("state")).lower() != "deleting":
            return found
        log.info("A pool %r is still being deleted; waiting until it is gone.", pool_id)
        await _wait_out(PoolGoneWait(site.client, pool_id), wish)


async def _wait_out(wait: PoolGoneWait | PoolSteadyWait, wish: PoolRequest) -> None:
    if wish.hold:
        await wait_for(wait, WaitSchedule(_LOOK_INTERVAL, wish.deadline))
    elif await wait.poll() is None:
        raise PoolBusyError(wait.status, is_going=isinstance(wait, PoolGoneWait))


async def _kept(
    site: PoolBackend,
    wish: PoolRequest,
    body: Mapping[str, Any],
    found: Mapping[str, Any],
    decision: Decision,
    chosen: ResolvedPool,
) -> EnsuredPool:
    changed: tuple[str, ...] = ()
    if decision.action is Action.CHANGE:
        await _apply(site, body, decision.plan, wish)
        changed = tuple(dict.fromkeys(item.property_name for item in decision.differences))
        found = {**found, **decision.plan.patch}
    elif fingerprint_of(found) is not None and not is_owned_by(found, wish.owner):
        # Another Dag run made it, maybe for less time; ours must not lose it in its middle.
        await change_metadata(
            site.client,
            wish.spec.pool_id,
            lambda marks: with_taker(with_later_expiry(marks, wish.expires_at), wish.owner),
        )
    if history_in(metadata_of(found)).is_abandoned(datetime.now(timezone.utc)):
        await _finish_repair(site.client, found)
    if decision.action is Action.KEEP and decision.plan.resize is not None:
        await _ask_again(site.client, wish.spec.pool_id, decision.plan.resize)
        await change_metadata(site.client, wish.spec.pool_id, _with_new_requests)
    image, vm_size = _image_of(found, chosen.images, wish), found.get("vmSize")
    if image is not None and image.reference != chosen.image.reference:
        warn_of_end(image, wish)
    is_asked = decision.plan.resize is not None
    requested_at = await _requested_at(site.client, wish.spec.pool_id, found) if is_asked else None
    return EnsuredPool(wish.spec.pool_id, False, image, vm_size, changed, requested_at)


def _targets_of(body: Mapping[str, Any]) -> tuple[int, int] | None:
    if body.get("enableAutoScale"):
        return None
    return int(body.get("targetDedicatedNodes") or 0), int(body.get("targetLowPriorityNodes") or 0)


async def _requested_at(client: BatchLinuxClient, pool_id: str, before: Mapping[str, Any]) -> str | None:
    """Give by the service's own clock when a resize has begun, or an instant not long before."""
    names = ("allocationState", "allocationStateTransitionTime")
    now = await client.find_pool_body(pool_id, ["id", *names])
    # One that is over by now has the time of its end, and with it that of its errors.
    is_on = now is not None and str(now.get(names[0])).lower() == "resizing"
    found: str | None = (now if now is not None and is_on else before).get(names[1])
    return found


def _with_new_requests(metadata: Mapping[str, str]) -> dict[str, str]:
    # A wait that asks again counts from here.
    return with_history(metadata, replace(history_in(metadata), resize=None))


async def _finish_repair(client: BatchLinuxClient, found: Mapping[str, Any]) -> None:
    """Grow a pool back to its size after a repair that was abandoned."""
    history, targets = history_in(metadata_of(found)), _targets_of(found)
    if history.grow_to is not None and targets is not None and history.is_left_by_repair(targets):
        dedicated, spot = history.grow_to
        body = {"targetDedicatedNodes": dedicated, "targetLowPriorityNodes": spot}
        await _ask_again(client, found["id"], body)


async def _ask_again(client: BatchLinuxClient, pool_id: str, resize: Mapping[str, Any]) -> None:
    try:
        await client.resize_pool(pool_id, resize)
    except BatchRequestError as error:
        # Others create the same pool, and one of them was faster: then a resize is going on.
        if error.status != _CONFLICT:
            raise
        log.info("Pool %r is not asked for its nodes again: %s", pool_id, error)


async def _apply(site: PoolBackend, body: Mapping[str, Any], plan: ChangePlan, wish: PoolRequest) -> None:
    client, pool_id = site.client, body["id"]
    await site.update(pool_id, {name: value for name, value in plan.patch.items() if name != "metadata"})
    if plan.changes_scale:
        await _wait_out(PoolSteadyWait(client, pool_id), wish)
    if plan.disable_autoscale:
        await client.disable_autoscale(pool_id)
    if plan.autoscale is not None:
        await client.enable_autoscale(pool_id, plan.autoscale)
    if plan.resize is not None:
        await client.resize_pool(pool_id, plan.resize)
    # The new fingerprint comes last, so that the next try takes up what this one did not finish.
    wanted = metadata_of(body)
    await change_metadata(client, pool_id, lambda found: handed_over(found, wanted))


def _image_of(
    found: Mapping[str, Any], images: Sequence[SupportedImage], wish: PoolRequest
) -> ResolvedImage | None:
    configuration = found.get("virtualMachineConfiguration")
    if not configuration:
        return None
    reference = {
        name: value for name, value in configuration["imageReference"].items() if name != "exactVersion"
    }
    query = ImageQuery.parse({**reference, "node_agent_sku": configuration["nodeAgentSKUId"]})
    return resolve_image(query, images, needed_until=wish.needed_until)
