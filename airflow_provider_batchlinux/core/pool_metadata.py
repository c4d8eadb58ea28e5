"""
The names and values that the provider records in a pool's metadata.

All keys of the provider begin with :data:`METADATA_PREFIX`, and all of them are spelled here.
:class:`PoolMarks` reads and writes those about the pool itself; the user ledger and the repair history read
and write theirs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from airflow_provider_batchlinux.core.instants import parse_instant, rest_instant

METADATA_PREFIX = "airflow_batchlinux_"
USER_KEY_PREFIX = f"{METADATA_PREFIX}user_"
REPAIRS_KEY = f"{METADATA_PREFIX}repairs"
FINGERPRINT_KEY = f"{METADATA_PREFIX}fingerprint"
USAGE_KEY = f"{METADATA_PREFIX}usage"
SUBMISSION_KEY = f"{METADATA_PREFIX}submission"
SECRETS_KEY = f"{METADATA_PREFIX}secrets"
"""On a job whose command reads secrets from a blob: where that blob is, without a SAS."""

SETTLED_KEY = f"{METADATA_PREFIX}settled"
"""On a job that was kept although nothing is left to read of its command; a retry runs the command again."""

READ_KEY = f"{METADATA_PREFIX}read"
"""On a job whose commands have succeeded: the try that has read their results. Only its own retries read them
again; after the task was cleared they run again."""

COUNTED_KEY = f"{METADATA_PREFIX}counted"
"""On a job of many commands: when the last of those ended that the metrics of a try have counted."""

DELETE_JOB_KEY = f"{METADATA_PREFIX}delete_job"
"""On a job: when its operator deletes it."""

TASKS_KEY = f"{METADATA_PREFIX}tasks"
"""On a job of many commands: how many they are."""

_LONG = 10
"""Digits of a number that no release has written; Python refuses to read thousands of them."""

VERSION_KEY = f"{METADATA_PREFIX}version"
"""On a pool and on a job: the version of the other entries, except those that have one of their own."""

_EXPIRES_AT = f"{METADATA_PREFIX}expires_at"
_SHARED = f"{METADATA_PREFIX}shared"
_HOLDERS = f"{METADATA_PREFIX}holders"
_MORE_HOLDERS = f"{METADATA_PREFIX}more_holders"
_TAKERS = f"{METADATA_PREFIX}takers"
_KEPT = f"{METADATA_PREFIX}kept"
_KEPT_UNTIL = f"{METADATA_PREFIX}kept_until"
_MAX_NODE_HOURS = f"{METADATA_PREFIX}max_node_hours"
_DELETE_OVER_BUDGET = f"{METADATA_PREFIX}delete_over_budget"
_OWNER = ("dag_id", "run_id", "map_index", "task_id", "installation")
_INSTANCE = f"{METADATA_PREFIX}instance"
"""The installation, as an earlier release named it: by the ``id_prefix`` of its connection."""
_POOL_KEYS = {
    *(METADATA_PREFIX + name for name in _OWNER),
    _INSTANCE,
    FINGERPRINT_KEY,
    VERSION_KEY,
    _EXPIRES_AT,
    _SHARED,
    _HOLDERS,
    _MORE_HOLDERS,
    _TAKERS,
    _KEPT,
    _KEPT_UNTIL,
    _MAX_NODE_HOURS,
    _DELETE_OVER_BUDGET,
}

MARKS_VERSION = 2
"""The version of the marks. The first one has none: its runs that reused a pool never leave it."""

# The service documents no limit for the length of a value; 20 runs are assumed to fit.
MAX_HOLDERS = 20


ACTIVE_RUN_STATES = ("queued", "running")
"""The states of a Dag run that still uses its pools. One that has failed and is cleared is queued again."""


class Holder(NamedTuple):
    """
    A Dag run that uses a pool.

    :param installation: the id of its Airflow, which tells apart Airflows that share an account.
    """

    dag_id: str
    run_id: str
    installation: str

    @classmethod
    def of(cls, owner: Mapping[str, str]) -> Holder:
        """Return the Dag run of a task instance that requests a pool."""
        return cls(owner.get("dag_id", ""), owner.get("run_id", ""), owner.get("installation", ""))

    def __str__(self) -> str:
        """Return the run as a part of a sentence."""
        return f"run {self.run_id!r} of Dag {self.dag_id!r}"


@dataclass(frozen=True)
class PoolMarks:
    """
    What the provider records about a pool.

    :param owner: the task instance that created the pool: ``dag_id``, ``run_id``, ``map_index``, ``task_id``,
        and ``installation``, the id of its Airflow.
    :param fingerprint: the digest of what was requested; ``None`` if this provider did not create the pool.
    :param expires_at: when the pool is no longer needed; ``None`` for never.
    :param is_shared: whether other task instances have reused the pool.
    :param holders: the Dag runs that created and reused it and have not released it, the latest last;
        ``None`` for its creator alone.
    :param has_more_holders: whether there are, or may be, others that are not listed.
    :param kept_since: since when it is kept on purpose, as text; ``None`` if it is not. An earlier release
        wrote it, without an end.
    :param kept_until: until when it is kept after a failure; ``None`` if it is not.
    :param max_node_hours: how many node-hours it may use; ``None`` for any number.
    :param delete_over_budget: whether it is deleted when it has used more.
    :param version: the version in which the marks were written.
    """

    owner: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str | None = None
    expires_at: datetime | None = None
    is_shared: bool = False
    holders: tuple[Holder, ...] | None = None
    has_more_holders: bool = False
    kept_since: str | None = None
    kept_until: datetime | None = None
    max_node_hours: float | None = None
    delete_over_budget: bool = False
    version: int = MARKS_VERSION

    @classmethod
    def read(cls, metadata: Mapping[str, str]) -> PoolMarks:
        """Return the marks in a pool's metadata; unreadable values are those of an unmarked pool."""
        owner = {name: metadata[key] for name in _OWNER if (key := METADATA_PREFIX + name) in metadata}
        if _INSTANCE in metadata:
            owner.setdefault("installation", metadata[_INSTANCE])
        version = metadata.get(VERSION_KEY, "1")
        holders = _read_holders(metadata) if VERSION_KEY in metadata else _read_takers(metadata, owner)
        return cls(
            owner=owner,
            fingerprint=metadata.get(FINGERPRINT_KEY),
            expires_at=parse_instant(metadata.get(_EXPIRES_AT)),
            is_shared=_SHARED in metadata,
            holders=holders or (),
            has_more_holders=holders is None or _MORE_HOLDERS in metadata,
            kept_since=metadata.get(_KEPT),
            kept_until=parse_instant(metadata.get(_KEPT_UNTIL)),
            max_node_hours=_number(metadata.get(_MAX_NODE_HOURS)),
            delete_over_budget=_DELETE_OVER_BUDGET in metadata,
            version=int(version) if version.isdecimal() and len(version) < _LONG else MARKS_VERSION + 1,
        )

    @classmethod
    def of(cls, pool: Mapping[str, Any]) -> PoolMarks:
        """Return the marks of a pool, given its REST body."""
        return cls.read(metadata_of(pool))

    def to_metadata(self) -> dict[str, str]:
        """Return the marks as names and values."""
        holders = self.all_holders
        values = {
            **{METADATA_PREFIX + name: value for name, value in self.owner.items()},
            FINGERPRINT_KEY: self.fingerprint,
            VERSION_KEY: str(MARKS_VERSION) if self.owner or holders or self.has_more_holders else None,
            _EXPIRES_AT: rest_instant(self.expires_at) if self.expires_at is not None else None,
            _SHARED: "true" if self.is_shared else None,
            _HOLDERS: json.dumps(holders) if holders else None,
            _MORE_HOLDERS: "true" if self.has_more_holders else None,
            _KEPT: self.kept_since,
            _KEPT_UNTIL: rest_instant(self.kept_until) if self.kept_until is not None else None,
            _MAX_NODE_HOURS: None if self.max_node_hours is None else f"{self.max_node_hours:g}",
            _DELETE_OVER_BUDGET: "true" if self.delete_over_budget else None,
        }
        return {name: value for name, value in values.items() if value is not None}

    def update(self, metadata: Mapping[str, str]) -> dict[str, str]:
        """Return a pool's metadata with these marks in place of the ones in it; other names stay."""
        others = {name: value for name, value in metadata.items() if name not in _POOL_KEYS}
        return {**others, **self.to_metadata()}

    @property
    def creator(self) -> Holder | None:
        """The Dag run that created the pool; ``None`` if it is unknown."""
        return Holder.of(self.owner) if self.owner.get("dag_id") and self.owner.get("run_id") else None

    @property
    def ends_at(self) -> datetime | None:
        """When it is no longer needed, or no longer kept after a failure; ``None`` for neither."""
        return self.expires_at or self.kept_until

    @property
    def all_holders(self) -> tuple[Holder, ...]:
        """The Dag runs that are known to use the pool."""
        if self.holders is not None:
            return self.holders
        return (self.creator,) if self.creator is not None else ()

    @property
    def runs(self) -> tuple[Holder, ...] | None:
        """The Dag runs that use the pool; ``None`` if they are not all known."""
        return None if self.creator is None or self.has_more_holders else self.all_holders

    @property
    def created_by(self) -> str:
        """Who created the pool, for messages."""
        known = [
            f"{name} {self.owner[name]!r}" for name in ("dag_id", "run_id", "task_id") if name in self.owner
        ]
        return "by " + ", ".join(known) if known else "not by this provider"

    def is_owned_by(self, owner: Mapping[str, str]) -> bool:
        """Return whether a task instance created the pool."""
        return bool(owner) and all(self.owner.get(name) == value for name, value in owner.items())

    def held_by(self, holder: Holder) -> PoolMarks:
        """
        Return the marks after one more Dag run uses the pool.

        More than :data:`MAX_HOLDERS` are not listed: the marks then only say that there are more.
        """
        holders = (*(known for known in self.all_holders if known != holder), holder)
        is_full = len(holders) > MAX_HOLDERS
        listed = holders[:-1] if is_full else holders
        return replace(self, holders=listed, has_more_holders=self.has_more_holders or is_full)

    def released_by(self, holder: Holder) -> PoolMarks:
        """Return the marks after a Dag run has stopped to use the pool."""
        return replace(self, holders=tuple(known for known in self.all_holders if known != holder))

    def with_later_expiry(self, expires_at: datetime | None) -> PoolMarks:
        """
        Return the marks with the later of two expiries.

        :param expires_at: ``None`` for never; a pool without an expiry keeps none.
        """
        if self.expires_at is None or expires_at is None:
            return replace(self, expires_at=None)
        return replace(self, expires_at=max(self.expires_at, expires_at))

    def extended_to(self, until: datetime) -> PoolMarks:
        """
        Return the marks of a pool that is needed until an instant, or later if it was already.

        A pool without an expiry gets none: it would end also while a Dag run uses it.
        """
        if self.expires_at is None:
            return replace(self, kept_until=max(until, self.kept_until or until))
        return self.with_later_expiry(until)


