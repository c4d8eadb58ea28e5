"""Pools and nodes as the pure core sees them, for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot


def pool(dedicated: int = 2, spot: int = 0, **changes: Any) -> PoolSnapshot:
    """Give a steady pool that has the nodes it asks for."""
    whole = PoolSnapshot(
        pool_id="etl",
        state="active",
        allocation_state="steady",
        allocation_state_since=None,
        target_dedicated=dedicated,
        target_spot=spot,
        current_dedicated=dedicated,
        current_spot=spot,
        autoscale=False,
        resize_errors=(),
    )
    return replace(whole, **changes)


def node(state: str, node_id: str = "tvm-1", **more: Any) -> NodeSnapshot:
    """Give a dedicated node."""
    return replace(NodeSnapshot.from_rest({"id": node_id, "state": state}), **more)


def nodes(**counts: int) -> tuple[NodeSnapshot, ...]:
    """Give nodes by state; a name that begins with ``spot_`` makes spot nodes."""
    return tuple(
        node(name.removeprefix("spot_"), f"{name}-{number}", dedicated=not name.startswith("spot_"))
        for name, count in counts.items()
        for number in range(count)
    )
