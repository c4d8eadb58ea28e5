"""Create or adopt a pool idempotently."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.management import ManagementClient
from airflow_provider_batchlinux.client.pools.adopt import change_pool, keep_pool
from airflow_provider_batchlinux.client.pools.backend import PoolBackend
from airflow_provider_batchlinux.client.pools.resolve import resolve_pool, warn_of_end_of_support
from airflow_provider_batchlinux.core.images.resolve import ResolvedImage
from airflow_provider_batchlinux.core.pool_metadata import MARKS_VERSION, Holder, PoolMarks
from airflow_provider_batchlinux.core.pools.changes.if_exists import Action, decide
from airflow_provider_batchlinux.core.pools.create_requests import PoolRequest
from airflow_provider_batchlinux.core.pools.holding import holding_of
from airflow_provider_batchlinux.exceptions import BatchConflictError, BatchRequestError

log = logging.getLogger(__name__)


class Obstacle(Enum):
    """Why a pool cannot be created or changed yet."""

    BEING_DELETED = "being deleted"
    BEING_RESIZED = "being resized"


@dataclass(frozen=True)
class EnsuredPool:
    """
    A pool that exists.

    :param created: whether this request created it.
    :param image: the image of its nodes; ``None`` if an adopted pool does not say.
    :param vm_size: the VM size of its nodes; ``None`` if an adopted pool does not say.
    :param changed: the properties that this request changed.
    :param requested_at: when the resize of an adopted pool began, by the service's clock in ISO 8601;
        ``None`` for a created one, and if no resize was requested.
    """

    pool_id: str
    created: bool
    image: ResolvedImage | None
    vm_size: str | None = None
    changed: tuple[str, ...] = ()
    requested_at: str | None = None

    def to_result(self) -> dict[str, Any]:
        """Return the pool as the create operator's result."""
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
    client: BatchLinuxClient, request: PoolRequest, plane: ManagementClient | None = None
) -> EnsuredPool | Obstacle:
    """
    Create the pool, or adopt the one that exists as the request's ``if_exists`` says.

    :param plane: the management plane; ``None`` if it is not available or not needed.
    :return: the pool, or what to wait for before calling this again.
    :raises ImageNotFoundError: if the service offers no such image; nothing was created.
    :raises BatchConflictError: if a pool with this id exists and cannot be adopted; nothing was changed.
    """
    resolved = await resolve_pool(client, request, plane)
    backend = PoolBackend(client, plane, request.spec)
    body = {**request.marked(resolved.body), **backend.managed_parts}
    pool_id = request.spec.pool_id
    # A turn of this loop follows a recreate only: the next create finds the pool being deleted, or none.
    while (found := await _create_or_find(backend, body)) is not None:
        if str(found.get("state")).lower() == "deleting":
            log.info("Pool %r is still being deleted.", pool_id)
            return Obstacle.BEING_DELETED
        _require_known_marks(found)
        decision = decide(request.if_exists, body, found, owner=request.owner)
        if decision.action is Action.REFUSE:
            raise BatchConflictError(decision.reason, code="PoolExists")
        # The service refuses a second resize; the other changes of the plan would be made without it.
        is_steady = str(found.get("allocationState", "steady")).lower() == "steady"
        if decision.action is Action.CHANGE and decision.plan.changes_scale and not is_steady:
            log.info("Pool %r is being resized, and cannot be resized again before that is over.", pool_id)
            return Obstacle.BEING_RESIZED
        is_warning = decision.differences or decision.not_compared
        log.log(logging.WARNING if is_warning else logging.INFO, "%s", decision.reason)
        if decision.action is Action.RECREATE:
            await _delete_to_recreate(client, request, found)
            continue
        if decision.action is Action.CHANGE:
            adopted = await change_pool(backend, request, body, found, decision)
        else:
            adopted = await keep_pool(client, request, found, decision)
        image, vm_size = resolved.image_of(adopted.body, request.needed_until), adopted.body.get("vmSize")
        if image is not None and image.reference != resolved.image.reference:
            warn_of_end_of_support(image, request.now)
        return EnsuredPool(pool_id, False, image, vm_size, adopted.changed, adopted.requested_at)
    return EnsuredPool(pool_id, True, resolved.image, resolved.vm_size)


def _require_known_marks(found: Mapping[str, Any]) -> None:
    version = PoolMarks.of(found).version
    if version > MARKS_VERSION:
        msg = (
            f"Pool {found['id']!r} was marked by a later release of the provider: its marks have version "
            f"{version}, and this release reads versions up to {MARKS_VERSION}. Update the provider, or "
            "choose another pool_id."
        )
        raise BatchConflictError(msg, code="PoolExists")


async def _delete_to_recreate(
    client: BatchLinuxClient, request: PoolRequest, found: Mapping[str, Any]
) -> None:
    pool_id, run = request.spec.pool_id, Holder.of(request.owner)
    marks = replace(PoolMarks.of(found).released_by(run), kept_until=None)
    # A pool that this provider did not create has no marks.
    if marks.creator is not None and (held := holding_of(marks, request.now, request.has_ended)):
        msg = (
            f"Pool {pool_id!r} is not recreated, because {held}. Wait for that, create a pool with another "
            "pool_id, or delete this one with BatchLinuxDeletePoolOperator(force=True) first."
        )
        raise BatchConflictError(msg, code="PoolExists")
    try:
        await client.delete_pool(pool_id, etag=found.get("eTag"))
    except BatchRequestError as error:
        if error.code != "ConditionNotMet":
            raise
        log.info("Pool %r has changed in the meantime; it is looked at again.", pool_id)


async def _create_or_find(backend: PoolBackend, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Create the pool and return ``None``, or return the pool that has its id."""
    while True:
        try:
            await backend.create(body)
        except BatchConflictError as error:
            if error.code not in ("PoolExists", "PoolBeingDeleted"):
                raise
        else:
            return None
        # If a deletion has ended between the two requests, there is no pool: try again.
        found = await backend.find(body["id"])
        if found is not None:
            return found
