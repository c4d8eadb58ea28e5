"""Where a pool is made, found and changed: in the data plane, and in the management plane where need be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.management import ManagementClient
from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
from airflow_provider_batchlinux.core.pools.spec.raw import RawPool

__all__ = ["PoolBackend"]

_MANAGED = ("identity", "tags")


class PoolBackend:
    """
    Both planes as one, for one pool.

    A pool without identities and tags is the data plane's alone, also where the other is open.

    :param client: the data plane.
    :param plane: the management plane; ``None`` when it is not open.
    :param spec: the pool that is asked for.
    """

    def __init__(
        self, client: BatchLinuxClient, plane: ManagementClient | None, spec: PoolSpec | RawPool
    ) -> None:
        self.client = client
        self._plane = plane if spec.identities or spec.tags else None
        self._identities, self._tags = tuple(spec.identities), dict(spec.tags)

    @property
    def managed_parts(self) -> dict[str, Any]:
        """Identities and tags that are asked for, as :meth:`find` gives a pool with them."""
        identity = {"identity": _as_found(self._identities)} if self._identities else {}
        return {**identity, "tags": self._tags} if self._tags else identity

    async def create(self, body: Mapping[str, Any]) -> None:
        """
        Create the pool.

        :param body: the whole pool, with its :attr:`managed_parts`.
        :raises BatchConflictError: a pool of that id is there, or is being deleted.
        """
        plain = {name: value for name, value in body.items() if name not in _MANAGED}
        if self._plane is None:
            await self.client.create_pool(plain)
        else:
            await self._plane.create_pool(plain, identities=self._identities, tags=self._tags)

    async def find(self, pool_id: str) -> Mapping[str, Any] | None:
        """Get the pool, its tags with it where they are asked for; ``None`` when there is none."""
        found = await self.client.find_pool_body(pool_id)
        if found is None or self._plane is None or not self._tags:
            return found
        parts = await self._plane.find_managed_parts(pool_id)
        return None if parts is None else {**found, "tags": dict(parts.tags)}

    async def update(self, pool_id: str, patch: Mapping[str, Any]) -> None:
        """
        Change properties of the pool in place.

        :param patch: the properties as the whole body has them; empty changes nothing. Tags that are
            not asked for stay.
        """
        plain = {name: value for name, value in patch.items() if name not in _MANAGED}
        if plain:
            await self.client.update_pool(pool_id, plain)
        if self._plane is None or len(plain) == len(patch):
            return
        tags = None
        if "tags" in patch:
            parts = await self._plane.find_managed_parts(pool_id)
            tags = {**(parts.tags if parts else {}), **self._tags}
        identities = self._identities if "identity" in patch else None
        await self._plane.update_pool(pool_id, identities=identities, tags=tags)


def _as_found(identities: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "UserAssigned", "userAssignedIdentities": [{"resourceId": name} for name in identities]}
