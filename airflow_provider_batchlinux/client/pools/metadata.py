"""Change a pool's metadata while others may change it, too."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.core.pool_metadata import metadata_of, rest_metadata
from airflow_provider_batchlinux.exceptions import BatchRequestError

# Writers that start together meet again only a few times, because the pauses have random lengths.
_TRIES = 5
_FIRST_PAUSE = 0.05
_MOST_DOUBLINGS = 5


async def change_metadata(
    client: BatchLinuxClient,
    pool_id: str,
    change: Callable[[Mapping[str, str]], Mapping[str, str]],
    *,
    most_tries: int = _TRIES,
) -> dict[str, str] | None:
    """
    Change a pool's current metadata.

    The service can only replace all of it. The ETag makes sure that no change of another writer is lost.

    :param change: returns the new metadata, given the current one; called again after a conflict.
    :param most_tries: how often to try; after each conflict with a longer pause of random length.
    :return: the metadata afterwards; ``None`` if the pool does not exist.
    :raises BatchRequestError: if every try was a conflict, or the service refuses the change.
    """
    tries = 0
    while True:
        tries += 1
        found = await client.find_pool_body(pool_id, ["id", "eTag", "metadata"])
        if found is None:
            return None
        before = metadata_of(found)
        after = dict(change(before))
        if after == before:
            return after
        try:
            await client.update_pool(pool_id, {"metadata": rest_metadata(after)}, etag=found["eTag"])
        except BatchRequestError as error:
            if error.code != "ConditionNotMet" or tries >= most_tries:
                raise
            longest = _FIRST_PAUSE * 2 ** min(tries, _MOST_DOUBLINGS)
            await client.retry.sleep(random.uniform(0, longest))
        else:
            return after
