"""Operations on pools: they take REST bodies and return plain values."""

from __future__ import annotations

from collections.abc import Sequence

from azure.batch import models
from azure.core import MatchConditions

from airflow_provider_batchlinux.client.api.calls import Body, Calls
from airflow_provider_batchlinux.core.snapshots import POOL_FIELDS, PoolSnapshot, counts_from_rest


class PoolCalls(Calls):
    """The operations on pools that this provider uses."""

    async def create_pool(self, body: Body) -> None:
        """Create a pool from its REST body."""
        pool = models.BatchPoolCreateOptions(body)
        await self.retry.run(f"create pool {body['id']!r}", lambda: self.sdk.create_pool(pool))

    async def find_pool_body(self, pool_id: str, select: Sequence[str] | None = None) -> Body | None:
        """Get a pool's REST body, all of it or the selected properties."""
        fields = list(select) if select else None
        return await self._found(
            f"get pool {pool_id!r}",
            "PoolNotFound",
            lambda: self.sdk.get_pool(pool_id, select=fields),
        )

    async def find_pool(self, pool_id: str) -> PoolSnapshot | None:
        """Get the properties of a pool that a wait needs."""
        body = await self.find_pool_body(pool_id, POOL_FIELDS)
        return PoolSnapshot.from_rest(body) if body is not None else None

    async def delete_pool(self, pool_id: str, *, etag: str | None = None) -> bool:
        """
        Request the deletion of a pool; return whether the pool exists, also if it is already being deleted.

        :param etag: fail with ``ConditionNotMet`` if the pool has changed since this version; ``None``
            deletes any version.
        """
        condition = MatchConditions.IfNotModified if etag is not None else None
        return await self._deleted(
            f"delete pool {pool_id!r}",
            lambda: self.sdk.begin_delete_pool(pool_id, etag=etag, match_condition=condition),
            gone="PoolNotFound",
            under_way="PoolBeingDeleted",
        )

    async def node_counts(self, pool_id: str) -> dict[str, int]:
        """Count a pool's nodes by state: cheap for a pool of any size, and eventually consistent."""
        rows = await self._all(
            f"count nodes of pool {pool_id!r}",
            self.sdk.list_pool_node_counts,
            filter=f"poolId eq '{pool_id}'",
        )
        return counts_from_rest(rows[0]) if rows else {}

    async def list_pools(self, select: Sequence[str], *, where: str | None = None) -> list[Body]:
        """
        List the account's pools.

        :param select: the properties to read of each.
        :param where: an OData filter; ``None`` lists all.
        """
        options = {} if where is None else {"filter": where}
        return await self._all("list pools", self.sdk.list_pools, select=list(select), **options)

    async def all_node_counts(self) -> dict[str, dict[str, int]]:
        """Count the nodes of all pools by state, by pool id: cheap, and eventually consistent."""
        rows = await self._all("count nodes of all pools", self.sdk.list_pool_node_counts)
        return {str(row["poolId"]): counts_from_rest(row) for row in rows}

    async def node_count_pages(self, *, where: str | None = None) -> list[dict[str, dict[str, int]]]:
        """
        Count nodes by state, by pool id, in the pages in which the service answers.

        :param where: an OData filter, which may compare ``poolId`` with ``eq``; ``None`` counts all pools.
        """

        async def every_page() -> list[dict[str, dict[str, int]]]:
            pages = self.sdk.list_pool_node_counts(filter=where).by_page()
            return [{str(row["poolId"]): counts_from_rest(row) async for row in page} async for page in pages]

        return await self.retry.run("count nodes of pools", every_page)

    async def update_pool(self, pool_id: str, body: Body, *, etag: str | None = None) -> None:
        """
        Change the properties that a REST body names, whole; the others stay (PATCH).

        :param etag: fail with ``ConditionNotMet`` if the pool has changed since this version; ``None``
            changes any version.
        """
        options = models.BatchPoolUpdateOptions(body)
        condition = MatchConditions.IfNotModified if etag is not None else None
        await self.retry.run(
            f"update pool {pool_id!r}",
            lambda: self.sdk.update_pool(pool_id, options, etag=etag, match_condition=condition),
        )

    async def resize_pool(self, pool_id: str, body: Body) -> None:
        """Request other target numbers of nodes."""
        options = models.BatchPoolResizeOptions(body)
        await self.retry.run(f"resize pool {pool_id!r}", lambda: self.sdk.begin_resize_pool(pool_id, options))

    async def stop_resize(self, pool_id: str) -> None:
        """Stop a resize; the pool keeps the nodes that it has."""
        await self.retry.run(
            f"stop the resize of pool {pool_id!r}", lambda: self.sdk.begin_stop_pool_resize(pool_id)
        )

    async def enable_autoscale(self, pool_id: str, body: Body) -> None:
        """Enable autoscale, or change its formula and interval."""
        options = models.BatchPoolEnableAutoScaleOptions(body)
        await self.retry.run(
            f"enable autoscale of pool {pool_id!r}",
            lambda: self.sdk.enable_pool_auto_scale(pool_id, options),
        )

    async def disable_autoscale(self, pool_id: str) -> None:
        """Disable autoscale; the pool keeps its target numbers of nodes."""
        await self.retry.run(
            f"disable autoscale of pool {pool_id!r}", lambda: self.sdk.disable_pool_auto_scale(pool_id)
        )

    async def remove_nodes(self, pool_id: str, body: Body) -> None:
        """Remove at most 100 nodes; the service refuses while the pool resizes or uses autoscale."""
        options = models.BatchNodeRemoveOptions(body)
        await self.retry.run(
            f"remove nodes from pool {pool_id!r}", lambda: self.sdk.begin_remove_nodes(pool_id, options)
        )
