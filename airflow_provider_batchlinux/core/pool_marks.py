"""The marks that the provider leaves in a pool's metadata; imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.core.instants import parse_instant, rest_instant

__all__ = [
    "METADATA_PREFIX",
    "describe_owner",
    "expiry_in",
    "fingerprint_of",
    "is_owned_by",
    "is_shared",
    "marks_of",
    "metadata_of",
    "own_marks",
    "rest_metadata",
    "with_expiry",
    "with_later_expiry",
]

METADATA_PREFIX = "airflow_batchlinux_"
_FINGERPRINT = f"{METADATA_PREFIX}fingerprint"
_EXPIRES_AT = f"{METADATA_PREFIX}expires_at"
_SHARED = f"{METADATA_PREFIX}shared"


def marks_of(owner: Mapping[str, str], fingerprint: str, expires_at: datetime | None) -> dict[str, str]:
    """
    Give the marks of a pool that is to be made.

    :param owner: what makes the pool (Dag id, run id, task id).
    :param fingerprint: the digest of what is asked for.
    :param expires_at: when the pool is no longer wanted; ``None`` for never.
    """
    marks = {f"{METADATA_PREFIX}{name}": value for name, value in owner.items()}
    marks[_FINGERPRINT] = fingerprint
    if expires_at is not None:
        marks[_EXPIRES_AT] = rest_instant(expires_at)
    return marks


def rest_metadata(metadata: Mapping[str, Any]) -> list[dict[str, str]]:
    """Write metadata as the service reads it."""
    return [{"name": name, "value": str(value)} for name, value in metadata.items()]


def metadata_of(pool: Mapping[str, Any]) -> dict[str, str]:
    """Read a pool's metadata from its REST body."""
    return {item["name"]: item["value"] for item in pool.get("metadata") or ()}


def own_marks(metadata: Mapping[str, str]) -> dict[str, str]:
    """Choose the provider's own marks but its end, such as the history of repairs, from a pool's metadata."""
    return {
        name: value
        for name, value in metadata.items()
        if name.startswith(METADATA_PREFIX) and name != _EXPIRES_AT
    }


def fingerprint_of(pool: Mapping[str, Any]) -> str | None:
    """Read the fingerprint that we left on a pool; ``None`` when somebody else made it."""
    return metadata_of(pool).get(_FINGERPRINT)


def describe_owner(pool: Mapping[str, Any]) -> str:
    """Say in a few words what made a pool, as far as its metadata tells."""
    marks = metadata_of(pool)
    names = ("dag_id", "run_id", "task_id")
    known = [f"{name} {marks[METADATA_PREFIX + name]!r}" for name in names if METADATA_PREFIX + name in marks]
    return "by " + ", ".join(known) if known else "not by this provider"


def is_owned_by(pool: Mapping[str, Any], owner: Mapping[str, str]) -> bool:
    """
    Tell whether a pool was made by a certain task instance.

    :param owner: the names of the task instance, as :func:`marks_of` took them.
    """
    marks = metadata_of(pool)
    return bool(owner) and all(marks.get(METADATA_PREFIX + name) == value for name, value in owner.items())


def expiry_in(metadata: Mapping[str, str]) -> datetime | None:
    """Read until when a pool is wanted from its metadata; ``None`` for no end, or an unreadable one."""
    return parse_instant(metadata.get(_EXPIRES_AT))


def is_shared(metadata: Mapping[str, str]) -> bool:
    """Tell whether several task instances have taken a pool, by its metadata."""
    return _SHARED in metadata


def with_expiry(metadata: Mapping[str, str], expires_at: datetime) -> dict[str, str]:
    """Give a pool's metadata so that it is wanted until an instant, and no longer."""
    return {**metadata, _EXPIRES_AT: rest_instant(expires_at)}


def with_later_expiry(metadata: Mapping[str, str], expires_at: datetime | None) -> dict[str, str]:
    """
    Give a pool's metadata so that it is shared, and wanted at least until an instant.

    :param metadata: as it is; a pool that has no end keeps none.
    :param expires_at: ``None`` for no end.
    """
    shared = {**metadata, _SHARED: "true"}
    if _EXPIRES_AT not in shared:
        return shared
    if expires_at is None:
        return {name: value for name, value in shared.items() if name != _EXPIRES_AT}
    found = expiry_in(shared)
    return with_expiry(shared, expires_at if found is None else max(found, expires_at))
