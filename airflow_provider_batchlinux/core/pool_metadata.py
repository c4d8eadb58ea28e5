"""The marks that the provider leaves in a pool's metadata; imports only the standard library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.core.instants import parse_instant, rest_instant

__all__ = [
    "METADATA_PREFIX",
    "describe_owner",
    "expiry_in",
    "fingerprint_of",
    "handed_over",
    "is_owned_by",
    "is_shared",
    "kept_since",
    "marks_of",
    "metadata_of",
    "rest_metadata",
    "runs_in",
    "with_expiry",
    "with_keep",
    "with_later_expiry",
    "with_taker",
]

METADATA_PREFIX = "airflow_batchlinux_"
_FINGERPRINT = f"{METADATA_PREFIX}fingerprint"
_EXPIRES_AT = f"{METADATA_PREFIX}expires_at"
_SHARED = f"{METADATA_PREFIX}shared"
_TAKERS = f"{METADATA_PREFIX}takers"
_KEPT = f"{METADATA_PREFIX}kept"
_MOST_TAKERS = 20


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


def handed_over(found: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """
    Give the metadata of a pool that was changed on request, and so belongs to who asked.

    The marks that are not of the request stay, such as the history of repairs, and so do the Dag runs that
    had the pool before; its end does not.

    :param found: the pool's metadata as it is.
    :param wanted: the metadata that the request alone would give it.
    """
    stay = {
        name: value
        for name, value in found.items()
        if name.startswith(METADATA_PREFIX) and name != _EXPIRES_AT
    }
    marks = {**stay, **wanted}
    before = _maker_in(found)
    if before is None or before == _maker_in(wanted):
        return marks
    return with_taker(marks, dict(zip(("dag_id", "run_id"), before, strict=True)))


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


def kept_since(metadata: Mapping[str, str]) -> str | None:
    """Read since when a pool is kept on purpose, as it is written; ``None`` when it is not."""
    return metadata.get(_KEPT)


def with_keep(metadata: Mapping[str, str], since: datetime) -> dict[str, str]:
    """Give a pool's metadata so that it is kept on purpose, until its end if it has one."""
    return {**metadata, _KEPT: rest_instant(since)}


def runs_in(metadata: Mapping[str, str]) -> tuple[tuple[str, str], ...] | None:
    """
    Read the Dag runs, each as Dag id and run id, that made a pool and that have taken it since.

    :return: ``None`` when not all are known: nobody wrote them down, or what is written is not readable.
    """
    maker, takers = _maker_in(metadata), _takers_in(metadata)
    return None if maker is None or takers is None else tuple(dict.fromkeys([maker, *takers]))


def with_taker(metadata: Mapping[str, str], taker: Mapping[str, str]) -> dict[str, str]:
    """
    Give a pool's metadata so that it is shared with one more task instance.

    Of the Dag runs the last 20 are kept: how long a value may be is not documented; it is assumed to hold
    them. Where earlier ones were not written down, later ones are not either.

    :param taker: the names of the task instance, as :func:`marks_of` took them.
    """
    shared = {**metadata, _SHARED: "true"}
    takers = _takers_in(metadata)
    if takers is None:
        return shared
    run = (taker.get("dag_id", ""), taker.get("run_id", ""))
    latest = [*(known for known in takers if known != run), run][-_MOST_TAKERS:]
    return {**shared, _TAKERS: json.dumps(latest)}


def _maker_in(metadata: Mapping[str, str]) -> tuple[str, str] | None:
    dag_id, run_id = (metadata.get(f"{METADATA_PREFIX}{name}") for name in ("dag_id", "run_id"))
    return (dag_id, run_id) if dag_id and run_id else None


def _takers_in(metadata: Mapping[str, str]) -> list[tuple[str, str]] | None:
    if is_shared(metadata) and _TAKERS not in metadata:
        return None
    try:
        return [(str(dag_id), str(run_id)) for dag_id, run_id in json.loads(metadata.get(_TAKERS, "[]"))]
    except (TypeError, ValueError):
        return None


def with_expiry(metadata: Mapping[str, str], expires_at: datetime) -> dict[str, str]:
    """Give a pool's metadata so that it is wanted until an instant, and no longer."""
    return {**metadata, _EXPIRES_AT: rest_instant(expires_at)}


def with_later_expiry(metadata: Mapping[str, str], expires_at: datetime | None) -> dict[str, str]:
    """
    Give a pool's metadata so that it is wanted at least until an instant.

    :param metadata: as it is; a pool that has no end keeps none.
    :param expires_at: ``None`` for no end.
    """
    if _EXPIRES_AT not in metadata:
        return dict(metadata)
    if expires_at is None:
        return {name: value for name, value in metadata.items() if name != _EXPIRES_AT}
    found = expiry_in(metadata)
    return with_expiry(metadata, expires_at if found is None else max(found, expires_at))
