"""Decide which pools are no longer needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.core.pool_metadata import Holder, PoolMarks, metadata_of
from airflow_provider_batchlinux.core.pools.usage import PoolUsage
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.text import counted, table

SWEEP_FIELDS = (
    "id",
    "state",
    "eTag",
    "metadata",
    "currentDedicatedNodes",
    "currentLowPriorityNodes",
)
"""The properties to request of each pool."""

_HOUR = 3600.0


@dataclass(frozen=True)
class OwnedPool:
    """
    A pool that is swept.

    :param etag: its version, so that a pool that changes in the meantime is not deleted.
    :param runs: the Dag runs that use it; ``None`` if its metadata does not list all of them.
    :param expires_at: its expiry; ``None`` for none.
    :param kept: since when it is kept on purpose, after a failure; ``None`` if it is not.
    :param kept_until: until when it is kept after a failure; ``None`` if it is not.
    :param nodes: its dedicated and Spot nodes, which are billed now.
    :param usage: what its nodes have used, and may use.
    :param seen: its nodes; ``None`` if they were not listed.
    """

    pool_id: str
    etag: str | None
    runs: tuple[Holder, ...] | None
    expires_at: datetime | None
    kept: str | None
    kept_until: datetime | None
    nodes: int
    usage: PoolUsage
    seen: tuple[NodeSnapshot, ...] | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the sweeper must leave it to a person to delete it."""
        return self.kept is not None and self.expires_at is None

    def to_dict(self) -> dict[str, Any]:
        """Return the pool as an entry of the result's ``kept``."""
        return {"pool_id": self.pool_id, "since": self.kept, "nodes": self.nodes}


@dataclass(frozen=True)
class Sweep:
    """
    A pool to delete, and why.

    :param overdue_node_hours: what its nodes have used since its expiry; ``None`` without an expiry.
    """

    pool: OwnedPool
    reason: str
    overdue_node_hours: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the pool as an entry of the result's ``pools``."""
        return {
            "pool_id": self.pool.pool_id,
            "reason": self.reason,
            "nodes": self.pool.nodes,
            "overdue_node_hours": self.overdue_node_hours,
        }


def owned_pools(bodies: Sequence[Mapping[str, Any]], installations: Collection[str]) -> list[OwnedPool]:
    """
    Return the pools that some installations of Airflow created and that are not being deleted.

    :param bodies: REST bodies with :data:`SWEEP_FIELDS`.
    :param installations: their ids.
    """
    found = [(body, PoolMarks.of(body)) for body in bodies if not _is_deleting(body)]
    return [
        OwnedPool(
            pool_id=str(body["id"]),
            etag=body.get("eTag"),
            runs=marks.runs,
            expires_at=marks.expires_at,
            kept=marks.kept_since,
            kept_until=marks.kept_until,
            nodes=int(body.get("currentDedicatedNodes") or 0) + int(body.get("currentLowPriorityNodes") or 0),
            usage=PoolUsage.read(str(body["id"]), metadata_of(body)),
        )
        for body, marks in found
        if marks.owner.get("installation") in installations
    ]


def pools_of_others(bodies: Sequence[Mapping[str, Any]], installations: Collection[str]) -> dict[str, int]:
    """Return how many pools other installations of Airflow created, by their ids."""
    owners = (PoolMarks.of(body).owner.get("installation") for body in bodies if not _is_deleting(body))
    return dict(Counter(owner for owner in owners if owner is not None and owner not in installations))


def sweep_of(pool: OwnedPool, now: datetime, *, runs_have_ended: bool) -> Sweep | None:
    """
    Return why a pool is to be deleted, or ``None`` if it is not.

    - A pool with an expiry is deleted after it has expired, never earlier, whatever its Dag runs do.
    - A pool without one is deleted when all Dag runs that use it have ended, unless it is kept on purpose.
    - A pool whose budget says so is deleted when it has used more.

    :param runs_have_ended: the Dag runs that use it have ended, or no longer exist.
    """
    # Before the expiry and the runs: the limit is what the pool may cost.
    if pool.usage.must_end:
        return Sweep(pool, str(pool.usage.excess), None)
    if pool.expires_at is not None:
        if pool.expires_at > now:
            return None
        overdue = (now - pool.expires_at).total_seconds() / _HOUR
        reason = f"expired at {pool.expires_at:%Y-%m-%d %H:%M} UTC"
        return Sweep(pool, reason, round(overdue * pool.nodes, 1))
    is_kept = pool.is_kept or (pool.kept_until is not None and pool.kept_until > now)
    if is_kept or pool.runs is None or not runs_have_ended:
        return None
    if not pool.runs:
        return Sweep(pool, "no Dag run uses it any more", None)
    reason = f"{pool.runs[-1]} has ended"
    earlier = len(pool.runs) - 1
    others = f", as {'has' if earlier == 1 else 'have'} {counted(earlier, 'earlier run')}" if earlier else ""
    return Sweep(pool, reason + others, None)


def are_idle(nodes: Sequence[NodeSnapshot], since: datetime) -> bool:
    """Return whether some could work, and none has run a task or changed its state since an instant."""
    if not any(node.state == "idle" for node in nodes):
        return False
    return not any(
        node.state == "running" or (node.state_since is not None and node.state_since >= since)
        for node in nodes
    )


def node_hours_per_day(sweeps: Iterable[Sweep]) -> int:
    """
    Return the node-hours per day of the nodes that pools have now.

    This is a forecast: a formula or a resize may change it. A Spot node counts like a dedicated one.
    """
    return 24 * sum(sweep.pool.nodes for sweep in sweeps)


def sweep_table(sweeps: Sequence[Sweep]) -> str:
    """Return a table of the pools to delete, for the log."""
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


def _is_deleting(body: Mapping[str, Any]) -> bool:
    return str(body.get("state")).lower() == "deleting"
