"""The summary of a pool as plain values, for the command line: its properties, owner and problems."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.core.images.end_of_support import image_name
from airflow_provider_batchlinux.core.pool_metadata import PoolMarks, metadata_of
from airflow_provider_batchlinux.core.pools.changes.resize import unmet
from airflow_provider_batchlinux.core.service_errors import explained_error
from airflow_provider_batchlinux.core.snapshots import POOL_FIELDS, PoolSnapshot
from airflow_provider_batchlinux.core.users.ledger import entries_in

SUMMARY_FIELDS = (*POOL_FIELDS, "vmSize", "virtualMachineConfiguration")
"""The properties to request of each pool."""


def pool_problems(pool: PoolSnapshot) -> tuple[str, ...]:
    """Return what keeps a pool from its nodes, with the remedy: resize errors, the error of its formula."""
    found = tuple(explained_error(error) for error in unmet(pool))
    formula = pool.autoscale_error
    return found if formula is None else (*found, f"Autoscale formula: {explained_error(formula)}")


def pool_summary(body: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, Any]:
    """
    Return a pool as plain values.

    :param body: its REST body with :data:`SUMMARY_FIELDS`.
    :param counts: its nodes by state.
    """
    pool, marks = PoolSnapshot.from_rest(body), PoolMarks.of(body)
    machine = body.get("virtualMachineConfiguration") or {}
    users = entries_in(metadata_of(body)).values()
    return {
        "pool_id": pool.pool_id,
        "state": pool.state,
        "allocation_state": pool.allocation_state,
        "vm_size": str(body.get("vmSize") or ""),
        "image": image_name(machine.get("imageReference") or {}),
        "node_agent_sku": machine.get("nodeAgentSKUId"),
        "dedicated": {"current": pool.current_dedicated, "target": pool.target_dedicated},
        "spot": {"current": pool.current_spot, "target": pool.target_spot},
        "autoscale": pool.autoscale,
        "nodes": dict(sorted(counts.items())),
        "created_at": _iso(pool.created),
        "expires_at": _iso(marks.ends_at),
        "kept_since": marks.kept_since,
        "owner": dict(marks.owner),
        "runs": [run._asdict() for run in marks.all_holders],
        "users": sum(not entry.is_settled for entry in users),
        "errors": list(pool_problems(pool)),
    }


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
