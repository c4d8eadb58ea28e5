"""Which pools nobody needs any more; imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.core.pool_marks import (
    METADATA_PREFIX,
    expiry_in,
    is_shared,
    metadata_of,
)
from airflow_provider_batchlinux.core.text import table

__all__ = ["SWEEP_FIELDS", "OwnedPool", "Sweep", "owned_pools", "sweep_of", "sweep_table"]

SWEEP_FIELDS = (
    "id",
    "state",
    "eTag",
    "metadata",
    "currentDedicatedNodes",
    "currentLowPriorityNodes",
)
"""What is asked of each pool."""

_HOUR = 3600.0


@dataclass(frozen=True)
class OwnedPool:
    """
    A pool that this Airflow has made.

    :param etag: its version, so that one that changes meanwhile is not deleted.
    :param run: the Dag and the run that made it; ``None`` when its marks do not tell.
    :param expires_at: until when it is wanted; ``None`` for no end.
    :param shared: several Dag runs have taken it.
    :param nodes: the machines that are paid for now.
    """

    pool_id: str
    etag: str | None
    run: tuple[str, str] | None
    expires_at: datetime | None
    shared: bool
    nodes: int


@dataclass(frozen=True)
class Sweep:
    """
    A pool that may go, and why.

    :param overdue_node_hours: what its nodes have cost since its end, as far as that is known.
    """

    pool: OwnedPool
    reason: str
    overdue_node_hours: float | None

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {
            "pool_id": self.pool.pool_id,
            "reason": self.reason,
            "nodes": self.pool.nodes,
            "overdue_node_hours": self.overdue_node_hours,
        }


def owned_pools(bodies: Sequence[Mapping[str, Any]], instance: str) -> list[OwnedPool]:
    """
    Choose the pools that this Airflow has made and that are not being deleted.

    :param bodies: REST bodies with :data:`SWEEP_FIELDS`.
    :param instance: the connection's prefix of ids, by which Airflows that share an account differ.
    """
    return [
        _owned(body, marks)
        for body in bodies
        if str(body.get("state")).lower() != "deleting"
        and (marks := metadata_of(body)).get(f"{METADATA_PREFIX}instance") == instance
    ]


def sweep_of(pool: OwnedPool, now: datetime, *, run_is_over: bool) -> Sweep | None:
    """
    Tell why a pool may go; ``None`` when it may not.

    A pool with an end goes at its end, and not before, whatever became of its Dag run: so it can be kept on
    purpose. One without an end goes when the one Dag run that has taken it is over.

    :param run_is_over: the Dag run that made it has ended, or is not known any more.
    """
    if pool.expires_at is not None:
        if pool.expires_at > now:
            return None
        overdue = (now - pool.expires_at).total_seconds() / _HOUR
        reason = f"wanted until {pool.expires_at:%Y-%m-%d %H:%M} UTC"
        return Sweep(pool, reason, round(overdue * pool.nodes, 1))
    if pool.shared or pool.run is None or not run_is_over:
        return None
    return Sweep(pool, f"run {pool.run[1]!r} of Dag {pool.run[0]!r} is over", None)


def sweep_table(sweeps: Sequence[Sweep]) -> str:
    """Lay out the pools that may go, for the log."""
    rows = [
        (
            sweep.pool.pool_id,
            str(sweep.pool.nodes),
            "-" if sweep.overdue_node_hours is None else f"{sweep.overdue_node_hours:g}",
            sweep.reason,
        )
        for sweep in sweeps
    ]
    return table(("POOL", "NODES", "NODE-HOURS OVERDUE", "WHY"), rows)


def _owned(body: Mapping[str, Any], marks: Mapping[str, str]) -> OwnedPool:
    dag_id, run_id = (marks.get(f"{METADATA_PREFIX}{name}") for name in ("dag_id", "run_id"))
    return OwnedPool(
        pool_id=str(body["id"]),
        etag=body.get("eTag"),
        run=(dag_id, run_id) if dag_id and run_id else None,
        expires_at=expiry_in(marks),
        shared=is_shared(marks),
        nodes=int(body.get("currentDedicatedNodes") or 0) + int(body.get("currentLowPriorityNodes") or 0),
    )
