"""Making a pool be there, or be gone, whatever happened before."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.client.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.waiting import Pace, wait_for
from airflow_provider_batchlinux.core.image_query import ImageQuery
from airflow_provider_batchlinux.core.images import (
    ResolvedImage,
    describe_choice,
    needs_image_list,
    resolve_image,
)
from airflow_provider_batchlinux.core.pool_spec import PoolSpec, describe_owner, fingerprint_of
from airflow_provider_batchlinux.core.raw_pool import RawPool
from airflow_provider_batchlinux.core.supported_images import SupportedImage
from airflow_provider_batchlinux.exceptions import BatchConflictError

__all__ = ["EnsuredPool", "PoolGoneWait", "PoolWish", "ensure_pool"]

log = logging.getLogger(__name__)

_FOUND_FIELDS = ("id", "state", "metadata", "virtualMachineConfiguration")
_LOOK_INTERVAL = 5.0


@dataclass(frozen=True)
class PoolWish:
    """
    A pool to have.

    :param spec: what it shall be.
    :param owner: what asks for it, kept in the pool's metadata.
    :param needed_until: the instant up to which its image must be supported.
    :param expires_at: when it is no longer wanted, kept in its metadata; ``None`` for never.
    :param deletion_limit: seconds to wait while a pool of that id is still being deleted.
    """

    spec: PoolSpec | RawPool
    owner: Mapping[str, str]
    needed_until: datetime
    expires_at: datetime | None
    deletion_limit: float


@dataclass(frozen=True)
class EnsuredPool:
    """A pool that is there; ``created`` is ``False`` when an earlier try had made it."""

    pool_id: str
    created: bool
    image: ResolvedImage


async def ensure_pool(client: BatchLinuxClient, wish: PoolWish) -> EnsuredPool:
    """
    Create the pool, or find the one that an earlier try of the same request created.

    :raises ImageNotFoundError: the service offers no such image; nothing was created.
    :raises BatchConflictError: a pool of that id exists and was not made from the same spec.
    :raises WaitTimeoutError: a pool of that id was still being deleted at the limit.
    """
    query = ImageQuery.parse(wish.spec.image or "")
    images = await client.list_images() if needs_image_list(query) else []
    image = resolve_image(query, images, needed_until=wish.needed_until, generation=wish.spec.generation)
    log.info("%s", describe_choice(image))
    found = await _create_or_find(client, wish, image)
    if found is None:
        return EnsuredPool(wish.spec.pool_id, created=True, image=image)
    _require_same_spec(wish.spec, found)
    log.info("Pool %r is there already, made from the same spec.", wish.spec.pool_id)
    return EnsuredPool(wish.spec.pool_id, created=False, image=_image_of(found, images, wish))


@dataclass
class PoolGoneWait:
    """Wait until the service knows no pool of an id."""

    client: BatchLinuxClient
    pool_id: str
    progress: str = field(default="", init=False)

    async def look(self) -> dict[str, Any] | None:
        """Look once: the pool's id when it is gone, ``None`` to go on waiting."""
        found = await self.client.find_pool_body(self.pool_id, ["id", "state"])
        if found is None:
            self.progress = f"Pool {self.pool_id!r} is gone."
            return {"pool_id": self.pool_id}
        self.progress = f"Pool {self.pool_id!r} is {found.get('state')}; a resource lock can hold this up."
        return None


async def _create_or_find(
    client: BatchLinuxClient, wish: PoolWish, image: ResolvedImage
) -> Mapping[str, Any] | None:
    pool_id = wish.spec.pool_id
    deadline = time.time() + wish.deletion_limit
    body = wish.spec.to_rest(image, owner=wish.owner, expires_at=wish.expires_at)
    while True:
        try:
            await client.create_pool(body)
        except BatchConflictError as error:
            if error.code not in ("PoolExists", "PoolBeingDeleted"):
                raise
        else:
            return None
        found = await client.find_pool_body(pool_id, _FOUND_FIELDS)
        if found is not None and str(found.get("state")).lower() != "deleting":
            return found
        log.info("A pool %r is still being deleted; waiting until it is gone.", pool_id)
        await wait_for(PoolGoneWait(client, pool_id), Pace(_LOOK_INTERVAL, deadline))


def _require_same_spec(spec: PoolSpec | RawPool, found: Mapping[str, Any]) -> None:
    if fingerprint_of(found) == spec.fingerprint():
        return
    msg = (
        f"Pool {spec.pool_id!r} exists and was made from another spec ({describe_owner(found)}). "
        "Choose another pool_id, or delete that pool first."
    )
    raise BatchConflictError(msg, code="PoolExists")


def _image_of(found: Mapping[str, Any], images: list[SupportedImage], wish: PoolWish) -> ResolvedImage:
    configuration = found.get("virtualMachineConfiguration") or {}
    reference = {
        name: value for name, value in configuration["imageReference"].items() if name != "exactVersion"
    }
    query = ImageQuery.parse({**reference, "node_agent_sku": configuration["nodeAgentSKUId"]})
    return resolve_image(query, images, needed_until=wish.needed_until)
