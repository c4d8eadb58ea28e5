"""The ledger: which users were added to a pool, by whom and until when, in the pool's metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_provider_batchlinux.core.instants import parse_instant, rest_instant
from airflow_provider_batchlinux.core.pool_metadata import USER_KEY_PREFIX, read_json
from airflow_provider_batchlinux.core.text import table

_VERSION = 3
"""The version of an entry. The first has none; it and the second lack what came later."""

# The expiry of an entry that this release cannot read: its user is not removed.
_NOT_YET = datetime(9999, 1, 1, tzinfo=timezone.utc)
# The expiry of an entry that lost its own: the next audit removes its user.
_NEVER_WRITTEN = datetime(1970, 1, 1, tzinfo=timezone.utc)

_REMEMBERED = timedelta(days=1)
"""How long after its end a revoked lease stays in the ledger, so that a retry does not begin it again."""

ROOM = 24_000
"""
The characters that all entries of a pool may have together.

The service documents no limit for metadata. A user takes 200 to 350 characters.
"""

# Warn while there is still room to revoke users in peace.
_NEARLY_FULL = 0.8


@dataclass(frozen=True)
class Owed:
    """
    The nodes that may have a user who is no longer wanted there.

    :param marks: a digest of the id of each node, because ids have 70 characters; ``None`` for all nodes.
    """

    marks: frozenset[str] | None = frozenset()

    @classmethod
    def of(cls, node_ids: Iterable[str]) -> Owed:
        """Return the debt of these nodes."""
        return cls(frozenset(map(_mark, node_ids)))

    def covers(self, node_id: str) -> bool:
        """Return whether a node may have the user."""
        return self.marks is None or _mark(node_id) in self.marks

    def without(self, node_ids: Iterable[str]) -> Owed:
        """Return the debt after some nodes have paid; that of all nodes stays."""
        return self if self.marks is None else Owed(self.marks - {_mark(node_id) for node_id in node_ids})

    def __or__(self, other: Owed) -> Owed:
        return ALL if self.marks is None or other.marks is None else Owed(self.marks | other.marks)

    def __bool__(self) -> bool:
        return self.marks is None or bool(self.marks)


NOTHING = Owed()
ALL = Owed(None)


@dataclass(frozen=True)
class Claim:
    """
    A sign that requests about a user may be in flight.

    :param token: who has set it.
    :param generation: the generation of the entry that the requests are about.
    :param adds: whether they add the user; else they remove it.
    :param until: when none of them can be in flight any more, whatever happened to their sender.
    """

    token: str
    generation: int
    adds: bool
    until: datetime


@dataclass(frozen=True)
class LedgerEntry:
    """
    A user that was added to the nodes of a pool, without its key and password.

    The service cannot list users, so the ledger is the only record of them.

    :param expires_at: until when the user is wanted.
    :param by: who added it, such as ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :param key: the fingerprint of its key, such as ``SHA256:...``; ``None`` without a key.
    :param is_admin: whether it was added with ``sudo``.
    :param has_password: whether it has a password.
    :param is_lease: whether a lease added it.
    :param generation: a number that grows when the name is given to a user that is not the previous one. It
        begins with a random number, so that it does not repeat after the entry was forgotten.
    :param revoked_at: when its access was ended; ``None`` while it is wanted.
    :param owed: of a revoked user, the nodes that may still have it; else those that may have a user who is
        not wanted there: of an earlier generation, or this one, which was removed from some nodes only.
    :param claims: which requests may be in flight.
    """

    username: str
    expires_at: datetime
    by: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    is_admin: bool = False
    has_password: bool = False
    is_lease: bool = False
    generation: int = 1
    revoked_at: datetime | None = None
    owed: Owed = NOTHING
    claims: tuple[Claim, ...] = ()

    @property
    def is_revoked(self) -> bool:
        """Whether its access was ended, so that nothing may add it."""
        return self.revoked_at is not None

    @property
    def is_settled(self) -> bool:
        """Whether it was ended and no node has it; the entry only reminds its holder of that."""
        return self.is_revoked and not self.owed

    def is_over(self, now: datetime) -> bool:
        """Return whether the user's time is over."""
        return self.is_revoked or self.expires_at <= now

    def is_held_by(self, by: Mapping[str, str]) -> bool:
        """Return whether the given holder, or another task of its Dag run, has added the user."""
        run = ("dag_id", "run_id")
        same_run = all(name in by and by[name] == self.by.get(name) for name in run)
        # Another Airflow may run the same Dag at the same logical date. An earlier release did not name it.
        installations = {by.get("installation"), self.by.get("installation")} - {None}
        same_run = same_run and len(installations) < 2
        return same_run or (bool(by) and dict(by) == dict(self.by))

    def bars(self, by: Mapping[str, str], now: datetime) -> bool:
        """Return whether another holder has the user, and its time is not over."""
        return not self.is_held_by(by) and not self.is_over(now)

    def live_claims(self, now: datetime) -> tuple[Claim, ...]:
        """Return the claims whose requests may be in flight."""
        return tuple(claim for claim in self.claims if claim.until > now)

    def fenced_until(self, now: datetime) -> datetime | None:
        """
        Return until when requests about earlier users may be in flight; ``None`` if there are none.

        Those who add this user send them too, while nodes owe the removal of an earlier one.
        """
        live = self.live_claims(now)
        pays = bool(self.owed)
        others = [c.until for c in live if c.generation != self.generation or not c.adds or pays]
        return max(others, default=None)

    @property
    def holder(self) -> str:
        """The holder in a few words."""
        return ", ".join(f"{name} {value!r}" for name, value in self.by.items()) or "an unknown holder"

    def to_result(self) -> dict[str, Any]:
        """Return the entry as plain JSON values."""
        return {
            "username": self.username,
            "expires_at": self.expires_at.isoformat(),
            "by": dict(self.by),
            "key": self.key,
            "is_admin": self.is_admin,
            "has_password": self.has_password,
            "revoked": self.is_revoked,
        }


