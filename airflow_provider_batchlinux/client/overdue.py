"""Deleting a pool that did not become of use in time, if it is one of ours."""

from __future__ import annotations

from airflow_provider_batchlinux.client.batch import BatchLinuxClient
from airflow_provider_batchlinux.core.pool_marks import fingerprint_of, is_shared, metadata_of

__all__ = ["delete_overdue_pool"]


async def delete_overdue_pool(client: BatchLinuxClient, pool_id: str) -> str:
    """
    Ask for the deletion of a pool that carries this provider's marks and that one Dag run alone has taken.

    :return: what became of it, in a sentence.
    :raises BatchRequestError: the service refused, or the pool changed in that moment.
    """
    pool = await client.find_pool_body(pool_id, ["id", "eTag", "state", "metadata"])
    if pool is None:
        return f"Pool {pool_id!r} is gone already."
    if fingerprint_of(pool) is None:
        return f"Pool {pool_id!r} is kept: it was not made by this provider."
    if is_shared(metadata_of(pool)):
        return f"Pool {pool_id!r} is kept: others have taken it too."
    await client.delete_pool(pool_id, etag=pool.get("eTag"))
    return f"Pool {pool_id!r} is being deleted, because its nodes were not ready in time."
