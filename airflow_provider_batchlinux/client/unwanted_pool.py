"""Deleting a pool that nobody waits for any more, if it is one of ours."""

from __future__ import annotations

from airflow_provider_batchlinux.client.batch import BatchLinuxClient
from airflow_provider_batchlinux.core.pool_marks import fingerprint_of, is_shared, metadata_of

__all__ = ["delete_unwanted_pool"]


async def delete_unwanted_pool(client: BatchLinuxClient, pool_id: str, why: str) -> str:
    """
    Ask for the deletion of a pool that carries this provider's marks and that one Dag run alone has taken.

    :param why: the end of a sentence, for people.
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
    return f"Pool {pool_id!r} is being deleted, because {why}."