def entries_in(metadata: Mapping[str, str]) -> dict[str, LedgerEntry]:
    """
    Return the users in a pool's metadata, by name, also those that were revoked.

    An entry that cannot be read is returned as overdue and without a holder.
    """
    names = (name for name in metadata if name.startswith(USER_KEY_PREFIX) and name != USER_KEY_PREFIX)
    return {
        name[len(USER_KEY_PREFIX) :]: _read(name[len(USER_KEY_PREFIX) :], metadata[name])
        for name in sorted(names)
    }


def with_entry(metadata: Mapping[str, str], entry: LedgerEntry) -> dict[str, str]:
    """Return a pool's metadata with an entry, which replaces the user's previous one."""
    marks: dict[str, Any] = {
        "version": _VERSION,
        "until": _written(entry.expires_at),
        "by": dict(entry.by),
        "key": entry.key,
        "admin": entry.is_admin or None,
        "password": entry.has_password or None,
        "lease": entry.is_lease or None,
        "generation": entry.generation if entry.generation > 1 else None,
        "revoked": _written(entry.revoked_at) if entry.revoked_at is not None else None,
        "owed": "*" if entry.owed == ALL else " ".join(sorted(entry.owed.marks or ())) or None,
        "claims": [
            [claim.token, claim.generation, claim.adds, _written(claim.until)] for claim in entry.claims
        ]
        or None,
    }
    given = {name: value for name, value in marks.items() if value is not None}
    return {**metadata, USER_KEY_PREFIX + entry.username: json.dumps(given, separators=(",", ":"))}


def without_entry(metadata: Mapping[str, str], username: str) -> dict[str, str]:
    """Return a pool's metadata without a user's entry."""
    return {name: value for name, value in metadata.items() if name != USER_KEY_PREFIX + username}


