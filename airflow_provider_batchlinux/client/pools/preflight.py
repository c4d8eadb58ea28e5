"""Check before a pool is created whether it can get its nodes; if the check is impossible, only warn."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.management import ManagementClient
from airflow_provider_batchlinux.core.images.catalog import SupportedImage
from airflow_provider_batchlinux.core.pools.create_requests import PoolRequest
from airflow_provider_batchlinux.core.pools.preflight import (
    USAGE_FIELDS,
    Findings,
    Region,
    Subnet,
    Usage,
    find_faults,
    usage_of,
)
from airflow_provider_batchlinux.core.pools.validation.schema import rest_name
from airflow_provider_batchlinux.exceptions import BatchLinuxError

log = logging.getLogger(__name__)

_RETRY_BUDGET = 30.0
"""Seconds. The pool can be created without the check, so it is worth less patience than the create."""


async def read_region(plane: ManagementClient) -> Region | None:
    """Return the region of the account; ``None``, with a warning, if it cannot be read."""
    try:
        return await _patient(plane).region()
    except BatchLinuxError as error:
        log.warning("VM size and quotas are not checked before the pool is created: %s", error)
        return None


async def read_subnet(plane: ManagementClient, subnet_id: str) -> Subnet | None:
    """Return the addresses of a subnet; ``None``, with a warning, if they cannot be read."""
    try:
        found = await _patient(plane).find_subnet(subnet_id)
        why = "its network does not list it, or the identity may not read it."
    except BatchLinuxError as error:
        found, why = None, str(error)
    if found is None:
        log.warning(
            "The free addresses of subnet %r are not checked before the pool is created: %s", subnet_id, why
        )
    return found


def _patient(plane: ManagementClient) -> ManagementClient:
    retry = replace(plane.retry, budget=min(plane.retry.budget, _RETRY_BUDGET))
    return ManagementClient(plane.sdk, plane.settings, retry, plane.arm)


class Preflight:
    """
    A check whether a new pool can get its nodes.

    :param region: the account's region, its VM sizes and quotas.
    :param usage: what the account's pools use.
    :param subnet: the subnet of the nodes; ``None`` if there is none, or it is unknown.
    """

    def __init__(self, region: Region, usage: Usage, subnet: Subnet | None = None) -> None:
        self._region = region
        self._usage = usage
        self._subnet = subnet

    @classmethod
    async def at(cls, client: BatchLinuxClient, region: Region, subnet: Subnet | None = None) -> Preflight:
        """Return the check for an account, with what its pools use now."""
        return cls(region, usage_of(await client.list_pools(USAGE_FIELDS), region.sizes), subnet)

    def check(
        self, body: Mapping[str, Any], images: Sequence[SupportedImage], request: PoolRequest
    ) -> Findings:
        """
        Return what keeps a pool from its nodes, and log warnings; nothing for a pool that exists.

        :param body: the body that creates it.
        :param images: the images that the service lists; empty if the list was not needed.
        """
        if body["id"] in self._usage.pool_ids:
            return Findings()
        found = find_faults(
            body,
            self._region,
            self._usage,
            image=_listed(body, images),
            needed_until=request.needed_until,
            now=request.now,
            name_of=lambda path: request.spec.name_of(path) or rest_name(path),
            subnet=self._subnet,
        )
        for warning in found.warnings:
            log.warning("%s", warning)
        return found


def _listed(body: Mapping[str, Any], images: Sequence[SupportedImage]) -> SupportedImage | None:
    machine = body["virtualMachineConfiguration"]
    names = [str(machine["imageReference"].get(name)).lower() for name in ("publisher", "offer", "sku")]
    return next((image for image in images if image.name.lower() == ":".join(names)), None)
