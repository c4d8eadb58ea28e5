"""Which pools nobody needs any more; imports only the standard library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.core.pool_metadata import (
    METADATA_PREFIX,
    expiry_in,
    kept_since,
    metadata_of,
    runs_in,
)
from airflow_provider_batchlinux.core.pools.repair.history import history_in
from airflow_provider_batchlinux.core.text import table

__all__ = [
    "SWEEP_FIELDS",
    "OwnedPool",
    "Sweep",
    "abandoned_formulas",
    "node_hours_per_day",
    "owned_pools",
    "sweep_of",
    "sweep_table",
]

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
    :param runs: the Dag and the run that made it, and those that have taken it since; ``None`` when its marks
        do not tell all.
    :param expires_at: until when it is wanted; ``None`` for no end.
    :param kept: since when it is kept on purpose, after a failure; ``None`` when it is not.
    :param nodes: its dedicated and Spot nodes, which are billed now.
    """

    pool_id: str
    etag: str | None
    runs: tuple[tuple[str, str], ...] | None
    expires_at: datetime | None
    kept: str | None
    nodes: int

    @property
    def is_kept(self) -> bool:
        """Whether only a person is to delete it."""
        return self.kept is not None and self.expires_at is None

    def to_dict(self) -> dict[str, Any]:
        """Give what is told of a pool that is kept, as plain values."""
        return {"pool_id": self.pool_id, "since": self.kept, "nodes": self.nodes}


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
        if not _is_going(body) and (marks := metadata_of(body)).get(f"{METADATA_PREFIX}instance") == instance
    ]


def abandoned_formulas(bodies: Sequence[Mapping[str, Any]], now: datetime) -> list[str]:
    """
    Give the ids of the pools whose formula a repair has left off, and nobody goes on with that repair.

    :param bodies: REST bodies with :data:`SWEEP_FIELDS`, whoever has made the pools.
    """
    return [
        str(body["id"])
        for body in bodies
        if not _is_going(body)
        and (history := history_in(metadata_of(body))).autoscale is not None
        and history.is_abandoned(now)
    ]


def sweep_of(pool: OwnedPool, now: datetime, *, runs_are_over: bool) -> Sweep | None:
    """
    Tell why a pool may go; ``None`` when it may not.

    A pool with an end goes at its end, and not before, whatever became of its Dag runs. One without an end
    goes when all Dag runs that are known to have taken it are over, unless it is kept on purpose.

    :param runs_are_over: the Dag runs that made and took it have ended, or are not known any more.
    """
    if pool.expires_at is not None:
        if pool.expires_at > now:
            return None
        overdue = (now - pool.expires_at).total_seconds() / _HOUR
        reason = f"wanted until {pool.expires_at:%Y-%m-%d %H:%M} UTC"
        return Sweep(pool, reason, round(overdue * pool.nodes, 1))
    if pool.is_kept or not pool.runs or not runs_are_over:
        return None
    dag_id, run_id = pool.runs[-1]
    reason = f"run {run_id!r} of Dag {dag_id!r} is over"
    earlier = len(pool.runs) - 1
    return Sweep(pool, f"{reason}, as are {earlier} others that had it" if earlier else reason, None)


def node_hours_per_day(sweeps: Iterable[Sweep]) -> int:
    """
    Give what pools would cost on each further day with the machines that they have now, in node-hours.

    A formula, or whoever resizes a pool, may change that; a spot node costs less than a dedicated one and
    counts the same.
    """
    return 24 * sum(sweep.pool.nodes for sweep in sweeps)


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


def _is_going(body: Mapping[str, Any]) -> bool:
    return str(body.get("state")).lower() == "deleting"


def _owned(body: Mapping[str, Any], marks: Mapping[str, str]) -> OwnedPool:
    return OwnedPool(
        pool_id=str(body["id"]),
        etag=body.get("eTag"),
        runs=runs_in(marks),
        expires_at=expiry_in(marks),
        kept=kept_since(marks),
        nodes=int(body.get("currentDedicatedNodes") or 0) + int(body.get("currentLowPriorityNodes") or 0),
    )