def may_forget(entry: LedgerEntry, now: datetime) -> bool:
    """
    Return whether an entry is of no use any more.

    That of a lease outlives its end: a retry of the lease would else begin it again.
    """
    is_reminder = entry.is_lease and now < entry.expires_at + _REMEMBERED
    return entry.is_settled and not entry.live_claims(now) and not is_reminder


def compacted(metadata: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Return a pool's metadata without entries that are of no use any more."""
    useless = [name for name, entry in entries_in(metadata).items() if may_forget(entry, now)]
    return {
        name: value
        for name, value in metadata.items()
        if name.removeprefix(USER_KEY_PREFIX) not in useless or not name.startswith(USER_KEY_PREFIX)
    }


def room_left(metadata: Mapping[str, str], username: str) -> tuple[int, bool]:
    """
    Return how many more users like this one fit into the ledger, and whether it is nearly full.

    :param metadata: the pool's metadata with the user; a negative number means that the user does not fit.
    """
    sizes = {
        name: len(name) + len(text) for name, text in metadata.items() if name.startswith(USER_KEY_PREFIX)
    }
    used = sum(sizes.values())
    return (ROOM - used) // sizes[USER_KEY_PREFIX + username], used > ROOM * _NEARLY_FULL


def ledger_table(entries: Iterable[tuple[str, LedgerEntry]], now: datetime) -> str:
    """
    Format entries as a table for the log.

    :param entries: each with its pool's id.
    """
    rows = []
    for pool_id, entry in entries:
        remark = " (overdue)" if entry.is_over(now) else ""
        if entry.is_revoked:
            remark = " (revoked, and owed by nodes)"
        until = entry.expires_at.isoformat(timespec="seconds") + remark
        is_admin = "yes" if entry.is_admin else "no"
        rows.append((pool_id, entry.username, until, is_admin, entry.key or "none", entry.holder))
    return table(("pool", "user", "until", "sudo", "key", "put there by"), rows)


def _mark(node_id: str) -> str:
    return hashlib.sha256(node_id.lower().encode()).hexdigest()[:8]


def _written(instant: datetime) -> str:
    return rest_instant(instant).replace(".000000Z", "Z")


def _read(username: str, text: str) -> LedgerEntry:
    try:
        marks = read_json(text)
    except ValueError:
        marks = None
    if not isinstance(marks, dict):
        return LedgerEntry(username, _NEVER_WRITTEN)
    if isinstance(version := marks.get("version"), int) and version > _VERSION:
        # Neither revoked nor replaced before its time, which is unknown.
        return LedgerEntry(username, _NOT_YET, {"provider": f"a later release (version {version})"})
    by, until, key = marks.get("by"), marks.get("until"), marks.get("key")
    generation, revoked = marks.get("generation"), marks.get("revoked")
    return LedgerEntry(
        username,
        (parse_instant(until) if isinstance(until, str) else None) or _NEVER_WRITTEN,
        {str(name): str(value) for name, value in by.items()} if isinstance(by, dict) else {},
        key if isinstance(key, str) else None,
        bool(marks.get("admin")),
        bool(marks.get("password")),
        bool(marks.get("lease")),
        generation if isinstance(generation, int) else 1,
        None if revoked is None else parse_instant(str(revoked)) or _NEVER_WRITTEN,
        _read_owed(marks.get("owed")),
        _read_claims(marks.get("claims")),
    )


def _read_owed(owed: object) -> Owed:
    if owed is None:
        return NOTHING
    # What cannot be read may be any node.
    return Owed(frozenset(owed.split())) if isinstance(owed, str) and owed != "*" else ALL


def _read_claims(claims: object) -> tuple[Claim, ...]:
    try:
        return tuple(
            Claim(str(token), int(generation), bool(adds), parse_instant(until) or _NEVER_WRITTEN)
            for token, generation, adds, until in (claims if isinstance(claims, list) else ())
        )
    except (TypeError, ValueError, AttributeError):
        return ()
