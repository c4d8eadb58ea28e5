"""Choosing what a pool's user left open: the image, and the VM size where several would do."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.management import ManagementClient
from airflow_provider_batchlinux.client.pools.preflight import Preflight, look_at_region, look_at_subnet
from airflow_provider_batchlinux.core.images.catalog import SupportedImage
from airflow_provider_batchlinux.core.images.end_of_support import end_warning
from airflow_provider_batchlinux.core.images.query import ImageQuery
from airflow_provider_batchlinux.core.images.resolve import (
    ImageNotFoundError,
    ResolvedImage,
    describe_choice,
    needs_image_list,
    resolve_image,
)
from airflow_provider_batchlinux.core.instants import WARNED_BEFORE
from airflow_provider_batchlinux.core.pools.changes.if_exists import IfExists
from airflow_provider_batchlinux.core.pools.changes.resize import unmet
from airflow_provider_batchlinux.core.pools.preflight import Findings, Region
from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
from airflow_provider_batchlinux.core.pools.spec.raw import RawPool
from airflow_provider_batchlinux.core.snapshots import POOL_FIELDS, PoolSnapshot
from airflow_provider_batchlinux.core.vm_sizes.names import traits_of
from airflow_provider_batchlinux.core.vm_sizes.query import VmSizeQuery
from airflow_provider_batchlinux.core.vm_sizes.sizes import find_size
from airflow_provider_batchlinux.exceptions import BatchQuotaError

__all__ = ["PoolRequest", "ResolvedPool", "choose_pool", "warn_of_end"]

log = logging.getLogger(__name__)

_TOLD = 5
"""Sizes that are named with why each was passed over, when none would do."""


@dataclass(frozen=True)
class PoolRequest:
    """
    A pool to have.

    :param spec: what it shall be.
    :param owner: what asks for it, kept in the pool's metadata.
    :param needed_until: the instant up to which its image must be supported.
    :param expires_at: when it is no longer wanted, kept in its metadata; ``None`` for never.
    :param deadline: seconds since the epoch until which a pool of that id is waited for that is still being
        deleted, or resized before a change of its size.
    :param now: the time of the request, with a time zone.
    :param if_exists: what becomes of a pool of that id that is there already.
    :param preflight: look before, where the management plane is open, whether the pool can get its nodes.
    :param hold: wait right here; ``False`` leaves the waiting to somebody else, by an error.
    """

    spec: PoolSpec | RawPool
    owner: Mapping[str, str]
    needed_until: datetime
    expires_at: datetime | None
    deadline: float | None
    now: datetime
    if_exists: IfExists = "reuse"
    preflight: bool = False
    hold: bool = True


@dataclass(frozen=True)
class ResolvedPool:
    """
    A pool of which nothing is open any more.

    :param body: the body that creates it.
    :param images: the images that the service lists, where they were asked for.
    """

    body: Mapping[str, Any]
    image: ResolvedImage
    vm_size: str
    images: Sequence[SupportedImage]


@dataclass(frozen=True)
class _PassedOver:
    """
    Why a VM size would not do.

    :param error: why no image fits it, with the nearest; ``None`` when it is the region or the quotas.
    """

    found: Findings
    error: ImageNotFoundError | None = None

    def __str__(self) -> str:
        return " ".join([*self.found.problems, *self.found.shortages])


async def choose_pool(
    client: BatchLinuxClient, wish: PoolRequest, plane: ManagementClient | None
) -> ResolvedPool:
    """
    Choose the image, and the first VM size that would do: in its region, within quotas, fit for the image.

    :param plane: the management plane; ``None`` when nothing is asked of it. Then the first size that was
        named is taken.
    :raises ImageNotFoundError: the service offers no such image.
    :raises ValueError: no size would do.
    :raises BatchQuotaError: none would now, but were quotas not used up.
    """
    query = ImageQuery.parse(wish.spec.image or "")
    images = await client.list_images() if needs_image_list(query) else []
    region = await _region(plane, wish)
    preflight = await _preflight(client, plane, wish, region)
    passed: dict[str, _PassedOver] = {}
    for name in await _size_names(client, wish, region):
        try:
            image = _image(query, images, wish, region, name)
            body = wish.spec.to_rest(image, vm_size=name, owner=wish.owner, expires_at=wish.expires_at)
        except ImageNotFoundError as error:
            passed[name] = _PassedOver(Findings((f"no image of {query.text!r} fits it.",)), error)
            continue
        found = _look(preflight, body, images, wish)
        if found.problems or found.shortages:
            passed[name] = _PassedOver(found)
            continue
        _tell(image, wish, name, passed)
        return ResolvedPool(body, image, name, images)
    raise _none_fits(wish, passed)


async def _preflight(
    client: BatchLinuxClient, plane: ManagementClient | None, wish: PoolRequest, region: Region | None
) -> Preflight | None:
    if region is None or plane is None:
        return None
    subnet_id = wish.spec.subnet_id
    return await Preflight.at(client, region, await look_at_subnet(plane, subnet_id) if subnet_id else None)


def _look(
    preflight: Preflight | None, body: Mapping[str, Any], images: Sequence[SupportedImage], wish: PoolRequest
) -> Findings:
    if preflight is None:
        return Findings()
    until, name_of = wish.needed_until, wish.spec.name_of
    return preflight.check(body, images, needed_until=until, now=wish.now, name_of=name_of)


async def _region(plane: ManagementClient | None, wish: PoolRequest) -> Region | None:
    if plane is None:
        return None
    if VmSizeQuery.parse(wish.spec.vm_size).needs_region:
        return await plane.region()
    return await look_at_region(plane) if wish.preflight else None


async def _size_names(client: BatchLinuxClient, wish: PoolRequest, region: Region | None) -> Sequence[str]:
    """Name the sizes to consider, best first; the one of a pool that is there comes before all others."""
    query = VmSizeQuery.parse(wish.spec.vm_size)
    if len(query.names) == 1:
        return query.names
    sizes = region.sizes if region is not None else ()
    names = query.candidates(sizes)
    if not names:
        raise ValueError(_nothing_suits(wish, query, region))
    found = await client.find_pool_body(wish.spec.pool_id, [*POOL_FIELDS, "vmSize"])
    if found is not None:
        return _after(str(found["vmSize"]), names, PoolSnapshot.from_rest(found))
    # Nothing is known of the others' chances, where the management plane tells nothing.
    return names if region is not None else names[:1]


def _after(there: str, names: Sequence[str], pool: PoolSnapshot) -> Sequence[str]:
    """Keep to the size of the pool that is there, or go on to the next when it got no node of that size."""
    places = [place for place, name in enumerate(names) if name.lower() == there.lower()]
    if not places:
        return names
    if pool.current == 0 and unmet(pool):
        return [*names[places[0] + 1 :], *names[: places[0] + 1]][:1]
    return [names[places[0]]]


def _nothing_suits(wish: PoolRequest, query: VmSizeQuery, region: Region | None) -> str:
    where = "no region is known" if region is None else f"Batch offers none in {region.name!r}"
    return f"Pool {wish.spec.pool_id!r} was not made: vm_size asks for {query}, and {where}. Ask for less."


def _image(
    query: ImageQuery,
    images: Sequence[SupportedImage],
    wish: PoolRequest,
    region: Region | None,
    vm_size: str,
) -> ResolvedImage:
    size = find_size(vm_size, region.sizes) if region is not None else None
    traits = traits_of(vm_size) if size is None else size.traits
    return resolve_image(
        query,
        images,
        needed_until=wish.needed_until,
        generation=wish.spec.generation or traits.generation,
        architecture=traits.architecture,
    )


def _tell(image: ResolvedImage, wish: PoolRequest, vm_size: str, passed: Mapping[str, _PassedOver]) -> None:
    for name, why in passed.items():
        log.warning("VM size %r is passed over: %s", name, why)
    if vm_size != wish.spec.vm_size:
        log.info("VM size %s, of %s.", vm_size, VmSizeQuery.parse(wish.spec.vm_size))
    log.info("%s", describe_choice(image))
    warn_of_end(image, wish)


def warn_of_end(image: ResolvedImage, wish: PoolRequest) -> None:
    """Warn in the log when the support of a pool's image ends soon, or has ended."""
    warning = end_warning(image, wish.now, WARNED_BEFORE)
    if warning is not None:
        log.warning("%s", warning)


def _none_fits(wish: PoolRequest, passed: Mapping[str, _PassedOver]) -> Exception:
    """Give the error to raise when no size would do: all of the only one, or something of the first."""
    each = list(passed.values())
    head = f"Pool {wish.spec.pool_id!r} was not made:"
    if len(each) > 1:
        told = [f"{head} none of {len(each)} VM sizes would do."]
        told += [f"  {name}: {why}" for name, why in list(passed.items())[:_TOLD]]
        told += [f"  and {len(each) - _TOLD} more"] if len(each) > _TOLD else []
    elif each[0].error is not None:
        return each[0].error
    else:
        told = [head, *each[0].found.problems, *each[0].found.shortages]
    quotas_would_do = any(not why.found.problems for why in each)
    text = "\n".join(told)
    return BatchQuotaError(text, code="Preflight") if quotas_would_do else ValueError(text)
