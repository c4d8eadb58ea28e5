"""Read and write the ledger of users in a pool's metadata, which several Dag runs may change."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.users.ledger import (
    LedgerEntry,
    entries_in,
    with_entry,
    without_entry,
)
from airflow_provider_batchlinux.exceptions import BatchConflictError, BatchRequestError

log = logging.getLogger(__name__)

_MOST_TRIES = 30
"""Enough for a hundred concurrent writers, such as the instances of a mapped task."""


async def read_ledger(client: BatchLinuxClient, pool_id: str) -> dict[str, LedgerEntry] | None:
    """Return the users that were added to a pool, by name; ``None`` if the pool does not exist."""
    found = await client.find_pool_body(pool_id, ["id", "metadata"])
    return None if found is None else entries_in(metadata_of(found))


async def enter(
    client: BatchLinuxClient, pool_id: str, entry: LedgerEntry, *, now: datetime, take_over: bool = False
) -> LedgerEntry | None:
    """
    Enter a user into the ledger of a pool. Call it before the first node gets the user.

    :param take_over: also take over a user that another Dag run holds.
    :return: the user's previous entry; ``None`` if the user is new.
    :raises BatchConflictError: another Dag run holds the user, and its time is not over.
    :raises BatchRequestError: the pool does not exist.
    """
    before: LedgerEntry | None = None

    def change(metadata: Mapping[str, str]) -> dict[str, str]:
        nonlocal before
        before = entries_in(metadata).get(entry.username)
        _require_free(pool_id, before, entry.by, now, take_over=take_over)
        return with_entry(metadata, entry)

    if await change_metadata(client, pool_id, change, most_tries=_MOST_TRIES) is None:
        msg = f"Pool {pool_id!r} does not exist, so user {entry.username!r} was not added."
        raise BatchRequestError(msg, code="PoolNotFound")
    if before is not None and not before.is_held_by(entry.by):
        log.warning("Pool %r: user %r is taken over from %s.", pool_id, entry.username, before.holder)
    return before


async def check_leave(
    client: BatchLinuxClient,
    pool_id: str,
    username: str,
    by: Mapping[str, str],
    *,
    now: datetime,
    take_over: bool = False,
) -> LedgerEntry | None:
    """
    Check that a user may be removed. Call it before it is removed from the first node.

    :param by: who removes it, as in the ledger.
    :param take_over: also remove a user that another Dag run holds.
    :return: the user's entry; ``None`` if it has none, or the pool does not exist.
    :raises BatchConflictError: another Dag run holds the user, and its time is not over.
    """
    entry = (await read_ledger(client, pool_id) or {}).get(username)
    _require_free(pool_id, entry, by, now, take_over=take_over)
    return entry


async def leave(client: BatchLinuxClient, pool_id: str, entry: LedgerEntry) -> bool:
    """
    Remove a user from the ledger, after all nodes have. A missing pool or entry is fine.

    :param entry: the entry as :func:`check_leave` or :func:`read_ledger` returned it.
    :return: ``False`` if the user was added again meanwhile; then the new entry stays.
    """
    newer: LedgerEntry | None = None

    def change(metadata: Mapping[str, str]) -> Mapping[str, str]:
        nonlocal newer
        found = entries_in(metadata).get(entry.username)
        newer = None if found == entry else found
        return metadata if newer is not None else without_entry(metadata, entry.username)

    await change_metadata(client, pool_id, change, most_tries=_MOST_TRIES)
    if newer is not None:
        log.warning(
            "Pool %r: user %r was added again by %s during its removal, so nodes may lack it.",
            pool_id, entry.username, newer.holder,
        )  # fmt: skip
    return newer is None


def _require_free(
    pool_id: str, entry: LedgerEntry | None, by: Mapping[str, str], now: datetime, *, take_over: bool
) -> None:
    if entry is None or take_over or not entry.bars(by, now):
        return
    msg = (
        f"User {entry.username!r} on pool {pool_id!r} is held by {entry.holder} until "
        f"{entry.expires_at.isoformat()}, so nothing was done. Choose another username, or pass "
        "take_over=True."
    )
    raise BatchConflictError(msg, code="UserHeld")
