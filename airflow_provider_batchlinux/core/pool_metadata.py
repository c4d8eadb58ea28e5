"""
The names and values that the provider records in a pool's metadata.

All keys of the provider begin with :data:`METADATA_PREFIX`, and all of them are spelled here.
:class:`PoolMarks` reads and writes those about the pool itself; the user ledger and the repair history read
and write theirs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.core.instants import parse_instant, rest_instant

METADATA_PREFIX = "airflow_batchlinux_"
USER_KEY_PREFIX = f"{METADATA_PREFIX}user_"
REPAIRS_KEY = f"{METADATA_PREFIX}repairs"
FINGERPRINT_KEY = f"{METADATA_PREFIX}fingerprint"
SUBMISSION_KEY = f"{METADATA_PREFIX}submission"
SETTLED_KEY = f"{METADATA_PREFIX}settled"
"""On a job that was kept although nothing is left to read of its command; a retry runs the command again."""

_EXPIRES_AT = f"{METADATA_PREFIX}expires_at"
_SHARED = f"{METADATA_PREFIX}shared"
_TAKERS = f"{METADATA_PREFIX}takers"
_KEPT = f"{METADATA_PREFIX}kept"
_OWNER = ("dag_id", "run_id", "map_index", "task_id", "instance")
_POOL_KEYS = {
    *(METADATA_PREFIX + name for name in _OWNER),
    FINGERPRINT_KEY,
    _EXPIRES_AT,
    _SHARED,
    _TAKERS,
    _KEPT,
}
# The service documents no limit for the length of a value; 20 runs are assumed to fit.
_MAX_TAKERS = 20

Run = tuple[str, str]
"""A Dag run, as Dag id and run id."""


@dataclass(frozen=True)
class PoolMarks:
    """
    What the provider records about a pool.

    :param owner: the task instance that created the pool: ``dag_id``, ``run_id``, ``map_index``, ``task_id``,
        and ``instance``, the ``id_prefix`` of its connection, which tells apart Airflows that share an
        account.
    :param fingerprint: the digest of what was requested; ``None`` if this provider did not create the pool.
    :param expires_at: when the pool is no longer needed; ``None`` for never.
    :param is_shared: whether other task instances have reused the pool.
    :param takers: the Dag runs that reused it, the latest last; ``None`` if they are not all known.
    :param kept_since: since when it is kept on purpose, as text; ``None`` if it is not.
    """

    owner: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str | None = None
    expires_at: datetime | None = None
    is_shared: bool = False
    takers: tuple[Run, ...] | None = ()
    kept_since: str | None = None

    @classmethod
    def read(cls, metadata: Mapping[str, str]) -> PoolMarks:
        """Return the marks in a pool's metadata; unreadable values are those of an unmarked pool."""
        return cls(
            owner={name: metadata[key] for name in _OWNER if (key := METADATA_PREFIX + name) in metadata},
            fingerprint=metadata.get(FINGERPRINT_KEY),
            expires_at=parse_instant(metadata.get(_EXPIRES_AT)),
            is_shared=_SHARED in metadata,
            takers=_read_takers(metadata),
            kept_since=metadata.get(_KEPT),
        )

    @classmethod
    def of(cls, pool: Mapping[str, Any]) -> PoolMarks:
        """Return the marks of a pool, given its REST body."""
        return cls.read(metadata_of(pool))

    def to_metadata(self) -> dict[str, str]:
        """Return the marks as names and values."""
        values = {
            **{METADATA_PREFIX + name: value for name, value in self.owner.items()},
            FINGERPRINT_KEY: self.fingerprint,
            _EXPIRES_AT: rest_instant(self.expires_at) if self.expires_at is not None else None,
            _SHARED: "true" if self.is_shared else None,
            _TAKERS: json.dumps(self.takers) if self.takers else None,
            _KEPT: self.kept_since,
        }
        return {name: value for name, value in values.items() if value is not None}

    def update(self, metadata: Mapping[str, str]) -> dict[str, str]:
        """Return a pool's metadata with these marks in place of the ones in it; other names stay."""
        others = {name: value for name, value in metadata.items() if name not in _POOL_KEYS}
        return {**others, **self.to_metadata()}

    @property
    def creator(self) -> Run | None:
        """The Dag run that created the pool; ``None`` if it is unknown."""
        dag_id, run_id = self.owner.get("dag_id"), self.owner.get("run_id")
        return (dag_id, run_id) if dag_id and run_id else None

    @property
    def runs(self) -> tuple[Run, ...] | None:
        """The Dag runs that created and reused the pool; ``None`` if they are not all known."""
        if self.creator is None or self.takers is None:
            return None
        return tuple(dict.fromkeys([self.creator, *self.takers]))

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

    def with_taker(self, taker: Mapping[str, str]) -> PoolMarks:
        """
        Return the marks after one more task instance has reused the pool.

        The last 20 Dag runs are kept. If earlier ones are unknown, later ones are not recorded either.
        """
        if self.takers is None:
            return replace(self, is_shared=True)
        run = (taker.get("dag_id", ""), taker.get("run_id", ""))
        latest = (*(known for known in self.takers if known != run), run)[-_MAX_TAKERS:]
        return replace(self, is_shared=True, takers=latest)

    def with_later_expiry(self, expires_at: datetime | None) -> PoolMarks:
        """
        Return the marks with the later of two expiries.

        :param expires_at: ``None`` for never; a pool without an expiry keeps none.
        """
        if self.expires_at is None or expires_at is None:
            return replace(self, expires_at=None)
        return replace(self, expires_at=max(self.expires_at, expires_at))


def rest_metadata(metadata: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return metadata as the service reads it."""
    return [{"name": name, "value": str(value)} for name, value in metadata.items()]


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
        if name.startswith(METADATA_PREFIX) and name != _EXPIRES_AT
    }
    metadata, before = {**stay, **wanted}, PoolMarks.read(found).creator
    if before is None or before == PoolMarks.read(wanted).creator:
        return metadata
    marks = PoolMarks.read(metadata).with_taker({"dag_id": before[0], "run_id": before[1]})
    return marks.update(metadata)


def _read_takers(metadata: Mapping[str, str]) -> tuple[Run, ...] | None:
    # A pool that was shared before this provider recorded the runs has the one mark without the other.
    if _SHARED in metadata and _TAKERS not in metadata:
        return None
    try:
        runs = json.loads(metadata.get(_TAKERS, "[]"))
        return tuple((str(dag_id), str(run_id)) for dag_id, run_id in runs)
    except (TypeError, ValueError):
        return None
