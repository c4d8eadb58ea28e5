"""One pool at the service, through the data plane and, where it is needed, the management plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.management import ManagementClient
from airflow_provider_batchlinux.core.pools.spec.definition import PoolDefinition

_MANAGED = ("identity", "tags")
"""The properties that only the management plane takes."""


class PoolBackend:
    """
    The data plane and the management plane as one, for one pool.

    A pool without identities and tags is created, found and changed through the data plane only.

    :param client: the data plane.
    :param plane: the management plane; ``None`` if it is not available.
    :param spec: the requested pool.
    """

    def __init__(
        self, client: BatchLinuxClient, plane: ManagementClient | None, spec: PoolDefinition
    ) -> None:
        self.client = client
        self._plane = plane if spec.identities or spec.tags else None
        self._identities, self._tags = tuple(spec.identities), dict(spec.tags)

    @property
    def managed_parts(self) -> dict[str, Any]:
        """The requested identities and tags, in the form in which :meth:`find` returns them."""
        parts: dict[str, Any] = {}
        if self._identities:
            entries = [{"resourceId": name} for name in self._identities]
            parts["identity"] = {"type": "UserAssigned", "userAssignedIdentities": entries}
        return {**parts, "tags": self._tags} if self._tags else parts

    async def create(self, body: Mapping[str, Any]) -> None:
        """
        Create the pool.

        :param body: the whole pool, with its :attr:`managed_parts`.
        :raises BatchConflictError: if a pool with this id exists, or is being deleted.
        """
        plain = {name: value for name, value in body.items() if name not in _MANAGED}
        # The data plane takes neither identities nor tags; the management plane needs more rights.
        if self._plane is None:
            await self.client.create_pool(plain)
        else:
            await self._plane.create_pool(plain, identities=self._identities, tags=self._tags)

    async def find(self, pool_id: str) -> Mapping[str, Any] | None:
        """Return the pool, with its tags if any are requested; ``None`` if it does not exist."""
        found = await self.client.find_pool_body(pool_id)
        if found is None or self._plane is None or not self._tags:
            return found
        parts = await self._plane.find_managed_parts(pool_id)
        return None if parts is None else {**found, "tags": dict(parts.tags)}

    async def update(self, pool_id: str, patch: Mapping[str, Any]) -> None:
        """
        Change properties of the pool in place.

        :param patch: the properties in the form of the whole body; nothing to do if it is empty. Tags that
            are not requested stay.
        """
        plain = {name: value for name, value in patch.items() if name not in _MANAGED}
        if plain:
            await self.client.update_pool(pool_id, plain)
        if self._plane is None or len(plain) == len(patch):
            return
        tags = None
        # Azure Resource Manager replaces all tags of a resource: those of a policy must be sent again.
        if "tags" in patch:
            parts = await self._plane.find_managed_parts(pool_id)
            tags = {**(parts.tags if parts else {}), **self._tags}
        identities = self._identities if "identity" in patch else None
        await self._plane.update_pool(pool_id, identities=identities, tags=tags)
