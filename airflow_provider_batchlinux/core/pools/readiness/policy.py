"""The policy that defines when a pool is ready."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.core.counts import is_count, read_share
from airflow_provider_batchlinux.core.instants import parse_instant
from airflow_provider_batchlinux.core.snapshots import PoolSnapshot


@dataclass(frozen=True)
class ReadinessPolicy:
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
        try again, before that is a failure.
    :param requested_at: when the nodes were asked for; a resize error from before is not about them. ``None``
        takes every resize error of a steady pool for the present.
    """

    allow_empty: bool = False
    running_is_ready: bool = False
    ready: str | int = "all"
    spot_optional: bool = False
    max_failed_nodes: int | None = None
    allocation_limit: float | None = None
    boot_limit: float | None = None
    resize_error_limit: float = 0.0
    requested_at: datetime | None = None

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> ReadinessPolicy:
        """
        Read a policy from plain values, such as a trigger's arguments and rendered templates.

        :raises ValueError: if they are invalid; all problems.
        """
        given = {**plain, "requested_at": _instant(plain.get("requested_at"))}
        policy = cls(**given)
        problems = policy.problems()
        if plain.get("requested_at") and policy.requested_at is None:
            wanted = "an instant with a time zone, such as '2030-01-01T00:00:00Z'"
            problems.append(f"requested_at={plain['requested_at']!r} is not {wanted}.")
        if problems:
            raise ValueError("\n".join(problems))
        return policy

    def problems(self) -> list[str]:
        """List the invalid values."""
        found = []
        if self._parsed() is None:
            found.append(
                f"ready={self.ready!r} is not 'all', a number from 1 up, or a share such as '80%'"
                " above 0 % and up to 100 %."
            )
        if self.max_failed_nodes is not None and not is_count(self.max_failed_nodes):
            found.append(f"max_failed_nodes={self.max_failed_nodes!r} is not a whole number from 0 up.")
        for name in ("allocation_limit", "boot_limit"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                found.append(f"{name}={limit!r} is not a time above zero; None is no limit.")
        return found

    def required(self, pool: PoolSnapshot) -> int:
        """Return how many of the counted nodes must be ready, before broken ones are left out."""
        kind, amount = self._parsed() or ("all", 0.0)
        if kind == "number":
            return int(amount)
        if self.spot_optional and not pool.target_dedicated:
            return min(1, pool.target)
        if kind == "share":
            return math.ceil(round(self.counted_target(pool) * amount, 6))
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

    def _parsed(self) -> tuple[str, float] | None:
        text = str(self.ready).strip().lower()
        if isinstance(self.ready, bool):
            return None
        if text == "all":
            return "all", 0.0
        if text.isdecimal() and int(text) > 0:
            return "number", float(text)
        share = read_share(text)
        return ("share", share) if share else None


def _instant(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else parse_instant(str(value or ""))
