"""The look ahead before a pool is made: all that is out of reach at once; no look at all only warns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.management import ManagementClient
from airflow_provider_batchlinux.core.images.catalog import SupportedImage
from airflow_provider_batchlinux.core.pools.preflight import (
    POOL_FIELDS,
    Findings,
    Region,
    Usage,
    find_faults,
    usage_of,
)
from airflow_provider_batchlinux.core.pools.subnets import Subnet
from airflow_provider_batchlinux.exceptions import BatchLinuxError

__all__ = ["Preflight", "look_at_region", "look_at_subnet"]

log = logging.getLogger(__name__)

_PATIENCE = 30.0
"""Seconds over which the look is tried; the pool may be made without it."""


async def look_at_region(plane: ManagementClient) -> Region | None:
    """Get the region of the account; ``None``, with a warning, when that is not possible."""
    try:
        return await _patient(plane).region()
    except BatchLinuxError as error:
        log.warning("VM size and quotas are not checked before the pool is made. %s", error)
        return None


async def look_at_subnet(plane: ManagementClient, subnet_id: str) -> Subnet | None:
    """Get the addresses of a subnet; ``None``, which is told in the log, when that is not possible."""
    try:
        found = await _patient(plane).find_subnet(subnet_id)
        why = "its network does not list it, or it is none of ours to see."
    except BatchLinuxError as error:
        found, why = None, str(error)
    if found is None:
        log.warning("The room in subnet %r is not checked before the pool is made: %s", subnet_id, why)
    return found


def _patient(plane: ManagementClient) -> ManagementClient:
    retry = replace(plane.retry, budget=min(plane.retry.budget, _PATIENCE))
    return ManagementClient(plane.sdk, plane.settings, retry, plane.arm)


class Preflight:
    """
    A look at what a pool that is to be made would get.

    :param region: where it would be, and what the account may use there.
    :param usage: what the account's pools use.
    :param subnet: the subnet that its nodes would join; ``None`` when there is none, or it is not known.
    """

    def __init__(self, region: Region, usage: Usage, subnet: Subnet | None = None) -> None:
        self._region = region
        self._usage = usage
        self._subnet = subnet

    @classmethod
    async def at(cls, client: BatchLinuxClient, region: Region, subnet: Subnet | None = None) -> Preflight:
        """Count what the account's pools use now."""
        return cls(region, usage_of(await client.list_pools(POOL_FIELDS), region.sizes), subnet)

    def check(
        self,
        body: Mapping[str, Any],
        images: Sequence[SupportedImage],
        *,
        needed_until: datetime,
        now: datetime,
        name_of: Callable[[tuple[Any, ...]], str | None],
    ) -> Findings:
        """
        Tell what would keep a pool from its nodes, which is nothing for one that is there; log the rest.

        :param body: the body that would create it.
        :param images: the images that the service lists, where they were asked for.
        :param needed_until: the last instant at which new nodes may be wanted.
        :param name_of: the user's name of a place in the body.
        """
        if body["id"] in self._usage.pool_ids:
            return Findings()
        found = find_faults(
            body,
            self._region,
            self._usage,
            image=_listed(body, images),
            needed_until=needed_until,
            now=now,
            name_of=lambda path: name_of(path) or ".".join(map(str, path)),
            subnet=self._subnet,
        )
        for warning in found.warnings:
            log.warning("%s", warning)
        return found


def _listed(body: Mapping[str, Any], images: Sequence[SupportedImage]) -> SupportedImage | None:
    machine = body["virtualMachineConfiguration"]
    names = [str(machine["imageReference"].get(name)).lower() for name in ("publisher", "offer", "sku")]
    return next((image for image in images if image.name.lower() == ":".join(names)), None)
