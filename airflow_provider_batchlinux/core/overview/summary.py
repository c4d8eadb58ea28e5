"""The numbers of a whole account, and how nodes are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_batchlinux.core.node_states import (
    AWAY_STATES,
    BOOTING_STATES,
    BROKEN_STATES,
    NODE_STATES,
    STOPPED_STATES,
)
from airflow_provider_batchlinux.core.overview.pools import PoolOverview, Standing
from airflow_provider_batchlinux.core.pools.preflight import Region, usage_of

_COLOURS = {
    "idle": "idle",
    "running": "running",
    **dict.fromkeys(BOOTING_STATES, "starting"),
    **dict.fromkeys(BROKEN_STATES, "broken"),
    **dict.fromkeys(AWAY_STATES, "away"),
    **dict.fromkeys(STOPPED_STATES, "stopped"),
}


def colour_of(state: str) -> str:
    """Return the group of a node state that has a colour of its own: states that mean the same share one."""
    return _COLOURS.get(state, "unknown")


def ordered_counts(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return nodes by state: those that work first, in an order that does not change."""
    order = {state: position for position, state in enumerate(NODE_STATES)}
    return sorted(counts.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))


def cells(counts: Mapping[str, int], most: int) -> list[tuple[str, int]]:
    """
    Return how many cells each colour gets in a heat map: one a node, or fewer if there are too many.

    :param most: the number of cells, about; each state that occurs has at least one.
    """
    total = sum(counts.values())
    share = min(1.0, most / total) if total else 1.0
    return [(colour_of(state), max(1, round(number * share))) for state, number in ordered_counts(counts)]


@dataclass(frozen=True)
class AccountSummary:
    """
    The numbers of an account, of the pools that are shown.

    :param price_per_hour: what the nodes of the pools with a known price cost per hour.
    """

    pools: int
    nodes: Mapping[str, int]
    left_behind: int
    in_trouble: int
    overdue_users: int
    price_per_hour: float | None
    currency: str

    @property
    def node_hours_per_day(self) -> int:
        """What the present nodes use in a day."""
        return 24 * sum(self.nodes.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain JSON values."""
        return {**vars(self), "nodes": dict(self.nodes), "node_hours_per_day": self.node_hours_per_day}


def summary_of(pools: Sequence[PoolOverview]) -> AccountSummary:
    """Return the numbers of some pools."""
    nodes: Counter[str] = Counter()
    for pool in pools:
        nodes.update(pool.counts)
    prices = [pool.price_per_hour for pool in pools if pool.price_per_hour is not None]
    return AccountSummary(
        pools=len(pools),
        nodes=dict(ordered_counts(nodes)),
        left_behind=sum(pool.standing is Standing.LEFT_BEHIND for pool in pools),
        in_trouble=sum(pool.is_in_trouble for pool in pools),
        overdue_users=sum(user.state != "active" for pool in pools for user in pool.users),
        price_per_hour=round(sum(prices), 2) if prices else None,
        currency=next((pool.currency for pool in pools if pool.currency), ""),
    )


@dataclass(frozen=True)
class Quota:
    """A quota of the account, and how much of it is used."""

    name: str
    used: int
    limit: int


def quotas_of(pools: Sequence[Mapping[str, Any]], region: Region | None) -> list[Quota]:
    """
    Return the quotas that are known.

    :param pools: the REST bodies of all pools of the account.
    :param region: ``None`` if the management plane is out of reach.
    """
    if region is None:
        return []
    usage, limits = usage_of(pools, region.sizes), region.limits
    found = [
        ("pools", len(usage.pool_ids), limits.pools),
        ("dedicated cores", usage.dedicated_cores, limits.dedicated_cores),
        ("Spot cores", usage.spot_cores, limits.spot_cores),
    ]
    return [Quota(name, used, limit) for name, used, limit in found if limit is not None]