def read_json(text: str) -> Any:
    """
    Return the value of JSON text in metadata, which anyone with access to the account may write.

    :raises ValueError: it is not JSON, is nested too deep, or contains what no database and no page can hold:
        NUL, or half a character.
    """
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        msg = "The JSON is nested too deep."
        raise ValueError(msg) from None
    if "\\u0000" in text:
        msg = "The JSON contains NUL."
        raise ValueError(msg)
    return value


def rest_metadata(metadata: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return metadata as the service reads it."""
    return [{"name": name, "value": str(value)} for name, value in metadata.items()]


def reserved_names(what: str, names: Iterable[object]) -> list[str]:
    """
    List the names of metadata that only the provider may use, as problems.

    :param what: where the names are, for the messages.
    """
    return [
        f"{what} name {name!r} begins with {METADATA_PREFIX!r}, reserved for the provider."
        for name in names
        if str(name).lower().startswith(METADATA_PREFIX)
    ]


def metadata_of(pool: Mapping[str, Any]) -> dict[str, str]:
    """Return a pool's metadata, given its REST body."""
    return {item["name"]: item["value"] for item in pool.get("metadata") or ()}


def with_marks(body: Mapping[str, Any], marks: PoolMarks) -> dict[str, Any]:
    """Return the body that creates a pool, with marks in its metadata."""
    return {**body, "metadata": [*body.get("metadata", ()), *rest_metadata(marks.to_metadata())]}


def handed_over(found: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """
    Return the metadata of a pool that a request changed and now owns.

    What is not part of the request stays, such as the history of repairs, and so do the Dag runs that used
    the pool before; its expiry does not.

    :param found: the pool's metadata.
    :param wanted: the metadata that the request alone would give it.
    """
    stay = {
        name: value
        for name, value in found.items()
        if name.startswith(METADATA_PREFIX) and name not in (_EXPIRES_AT, _KEPT_UNTIL)
    }
    before, marks = PoolMarks.read(found), PoolMarks.read(wanted)
    if marks.creator is None:
        return {**stay, **wanted}
    shared = replace(
        marks,
        is_shared=before.is_shared or before.creator not in (None, marks.creator),
        holders=before.all_holders,
        has_more_holders=before.has_more_holders and before.creator is not None,
        kept_since=before.kept_since,
    )
    return shared.held_by(marks.creator).update({**stay, **wanted})


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _read_holders(metadata: Mapping[str, str]) -> tuple[Holder, ...] | None:
    """Return the listed runs; ``None`` if they cannot be read."""
    if metadata[VERSION_KEY] != str(MARKS_VERSION):
        return None
    try:
        return tuple(Holder(*map(str, item)) for item in read_json(metadata.get(_HOLDERS, "[]")))
    except (TypeError, ValueError):
        return None


def _read_takers(metadata: Mapping[str, str], owner: Mapping[str, str]) -> tuple[Holder, ...] | None:
    """Return the creator and the runs that reused the pool, as the first version lists them."""
    # A pool that was shared before this provider recorded the runs has the one mark without the other.
    if _SHARED in metadata and _TAKERS not in metadata:
        return None
    if not owner.get("run_id"):
        return ()
    try:
        runs = read_json(metadata.get(_TAKERS, "[]"))
        takers = [Holder(str(dag_id), str(run_id), owner.get("installation", "")) for dag_id, run_id in runs]
    except (TypeError, ValueError):
        return None
    # That version dropped the oldest of more without a word.
    return tuple(dict.fromkeys([Holder.of(owner), *takers])) if len(takers) < MAX_HOLDERS else None
