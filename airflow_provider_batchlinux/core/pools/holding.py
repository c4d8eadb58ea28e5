"""Decide whether a pool is still needed by the Dag runs that use it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from airflow_provider_batchlinux.core.pool_metadata import MARKS_VERSION, Holder, PoolMarks
from airflow_provider_batchlinux.core.text import counted


def holding_of(marks: PoolMarks, now: datetime, has_ended: Callable[[Holder], bool]) -> str | None:
    """
    Return why a pool must not be deleted, as the end of a sentence; ``None`` if nothing holds it.

    After its expiry nothing holds a pool. Before it, each Dag run does that uses it and has not ended, as
    well as what cannot be known: marks of a later release, and runs that are not listed. A pool that another
    client created, and Dag runs only used, is that client's.

    :param marks: the pool's marks, without the run that wants to delete it.
    :param has_ended: returns whether a Dag run has ended, or no longer exists.
    """
    if marks.expires_at is not None and marks.expires_at <= now:
        return None
    if marks.version > MARKS_VERSION:
        return f"a later release of the provider has marked it (version {marks.version})"
    live = [holder for holder in reversed(marks.all_holders) if not has_ended(holder)]
    if live:
        others = f" and {counted(len(live) - 1, 'other run')} use it" if live[1:] else " uses it"
        return f"{live[0]}{others}"
    if marks.has_more_holders:
        return "not all Dag runs that use it are listed in its metadata"
    if marks.creator is None and marks.is_shared:
        return "another client created it"
    if marks.kept_until is not None and marks.kept_until > now:
        until = f"{marks.kept_until:%Y-%m-%d %H:%M} UTC"
        return f"it is kept until {until}"
    return None
