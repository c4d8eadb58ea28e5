"""The marks that the provider leaves in a pool's metadata; imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.core.instants import rest_instant

__all__ = ["METADATA_PREFIX", "describe_owner", "fingerprint_of", "marks_of", "metadata_of", "rest_metadata"]

METADATA_PREFIX = "airflow_batchlinux_"
_FINGERPRINT = f"{METADATA_PREFIX}fingerprint"
_EXPIRES_AT = f"{METADATA_PREFIX}expires_at"


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


def fingerprint_of(pool: Mapping[str, Any]) -> str | None:
    """Read the fingerprint that we left on a pool; ``None`` when somebody else made it."""
    return metadata_of(pool).get(_FINGERPRINT)


def describe_owner(pool: Mapping[str, Any]) -> str:
    """Say in a few words what made a pool, as far as its metadata tells."""
    marks = metadata_of(pool)
    names = ("dag_id", "run_id", "task_id")
    known = [f"{name} {marks[METADATA_PREFIX + name]!r}" for name in names if METADATA_PREFIX + name in marks]
    return "by " + ", ".join(known) if known else "not by this provider"
