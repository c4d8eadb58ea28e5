"""Delete a pool if no Dag run needs it any more."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.usage import usage_now
from airflow_provider_batchlinux.core.pool_metadata import (
    MARKS_VERSION,
    Holder,
    PoolMarks,
    metadata_of,
    rest_metadata,
)
from airflow_provider_batchlinux.core.pools.holding import holding_of
from airflow_provider_batchlinux.core.pools.usage import PoolUsage
from airflow_provider_batchlinux.exceptions import BatchRequestError

log = logging.getLogger(__name__)

_FIELDS = ("id", "eTag", "state", "metadata")
# Teardowns of all runs of a Dag may release the same pool in the same second, and each has to succeed.
_TRIES = 10
_LONGEST_PAUSE = 0.5

_LOOKS_FOR_POOL = (0.0, 0.5, 1.0, 1.5)
"""Seconds before each look for a pool whose creation may still be on the wire."""


class Deletion(Enum):
    """The outcome of a request to delete a pool."""

    REQUESTED = "requested"
    NOT_FOUND = "not found"
    KEPT = "kept"


@dataclass(frozen=True)
class Release:
    """
    A Dag run's request to delete a pool that it no longer needs.

    :param run: the Dag run; its mark is taken off the pool.
    :param now: the time of the request, with a time zone.
    :param has_ended: returns whether another Dag run has ended, or no longer exists.
    :param keep_until: until when to keep the pool all the same, because work on it has failed; ``None``
        deletes it.
    :param force: delete it even if other Dag runs use it.
    """

    run: Holder
    now: datetime
    has_ended: Callable[[Holder], bool]
    keep_until: datetime | None = None
    force: bool = False

    def marks_after(self, marks: PoolMarks) -> PoolMarks:
        """Return a pool's marks without the run's own, and with the end that they give to a kept pool."""
        marks = marks.released_by(self.run)
        if self.keep_until is None:
            kept = marks
        else:
            latest = max(self.keep_until, marks.kept_until or self.keep_until)
            kept = replace(marks, kept_until=latest)
        if kept.kept_until is None or kept.kept_until <= self.now:
            return kept
        if holding_of(replace(kept, kept_until=None), self.now, self.has_ended) is None:
            # No other run deletes it: the sweeper does, at this end.
            return replace(kept, expires_at=kept.kept_until)
        return kept if kept.expires_at is None else kept.with_later_expiry(kept.kept_until)


@dataclass(frozen=True)
class Released:
    """
    The outcome.

    :param reason: why the pool is kept, as the end of a sentence; ``None`` if it is not.
    :param usage: what its nodes have used, if it is being deleted; ``None`` if that is not known.
    """

    deletion: Deletion
    reason: str | None = None
    usage: PoolUsage | None = None


async def release_pool(client: BatchLinuxClient, pool_id: str, release: Release) -> Released:
    """
    Take a Dag run's mark off a pool, and delete the pool if nothing else holds it.

    Each step holds only for the pool as it was read: of several runs that do this concurrently, exactly one
    finds the pool without other marks, and deletes it. A run that begins to use it meanwhile keeps it.

    :raises BatchRequestError: if the service refuses, or the pool changes all the time.
    """
    tries = 0
    while True:
        tries += 1
        pool = await client.find_pool_body(pool_id, _FIELDS)
        if pool is None:
            return Released(Deletion.NOT_FOUND)
        try:
            released = await _release(client, pool, release)
        except BatchRequestError as error:
            if error.code != "ConditionNotMet" or tries >= _TRIES:
                raise
            # The other teardown has changed the pool: read it again, since it may be the last holder now.
            await client.retry.sleep(random.uniform(0, _LONGEST_PAUSE))
        else:
            if released is not None:
                return released


async def delete_own_pool(client: BatchLinuxClient, pool_id: str, why: str, *, run: Holder) -> Deletion:
    """
    Delete a pool that one Dag run created and no other has reused; log the outcome.

    :param why: the end of a sentence, for the log.
    :raises BatchRequestError: if the service refuses, or the pool has changed in that moment.
    """
    pool = await client.find_pool_body(pool_id, _FIELDS)
    if pool is None:
        log.warning("Pool %r does not exist any more.", pool_id)
        return Deletion.NOT_FOUND
    marks = PoolMarks.of(pool)
    if marks.creator != run or marks.runs is None or not set(marks.runs) <= {run}:
        log.warning("Pool %r is kept: it is not known to belong to this Dag run only.", pool_id)
        return Deletion.KEPT
    # The ETag lets the deletion fail if another run takes the pool in this moment.
    await client.delete_pool(pool_id, etag=pool.get("eTag"))
    log.warning("Pool %r is being deleted, because %s.", pool_id, why)
    return Deletion.REQUESTED


async def take_back(client: BatchLinuxClient, pool_id: str, owner: Mapping[str, str]) -> None:
    """
    Delete a pool that a task instance created and could not hand over to the next task.

    A pool that another task instance created, or that another Dag run uses by now, is kept.

    :param owner: the task instance, as the pool's marks have it.
    """
    for pause in _LOOKS_FOR_POOL:
        await client.retry.sleep(pause)
        pool = await client.find_pool_body(pool_id, _FIELDS)
        if pool is not None:
            break
    else:
        return
    marks = PoolMarks.of(pool)
    if marks.is_owned_by(owner) and set(marks.runs or ()) == {Holder.of(owner)}:
        await client.delete_pool(pool_id, etag=pool.get("eTag"))
        log.warning("Pool %r is being deleted: its task has ended before it could hand it over.", pool_id)


async def _release(client: BatchLinuxClient, pool: Mapping[str, Any], release: Release) -> Released | None:
    """Do the next step, and return the outcome; ``None`` if another step follows."""
    pool_id, etag = str(pool["id"]), pool.get("eTag")
    metadata = metadata_of(pool)
    if release.force or str(pool.get("state")).lower() == "deleting":
        usage = await usage_now(client, PoolUsage.read(pool_id, metadata))
        await client.delete_pool(pool_id)
        return Released(Deletion.REQUESTED, usage=usage)
    marks = PoolMarks.read(metadata)
    after = release.marks_after(marks)
    reason = holding_of(after, release.now, release.has_ended)
    if after != marks and marks.version <= MARKS_VERSION:
        # Also if the pool is then deleted: a run that looks meanwhile sees that this one does not use it.
        await client.update_pool(pool_id, {"metadata": rest_metadata(after.update(metadata))}, etag=etag)
        return None if reason is None else Released(Deletion.KEPT, reason)
    if reason is not None:
        return Released(Deletion.KEPT, reason)
    usage = await usage_now(client, PoolUsage.read(pool_id, metadata))
    await client.delete_pool(pool_id, etag=etag)
    return Released(Deletion.REQUESTED, usage=usage)
