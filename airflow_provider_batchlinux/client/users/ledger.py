"""Read and write the ledger of users in a pool's metadata, which several Dag runs may change."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeGuard

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.text import counted
from airflow_provider_batchlinux.core.users.access import (
    RENEWED_AFTER,
    claim,
    holds_claim,
)
from airflow_provider_batchlinux.core.users.access import (
    enter as entered,
)
from airflow_provider_batchlinux.core.users.ledger import (
    ROOM,
    LedgerEntry,
    compacted,
    entries_in,
    room_left,
    with_entry,
    without_entry,
)
from airflow_provider_batchlinux.exceptions import BatchConflictError, BatchRequestError

log = logging.getLogger(__name__)

_MOST_TRIES = 30
"""Enough for a hundred concurrent writers, such as the instances of a mapped task."""

FRESH = 1.0
"""Seconds for which a look at an entry counts: one for each node would double the requests."""


async def read_ledger(client: BatchLinuxClient, pool_id: str) -> dict[str, LedgerEntry] | None:
    """
    Return the users that nodes of a pool may have, by name; ``None`` if the pool does not exist.

    Entries that only remind their holder of a revocation are left out.
    """
    found = await client.find_pool_body(pool_id, ["id", "metadata"])
    if found is None:
        return None
    entries = entries_in(metadata_of(found))
    return {name: entry for name, entry in entries.items() if not entry.is_settled}


async def read_entry(client: BatchLinuxClient, pool_id: str, username: str) -> LedgerEntry | None:
    """Return the entry of a user, also if it was revoked; ``None`` for none, or for no pool."""
    # With the ETag, a client that answers from a shared reading asks the service.
    found = await client.find_pool_body(pool_id, ["id", "eTag", "metadata"])
    return None if found is None else entries_in(metadata_of(found)).get(username)


async def change_entry(
    client: BatchLinuxClient,
    pool_id: str,
    username: str,
    change: Callable[[LedgerEntry | None], LedgerEntry | None],
) -> LedgerEntry | None:
    """
    Change the entry of a user, and return it; ``None`` if there is none afterwards.

    :param change: returns the new entry, given the present one; called again after a conflict.
    :raises BatchRequestError: the pool does not exist, or its ledger is full.
    """
    after: LedgerEntry | None = None

    def changed(metadata: Mapping[str, str]) -> dict[str, str]:
        nonlocal after
        before = entries_in(metadata).get(username)
        after = change(before)
        if after == before:
            return dict(metadata)
        others = compacted(without_entry(metadata, username), client.clock.now())
        if after is None:
            return others
        metadata_after = with_entry(others, after)
        if before is None:
            _require_room(pool_id, metadata_after, username)
        return metadata_after

    if await change_metadata(client, pool_id, changed, most_tries=_MOST_TRIES) is None:
        msg = f"Pool {pool_id!r} does not exist, so nothing was done about user {username!r}."
        raise BatchRequestError(msg, code="PoolNotFound")
    return after


async def unless_pool_is_gone(changing: Awaitable[LedgerEntry | None]) -> LedgerEntry | None:
    """Return what :func:`change_entry` returns; ``None`` if the pool does not exist."""
    try:
        return await changing
    except BatchRequestError as error:
        if error.code == "PoolNotFound":
            return None
        raise


async def enter(
    client: BatchLinuxClient,
    pool_id: str,
    entry: LedgerEntry,
    *,
    now: datetime | None = None,
    take_over: bool = False,
    token: str | None = None,
    resumes: int | None = None,
) -> tuple[LedgerEntry | None, LedgerEntry]:
    """
    Enter a user into the ledger of a pool. Call it before the first node gets the user.

    :param now: the present instant; ``None`` for that of the service.
    :param take_over: also take over a user that another Dag run holds.
    :param token: a claim to set, because requests follow, unless those about an earlier user of the name may
        be in flight; ``None`` for none.
    :param resumes: the generation that an earlier part of the task has entered; ``None`` for the first part.
    :return: the user's previous entry, ``None`` if the user is new, and its entry now.
    :raises BatchConflictError: another Dag run holds the user, and its time is not over; or the user of an
        earlier part of the task was removed meanwhile.
    :raises BatchRequestError: the pool does not exist, or its ledger is full.
    """
    before: LedgerEntry | None = None

    def change(found: LedgerEntry | None) -> LedgerEntry:
        nonlocal before
        before = found
        at = now or client.clock.now()
        require_free(pool_id, found, entry.by, at, take_over=take_over)
        after = entered(found, replace(entry, generation=new_generation()), at)
        if resumes is not None and after.generation != resumes:
            raise superseded(pool_id, entry.username, found)
        is_free = token is not None and after.fenced_until(at) is None
        return claim(after, token, at, adds=True) if token is not None and is_free else after

    after = await change_entry(client, pool_id, entry.username, change)
    assert after is not None
    if before is not None and not before.is_held_by(entry.by) and not before.is_settled:
        log.warning("Pool %r: user %r is taken over from %s.", pool_id, entry.username, before.holder)
    return before, after


def require_free(
    pool_id: str, entry: LedgerEntry | None, by: Mapping[str, str], now: datetime, *, take_over: bool
) -> None:
    """Raise ``BatchConflictError`` if another Dag run holds a user, and its time is not over."""
    if entry is None or take_over or not entry.bars(by, now):
        return
    msg = (
        f"User {entry.username!r} on pool {pool_id!r} is held by {entry.holder} until "
        f"{entry.expires_at.isoformat()}, and was left as it is. Choose another username, or pass "
        "take_over=True."
    )
    raise BatchConflictError(msg, code="UserHeld")


def require_no_lease(pool_id: str, entry: LedgerEntry | None, now: datetime) -> None:
    """Raise ``BatchConflictError`` if a lease keeps a user on all nodes, and would add it again."""
    if entry is None or not entry.is_lease or entry.is_over(now):
        return
    msg = (
        f"A lease of {entry.holder} keeps user {entry.username!r} on all nodes of pool {pool_id!r} until "
        f"{entry.expires_at.isoformat()} and would add it again, so it was removed from none. Remove it from "
        "the whole pool, which ends the lease."
    )
    raise BatchConflictError(msg, code="UserLeased")


def superseded(pool_id: str, username: str, found: LedgerEntry | None) -> BatchConflictError:
    """Return the error of a task whose user was removed, or given to another holder, while it worked."""
    now_of = f"is held by {found.holder} now" if found and not found.is_revoked else "was removed meanwhile"
    msg = (
        f"User {username!r} on pool {pool_id!r} {now_of}, so it was changed on no further node. "
        "The pool's ledger has the nodes that still owe its removal."
    )
    return BatchConflictError(msg, code="UserChanged")


def new_generation() -> int:
    """
    Return the generation of a user whose name is free.

    It is random: a task that was suspended until the ledger had forgotten its user must not take the next
    user of the name for it.
    """
    return 1 + secrets.randbelow(10**8)


def new_token() -> str:
    """Return a token for a claim."""
    return secrets.token_hex(3)


@dataclass
class Guard:
    """
    A look at the ledger before each request, at most one in :data:`FRESH` seconds.

    :param permits: whether the entry still permits the requests.
    :param token: the claim of the requests.
    :param adds: whether they add the user.
    :param earlier: whether they are about users of earlier generations.
    """

    client: BatchLinuxClient
    pool_id: str
    username: str
    permits: Callable[[LedgerEntry | None], bool]
    token: str
    adds: bool
    earlier: bool = False
    _lost: bool = field(default=False, init=False)
    _checked: float = field(init=False)
    _renewed: float = field(init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def __post_init__(self) -> None:
        """Begin with the look that has just been made."""
        self._checked = self._renewed = self.client.retry.clock()

    async def holds(self) -> bool:
        """Return whether the next request may be sent."""
        async with self._lock:
            began = self.client.retry.clock()
            if not self._lost and began - self._checked >= FRESH:
                await self._look(began)
                self._checked = began
        return not self._lost

    def is_held(self, found: LedgerEntry | None) -> TypeGuard[LedgerEntry]:
        """Return whether the claim holds, and the entry permits the requests."""
        if found is None or not self.permits(found):
            return False
        return holds_claim(found, self.token, self.client.clock.now())

    async def _look(self, began: float) -> None:
        if began - self._renewed < RENEWED_AFTER.total_seconds():
            found = await read_entry(self.client, self.pool_id, self.username)
        else:
            self._renewed = began
            found = await change_entry(self.client, self.pool_id, self.username, self._renew)
        self._lost = not self.is_held(found)

    def _renew(self, found: LedgerEntry | None) -> LedgerEntry | None:
        if not self.is_held(found):
            return found
        return claim(found, self.token, self.client.clock.now(), adds=self.adds, earlier=self.earlier)


def _require_room(pool_id: str, metadata: Mapping[str, str], username: str) -> None:
    more, is_nearly_full = room_left(metadata, username)
    if more < 0:
        users = counted(len(entries_in(metadata)) - 1, "user")
        msg = (
            f"The ledger of users of pool {pool_id!r} is full ({users}, {ROOM} "
            f"characters), so user {username!r} was not added. Remove users that are no longer needed; "
            "BatchLinuxAuditNodeUsersOperator lists them."
        )
        raise BatchRequestError(msg, code="UserLedgerFull")
    if is_nearly_full:
        log.warning("Pool %r: its ledger has room for about %s.", pool_id, counted(more, "more user"))
