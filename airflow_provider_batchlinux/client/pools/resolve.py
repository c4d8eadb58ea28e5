"""Resolve what a pool request leaves open: the image, and the VM size if several are acceptable."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.management import ManagementClient
from airflow_provider_batchlinux.client.pools.preflight import Preflight, read_region, read_subnet
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
from airflow_provider_batchlinux.core.pools.changes.resize import unmet
from airflow_provider_batchlinux.core.pools.create_requests import PoolRequest
from airflow_provider_batchlinux.core.pools.preflight import Findings, Region
from airflow_provider_batchlinux.core.snapshots import POOL_FIELDS, PoolSnapshot
from airflow_provider_batchlinux.core.text import counted
from airflow_provider_batchlinux.core.vm_sizes.names import VmSizeTraits, traits_of
from airflow_provider_batchlinux.core.vm_sizes.query import VmSizeQuery
from airflow_provider_batchlinux.core.vm_sizes.retirement import retirement_warning
from airflow_provider_batchlinux.core.vm_sizes.sizes import find_size
from airflow_provider_batchlinux.exceptions import BatchQuotaError

log = logging.getLogger(__name__)

_MAX_SIZES_IN_ERROR = 5


@dataclass(frozen=True)
class ResolvedPool:
    """
    A pool with its image and VM size.

    :param body: the body that creates it, without the provider's marks.
    :param images: the images that the service lists; empty if the list was not needed.
    """

    body: Mapping[str, Any]
    image: ResolvedImage
    vm_size: str
    images: Sequence[SupportedImage]

    def image_of(self, pool: Mapping[str, Any], needed_until: datetime) -> ResolvedImage | None:
        """Return the image of another pool with the same id; ``None`` if it has no virtual machines."""
        machine = pool.get("virtualMachineConfiguration")
        if not machine:
            return None
        reference = {
            name: value for name, value in machine["imageReference"].items() if name != "exactVersion"
        }
        query = ImageQuery.parse({**reference, "node_agent_sku": machine["nodeAgentSKUId"]})
        return resolve_image(query, self.images, needed_until=needed_until)


@dataclass(frozen=True)
class _Rejection:
    """
    Why a VM size was rejected.

    :param error: the error if no image fits it; ``None`` if it is the region or the quotas.
    """

    found: Findings
    error: ImageNotFoundError | None = None

    def __str__(self) -> str:
        return " ".join([*self.found.problems, *self.found.shortages])


async def resolve_pool(
    client: BatchLinuxClient, request: PoolRequest, plane: ManagementClient | None
) -> ResolvedPool:
    """
    Resolve the image, and select the first VM size that fits the region, the quotas and the image.

    :param plane: the management plane. Without it, the first size is used.
    :raises ImageNotFoundError: if the service offers no such image.
    :raises ValueError: if no size is suitable.
    :raises BatchQuotaError: if only the quotas are used up.
    """
    spec = request.spec
    query = ImageQuery.parse(spec.image or "")
    images = await client.list_images() if needs_image_list(query) else []
    region, preflight = await _region(plane, request), None
    if region is not None and plane is not None:
        subnet = await read_subnet(plane, spec.subnet_id) if spec.subnet_id else None
        preflight = await Preflight.at(client, region, subnet)
    engine = (spec.to_rest()["virtualMachineConfiguration"].get("containerConfiguration") or {}).get("type")
    required = frozenset({"container"} if str(engine).lower() == "dockercompatible" else ())
    rejected: dict[str, _Rejection] = {}
    for name in await _size_names(client, request, region):
        size = find_size(name, region.sizes) if region is not None else None
        traits = traits_of(name) if size is None else size.traits
        try:
            image = resolve_image(
                query,
                images,
                needed_until=request.needed_until,
                generation=spec.generation or traits.generation,
                architecture=traits.architecture,
                required=required,
            )
        except ImageNotFoundError as error:
            explained = ImageNotFoundError(f"{error}\n{_boots(name, traits)}")
            rejected[name] = _Rejection(Findings((f"no image of {query.text!r} fits it.",)), explained)
            continue
        body = spec.to_rest(image, vm_size=name)
        found = preflight.check(body, images, request) if preflight is not None else Findings()
        if found.problems or found.shortages:
            rejected[name] = _Rejection(found)
            continue
        _log_choice(request, image, name, rejected)
        # The management plane knows better, and preflight has warned already.
        is_known = size is not None and size.end_of_life is not None
        if not is_known and (warning := retirement_warning(name, request.now.date())):
            log.warning("%s", warning)
        return ResolvedPool(body, image, name, images)
    raise _no_size_fits(spec.pool_id, rejected)


def warn_of_end_of_support(image: ResolvedImage, now: datetime) -> None:
    """Log a warning if the support of an image ends soon, or has ended."""
    warning = end_warning(image, now, WARNED_BEFORE)
    if warning is not None:
        log.warning("%s", warning)


def _boots(vm_size: str, traits: VmSizeTraits) -> str:
    """Return a sentence about the images that a VM size can boot."""
    generation = "of both generations" if traits.generation is None else f"of generation {traits.generation}"
    return f"VM size {vm_size!r} boots images {generation} for {traits.architecture or 'x64 or arm64'}."


async def _region(plane: ManagementClient | None, request: PoolRequest) -> Region | None:
    if plane is None:
        return None
    if VmSizeQuery.parse(request.spec.vm_size).needs_region:
        return await plane.region()
    return await read_region(plane) if request.preflight else None


async def _size_names(client: BatchLinuxClient, request: PoolRequest, region: Region | None) -> Sequence[str]:
    """Return the sizes to consider, best first; the size of an existing pool comes before all others."""
    pool_id, query = request.spec.pool_id, VmSizeQuery.parse(request.spec.vm_size)
    if len(query.names) == 1:
        return query.names
    names = query.candidates(region.sizes if region is not None else ())
    if not names:
        where = "the region is unknown" if region is None else f"Batch offers none in {region.name!r}"
        msg = f"Pool {pool_id!r} was not created: vm_size requires {query}, and {where}. Require less."
        raise ValueError(msg)
    found = await client.find_pool_body(pool_id, [*POOL_FIELDS, "vmSize"])
    if found is not None:
        return _sizes_after(str(found["vmSize"]), names, PoolSnapshot.from_rest(found))
    # Without the management plane, it is unknown which sizes have a chance.
    return names if region is not None else names[:1]


def _sizes_after(current: str, names: Sequence[str], pool: PoolSnapshot) -> Sequence[str]:
    """Return the size of an existing pool, or the next one if the pool could not get any node of its size."""
    places = [place for place, name in enumerate(names) if name.lower() == current.lower()]
    if not places:
        return names
    if pool.current == 0 and unmet(pool):
        return [*names[places[0] + 1 :], *names[: places[0] + 1]][:1]
    return [names[places[0]]]


def _log_choice(
    request: PoolRequest, image: ResolvedImage, vm_size: str, rejected: Mapping[str, _Rejection]
) -> None:
    for name, why in rejected.items():
        log.warning("VM size %r is not used: %s", name, why)
    if vm_size != request.spec.vm_size:
        log.info("VM size %s, of %s.", vm_size, VmSizeQuery.parse(request.spec.vm_size))
    log.info("%s", describe_choice(image))
    warn_of_end_of_support(image, request.now)


def _no_size_fits(pool_id: str, rejected: Mapping[str, _Rejection]) -> Exception:
    """Return the error to raise if all sizes were rejected."""
    each = list(rejected.values())
    head = f"Pool {pool_id!r} was not created:"
    if len(each) > 1:
        lines = [f"{head} none of {counted(len(each), 'VM size')} is suitable."]
        lines += [f"  {name}: {why}" for name, why in list(rejected.items())[:_MAX_SIZES_IN_ERROR]]
        more = len(each) - _MAX_SIZES_IN_ERROR
        lines += [f"  and {more} more"] if more > 0 else []
    elif each[0].error is not None:
        return each[0].error
    else:
        lines = [head, *each[0].found.problems, *each[0].found.shortages]
    text = "\n".join(lines)
    only_quotas = any(not why.found.problems for why in each)
    return BatchQuotaError(text, code="Preflight") if only_quotas else ValueError(text)
