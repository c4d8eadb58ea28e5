"""The ledger: which users were added to a pool, by whom and until when, in the pool's metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from airflow_provider_batchlinux.core.instants import parse_instant, rest_instant
from airflow_provider_batchlinux.core.pool_metadata import USER_KEY_PREFIX
from airflow_provider_batchlinux.core.text import table

_VERSION = 2
"""The version of an entry. The first one has none, and is otherwise the same."""

_NOT_YET = datetime(9999, 1, 1, tzinfo=timezone.utc)
_NEVER_WRITTEN = datetime(1970, 1, 1, tzinfo=timezone.utc)


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
    """

    username: str
    expires_at: datetime
    by: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    is_admin: bool = False
    has_password: bool = False

    def is_over(self, now: datetime) -> bool:
        """Return whether the user's time is over."""
        return self.expires_at <= now

    def is_held_by(self, by: Mapping[str, str]) -> bool:
        """Return whether the given holder, or another task of its Dag run, has added the user."""
        run = ("dag_id", "run_id")
        same_run = all(name in by and by[name] == self.by.get(name) for name in run)
        return same_run or (bool(by) and dict(by) == dict(self.by))

    def bars(self, by: Mapping[str, str], now: datetime) -> bool:
        """Return whether another holder has the user, and its time is not over."""
        return not self.is_held_by(by) and not self.is_over(now)

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
        }


def entries_in(metadata: Mapping[str, str]) -> dict[str, LedgerEntry]:
    """
    Return the users in a pool's metadata, by name.

    An entry that cannot be read is returned as overdue and without a holder.
    """
    names = (name for name in metadata if name.startswith(USER_KEY_PREFIX) and name != USER_KEY_PREFIX)
    return {
        name[len(USER_KEY_PREFIX) :]: _read(name[len(USER_KEY_PREFIX) :], metadata[name])
        for name in sorted(names)
    }


def with_entry(metadata: Mapping[str, str], entry: LedgerEntry) -> dict[str, str]:
    """Return a pool's metadata with an entry, which replaces the user's previous one."""
    until = rest_instant(entry.expires_at)
    marks: dict[str, Any] = {"version": _VERSION, "until": until, "by": dict(entry.by)}
    if entry.key is not None:
        marks["key"] = entry.key
    if entry.is_admin:
        marks["admin"] = True
    if entry.has_password:
        marks["password"] = True
    return {**metadata, USER_KEY_PREFIX + entry.username: json.dumps(marks, separators=(",", ":"))}


def without_entry(metadata: Mapping[str, str], username: str) -> dict[str, str]:
    """Return a pool's metadata without a user's entry."""
    return {name: value for name, value in metadata.items() if name != USER_KEY_PREFIX + username}


def ledger_table(entries: Iterable[tuple[str, LedgerEntry]], now: datetime) -> str:
    """
    Format entries as a table for the log.

    :param entries: each with its pool's id.
    """
    rows = [
        (
            pool_id,
            entry.username,
            entry.expires_at.isoformat(timespec="seconds") + (" (overdue)" if entry.is_over(now) else ""),
            "yes" if entry.is_admin else "no",
            entry.key or "none",
            entry.holder,
        )
        for pool_id, entry in entries
    ]
    return table(("pool", "user", "until", "sudo", "key", "put there by"), rows)


def _read(username: str, text: str) -> LedgerEntry:
    try:
        marks = json.loads(text)
    except ValueError:
        marks = None
    if not isinstance(marks, dict):
        return LedgerEntry(username, _NEVER_WRITTEN)
    if isinstance(version := marks.get("version"), int) and version > _VERSION:
        # Neither revoked nor replaced before its time, which is unknown.
        return LedgerEntry(username, _NOT_YET, {"provider": f"a later release (version {version})"})
    by, until, key = marks.get("by"), marks.get("until"), marks.get("key")
    return LedgerEntry(
        username,
        (parse_instant(until) if isinstance(until, str) else None) or _NEVER_WRITTEN,
        {str(name): str(value) for name, value in by.items()} if isinstance(by, dict) else {},
        key if isinstance(key, str) else None,
        bool(marks.get("admin")),
        bool(marks.get("password")),
    )
