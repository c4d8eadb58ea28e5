"""The policy that defines when a pool is ready."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, TypeAlias

from airflow_provider_batchlinux.core.counts import read_share
from airflow_provider_batchlinux.core.parameters.kinds import (
    Count,
    Flag,
    Instant,
    Kind,
    Seconds,
    count_of,
)
from airflow_provider_batchlinux.core.parameters.reader import Request, read_request
from airflow_provider_batchlinux.core.snapshots import PoolSnapshot


def ready_of(value: object) -> int | str | None:
    """Return how many nodes are enough: ``"all"``, a number from 1 up, or a share such as ``"80%"``."""
    if isinstance(value, str) and (value.strip().lower() == "all" or read_share(value)):
        return value.strip().lower()
    return count_of(value) or None


Ready: TypeAlias = Annotated[
    int | str,
    Kind("'all', a number from 1 up, or a share such as '80%' above 0 % and up to 100 %", ready_of),
]
"""How many nodes are enough."""


@dataclass(frozen=True)
class ReadinessPolicy(Request):
    """
    What counts as ready.

    :param allow_empty: whether a pool with zero target nodes is ready; otherwise it is a failure.
    :param running_is_ready: whether a node that already runs a task counts as an idle one.
    :param ready: how many nodes it takes: ``"all"`` that the pool asks for, a number such as ``3`` for at
        least that number, or a share of the pool's target, such as ``"80%"``, rounded up.
    :param spot_optional: only the dedicated nodes count, whatever becomes of spot nodes; of a pool that has
        spot nodes only, one suffices.
    :param max_failed_nodes: how many broken nodes may be left out; ``None`` for as many as leave the required
        number within reach, which is none where all are required.
    :param allocation_limit: seconds an allocation may take; ``None`` for no limit of its own.
    :param boot_limit: seconds a node may take from its machine, or its last boot, until it is ready, before
        it counts as broken; ``None`` for no limit of its own.
    :param resize_error_limit: seconds that a resize may remain ended by a transient error, for a user to
        try again, before that is a failure; ``None`` for none.
    :param requested_at: when the nodes were asked for; a resize error from before is not about them. ``None``
        takes every resize error of a steady pool for the present.
    """

    allow_empty: Flag = False
    running_is_ready: Flag = False
    ready: Ready = "all"
    spot_optional: Flag = False
    max_failed_nodes: Count | None = None
    allocation_limit: Seconds | None = None
    boot_limit: Seconds | None = None
    resize_error_limit: Seconds | None = None
    requested_at: Instant | None = None

    @classmethod
    def from_plain(cls, plain: Mapping[str, object]) -> ReadinessPolicy:
        """
        Return the policy of a trigger's arguments.

        :param plain: the fields that are not at their defaults, as plain values.
        :raises ValueError: if they are invalid; all problems.
        """
        return read_request(cls, {**asdict(cls()), **plain})

    def to_plain(self) -> dict[str, Any]:
        """Return the fields that are not at their defaults, as plain values for a trigger."""
        default = asdict(ReadinessPolicy())
        plain = {name: value for name, value in asdict(self).items() if value != default[name]}
        if self.requested_at is not None:
            plain["requested_at"] = self.requested_at.isoformat()
        return plain

    def required(self, pool: PoolSnapshot) -> int:
        """Return how many of the counted nodes must be ready, before broken ones are left out."""
        if isinstance(self.ready, int):
            return self.ready
        if self.spot_optional and not pool.target_dedicated:
            return min(1, pool.target)
        if share := read_share(self.ready):
            return math.ceil(round(self.counted_target(pool) * share, 6))
        return self.counted_target(pool)

    def needed(self, pool: PoolSnapshot, left_out: int) -> int:
        """Return how many nodes must be ready if some broken ones are left out."""
        required = self.required(pool)
        if self.ready == "all" and required == self.counted_target(pool):
            return max(min(1, required), required - left_out)
        return required

    def budget(self, pool: PoolSnapshot) -> int:
        """Return how many broken nodes may be left out."""
        if self.max_failed_nodes is not None:
            return self.max_failed_nodes
        return max(0, self.counted_target(pool) - self.required(pool))

    def counts_dedicated_only(self, pool: PoolSnapshot) -> bool:
        """Return whether Spot nodes are not counted."""
        return self.spot_optional and pool.target_dedicated > 0

    def counted_target(self, pool: PoolSnapshot) -> int:
        """Return the number of counted nodes that the pool requests."""
        return pool.target_dedicated if self.counts_dedicated_only(pool) else pool.target

    def counted_current(self, pool: PoolSnapshot) -> int:
        """Return the number of counted nodes that the pool has, ready or not."""
        return pool.current_dedicated if self.counts_dedicated_only(pool) else pool.current
