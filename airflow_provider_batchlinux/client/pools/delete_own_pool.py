"""Deleting a pool that nobody waits for any more, if it is one of ours."""

from __future__ import annotations

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX, metadata_of, runs_in

__all__ = ["delete_unwanted_pool"]


async def delete_unwanted_pool(
    client: BatchLinuxClient, pool_id: str, why: str, *, run: tuple[str, str], instance: str
) -> str:
    """
    Ask for the deletion of a pool that one Dag run of this Airflow has made and no other has taken.

    :param run: the Dag run, as Dag id and run id.
    :param instance: the connection's prefix of ids, by which Airflows that share an account differ.
    :param why: the end of a sentence, for people.
    :return: what became of it, in a sentence.
    :raises BatchRequestError: the service refused, or the pool changed in that moment.
    """
    pool = await client.find_pool_body(pool_id, ["id", "eTag", "state", "metadata"])
    if pool is None:
        return f"Pool {pool_id!r} is gone already."
    marks = metadata_of(pool)
    if runs_in(marks) != (run,) or marks.get(f"{METADATA_PREFIX}instance") != instance:
        return f"Pool {pool_id!r} is kept: it is not known to be this Dag run's alone."
    await client.delete_pool(pool_id, etag=pool.get("eTag"))
    return f"Pool {pool_id!r} is being deleted, because {why}."
