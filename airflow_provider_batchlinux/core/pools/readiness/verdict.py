"""Whether a pool's nodes are ready to run tasks, decided from one observation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from airflow_provider_batchlinux.core.node_states import BROKEN_STATES, READY_STATES
from airflow_provider_batchlinux.core.pools.readiness.policy import ReadinessPolicy
from airflow_provider_batchlinux.core.service_errors import (
    ResizeErrorKind,
    boots_too_long,
    causes_of,
    explained_error,
    kind_of,
)
from airflow_provider_batchlinux.core.snapshots import (
    NodeSnapshot,
    PoolSnapshot,
    ServiceError,
    counts_of,
)


class Outcome(str, Enum):
    """What a wait does next."""

    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True)
class PoolObservation:
    """
    What one poll of a pool returned.

    :param pool: the pool; ``None`` if it does not exist.
    :param counts: the numbers of nodes by state. They may be stale, so a verdict of ready or failed is final
        only with :attr:`nodes`.
    :param nodes: the exact list of nodes; ``None`` if it was not requested.
    :param ready_besides: the numbers of dedicated and Spot nodes that are ready and not in that list.
    :param starting_since: when the wait first saw nodes start again after a deallocation, by id.
    """

    pool_id: str
    pool: PoolSnapshot | None
    counts: Mapping[str, int] = field(default_factory=dict)
    nodes: tuple[NodeSnapshot, ...] | None = None
    ready_besides: tuple[int, int] = (0, 0)
    starting_since: Mapping[str, datetime] = field(default_factory=dict)

    @classmethod
    def exact(
        cls, pool_id: str, pool: PoolSnapshot | None, nodes: tuple[NodeSnapshot, ...]
    ) -> PoolObservation:
        """Return an observation with the exact list of nodes; a node that two pages list counts once."""
        each = tuple({node.node_id.lower(): node for node in nodes}.values())
        return cls(pool_id, pool, counts_of(each), each)


@dataclass(frozen=True)
class Verdict:
    """
    What an observation means.

    :param reason: one sentence for people.
    :param broken_nodes: the nodes that waiting does not make ready.
    :param is_late: whether it is a failure only because a limit of the policy was exceeded.
    """

    outcome: Outcome
    reason: str
    broken_nodes: tuple[NodeSnapshot, ...] = ()
    is_late: bool = False


def judge(
    seen: PoolObservation,
    policy: ReadinessPolicy,
    *,
    now: datetime | None = None,
    healing: Collection[NodeSnapshot] = (),
) -> Verdict:
    """
    Decide whether the nodes are ready, the wait continues, or it fails.

    :param now: the present instant, for the policy's limits; ``None`` ignores them.
    :param healing: the broken nodes that are being repaired; the wait continues for them.
    """
    pool = seen.pool
    if pool is None:
        return _failed(f"Pool {seen.pool_id!r} does not exist: it was deleted, or never created.")
    if pool.state == "deleting":
        return _failed(f"Pool {pool.pool_id!r} is being deleted.")
    tally = _tally_of(seen, pool, policy, now, healing)
    failed = _too_many_broken(seen, tally, policy.budget(pool))
    if failed is not None:
        return failed
    # A target of 0 would be reached by any number of nodes, and a green task would have no node to use.
    if pool.target == 0:
        return _without_target(pool, policy)
    if tally.ready >= policy.needed(pool, tally.broken):
        left_out = f" Left out: {_broken_in_words(tally)}.{_causes(tally)}" if tally.broken else ""
        return Verdict(Outcome.READY, describe_progress(seen) + left_out, tally.broken_nodes)
    return (
        _out_of_reach(pool, policy, tally)
        or _resize_failure(pool, policy, tally, now)
        or _late_allocation(pool, policy, tally, now)
        or _maybe_late_nodes(seen, pool, policy, now)
        or Verdict(Outcome.WAITING, describe_progress(seen))
    )


def describe_progress(seen: PoolObservation) -> str:
    """Return the progress of a pool as one line, which changes only if the pool does."""
    pool = seen.pool
    if pool is None:
        return f"Pool {seen.pool_id!r} does not exist."
    states = ", ".join(f"{count} {state}" for state, count in sorted(seen.counts.items())) or "none yet"
    wanted = f"{pool.target_dedicated} dedicated and {pool.target_spot} Spot nodes wanted"
    hints = "".join(f" {hint}" for hint in _hints(pool, seen.counts))
    return f"Pool {pool.pool_id!r}: {wanted}; nodes: {states}; allocation {pool.allocation_state}.{hints}"


@dataclass(frozen=True)
class _Tally:
    """The nodes that count, each once: ready, or broken (by state, and those that boot too long)."""

    ready: int
    broken_states: Mapping[str, int]
    broken_nodes: tuple[NodeSnapshot, ...] = ()

    @property
    def broken(self) -> int:
        return sum(self.broken_states.values())


def _tally_of(
    seen: PoolObservation,
    pool: PoolSnapshot,
    policy: ReadinessPolicy,
    now: datetime | None,
    healing: Collection[NodeSnapshot],
) -> _Tally:
    good = READY_STATES if policy.running_is_ready else ("idle",)
    if seen.nodes is None:
        found = Counter({state: seen.counts.get(state, 0) for state in BROKEN_STATES})
        left = found - Counter(node.state for node in healing)
        return _Tally(sum(seen.counts.get(state, 0) for state in good), left)
    only_dedicated = policy.counts_dedicated_only(pool)
    counted = [node for node in seen.nodes if node.dedicated or not only_dedicated]
    spared = {node.node_id for node in healing}
    broken = tuple(
        node
        for node in counted
        if node.node_id not in spared and _is_broken(node, policy.boot_limit, now, seen.starting_since)
    )
    besides = seen.ready_besides[0] if only_dedicated else sum(seen.ready_besides)
    return _Tally(sum(node.state in good for node in counted) + besides, counts_of(broken), broken)


def _is_broken(
    node: NodeSnapshot,
    boot_limit: float | None,
    now: datetime | None,
    starting_since: Mapping[str, datetime],
) -> bool:
    if node.state in BROKEN_STATES:
        return True
    if boot_limit is None or now is None:
        return False
    return boots_too_long(node, boot_limit, now, starting_since.get(node.node_id))


def _too_many_broken(seen: PoolObservation, tally: _Tally, budget: int) -> Verdict | None:
    if tally.broken <= budget:
        return None
    reason = f"Pool {seen.pool_id!r} has nodes that will not become ready: {_broken_in_words(tally)}."
    allowed = f" At most {budget} may be left out." if budget else ""
    is_late = sum(tally.broken_states.get(state, 0) for state in BROKEN_STATES) <= budget
    return Verdict(Outcome.FAILED, reason + allowed + _causes(tally), tally.broken_nodes, is_late)


def _broken_in_words(tally: _Tally) -> str:
    order = {state: place for place, state in enumerate(BROKEN_STATES)}
    found = sorted(tally.broken_states.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))
    return " and ".join(f"{count} {state}" for state, count in found)


def _causes(tally: _Tally) -> str:
    return "".join(f"\n  {cause}" for cause in causes_of(tally.broken_nodes))


def _without_target(pool: PoolSnapshot, policy: ReadinessPolicy) -> Verdict:
    if policy.allow_empty:
        return Verdict(
            Outcome.READY, f"Pool {pool.pool_id!r} asks for no nodes: there is nothing to wait for."
        )
    if pool.autoscale:
        says = "asks for no nodes at present." if pool.evaluated else "has not asked for nodes yet."
        if pool.autoscale_error is not None:
            says = f"failed at its last evaluation: {pool.autoscale_error}"
        return Verdict(Outcome.WAITING, f"Pool {pool.pool_id!r}: its autoscale formula {says}")
    return _failed(
        f"Pool {pool.pool_id!r} asks for no nodes (0 dedicated, 0 spot), so none will ever be idle. "
        "Resize it first, or pass allow_empty=True."
    )


def _out_of_reach(pool: PoolSnapshot, policy: ReadinessPolicy, tally: _Tally) -> Verdict | None:
    needed = policy.needed(pool, tally.broken)
    possible = policy.counted_target(pool) - tally.broken
    if pool.autoscale or needed <= possible:
        return None
    kind = "dedicated nodes" if policy.counts_dedicated_only(pool) else "nodes"
    broken = f", {_broken_in_words(tally)}" if tally.broken else ""
    reason = f"Pool {pool.pool_id!r} asks for {policy.counted_target(pool)} {kind}{broken}; {needed}"
    return Verdict(
        Outcome.FAILED,
        f"{reason} are to be ready. Resize it, or ask for fewer by ready=.{_causes(tally)}",
        tally.broken_nodes,
    )


def _resize_failure(
    pool: PoolSnapshot, policy: ReadinessPolicy, tally: _Tally, now: datetime | None
) -> Verdict | None:
    # The service keeps resize errors until the next resize. They are current only while the pool is steady
    # and short of nodes; under autoscale the next evaluation requests the nodes again.
    if pool.allocation_state != "steady" or pool.autoscale or not _is_short(pool, policy, tally):
        return None
    errors = [error for error in pool.resize_errors if kind_of(error) is not ResizeErrorKind.HARMLESS]
    # The answer may be older than the resize that was requested just now: its errors are of the last one.
    since, requested_at = pool.allocation_state_since, policy.requested_at
    is_stale = since is not None and requested_at is not None and since <= requested_at
    if not errors or is_stale or _may_pass(pool, policy, errors, now):
        return None
    got = f"{policy.counted_current(pool)} of {policy.counted_target(pool)}"
    causes = "".join(f"\n  {explained_error(error)}" for error in errors)
    return _failed(f"Pool {pool.pool_id!r} got {got} nodes and stopped.{causes}")


def _is_short(pool: PoolSnapshot, policy: ReadinessPolicy, tally: _Tally) -> bool:
    return policy.counted_current(pool) - tally.broken < policy.needed(pool, tally.broken)


def _may_pass(
    pool: PoolSnapshot, policy: ReadinessPolicy, errors: list[ServiceError], now: datetime | None
) -> bool:
    since = pool.allocation_state_since
    if now is None or since is None or any(kind_of(error) is ResizeErrorKind.LASTS for error in errors):
        return False
    return policy.resize_error_limit is not None and now - since <= timedelta(
        seconds=policy.resize_error_limit
    )


def _late_allocation(
    pool: PoolSnapshot, policy: ReadinessPolicy, tally: _Tally, now: datetime | None
) -> Verdict | None:
    limit, since = policy.allocation_limit, pool.allocation_state_since
    if limit is None or now is None or since is None or pool.allocation_state == "steady":
        return None
    if now - since <= timedelta(seconds=limit) or not _is_short(pool, policy, tally):
        return None
    got = f"Pool {pool.pool_id!r} got {policy.counted_current(pool)} of {policy.counted_target(pool)} nodes"
    reason = f"{got}, and its allocation takes longer than allocation_limit ({limit:g} s)."
    return Verdict(Outcome.FAILED, reason, is_late=True)


def _maybe_late_nodes(
    seen: PoolObservation, pool: PoolSnapshot, policy: ReadinessPolicy, now: datetime | None
) -> Verdict | None:
    # Counts have no boot times. A failure makes the caller confirm it with the exact list of nodes.
    limit, since = policy.boot_limit, pool.allocation_state_since
    if seen.nodes is not None or limit is None or now is None or since is None:
        return None
    if pool.current == 0 or now - since <= timedelta(seconds=limit):
        return None
    return _failed(f"Pool {pool.pool_id!r} may have nodes that boot for longer than {limit:g} s.")


_STANDSTILLS = {
    "offline": "Offline nodes are kept from work on purpose; enable scheduling on them to go on.",
    "deallocated": "Deallocated nodes have given their machines back; start them to go on.",
    "deallocating": "Nodes are giving their machines back on purpose; start them afterwards to go on.",
    "upgradingos": "Nodes are being upgraded, and boot afterwards.",
    "unknown": "The service has lost contact with nodes; it reports more once it reaches them again.",
}


def _hints(pool: PoolSnapshot, counts: Mapping[str, int]) -> list[str]:
    found = [hint for state, hint in _STANDSTILLS.items() if counts.get(state)]
    is_short = pool.allocation_state == "steady" and pool.current < pool.target
    stopped = any(kind_of(error) is ResizeErrorKind.HARMLESS for error in pool.resize_errors)
    if stopped and is_short:
        found.insert(0, "The last resize was stopped by request; resize the pool to go on.")
    elif is_short and pool.resize_errors:
        found.append("The last resize met: " + "; ".join(map(explained_error, pool.resize_errors)))
    if pool.autoscale_error is not None:
        found.append(f"Its autoscale formula failed at its last evaluation: {pool.autoscale_error}")
    return found


def _failed(reason: str) -> Verdict:
    return Verdict(Outcome.FAILED, reason)
