"""Whether a pool's nodes are ready for work, decided from one observation; imports only the stdlib."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from airflow_provider_batchlinux.core.pool_state import (
    NodeSnapshot,
    PoolSnapshot,
    ServiceError,
    counts_of,
)

__all__ = [
    "Outcome",
    "PoolObservation",
    "ReadinessPolicy",
    "Verdict",
    "cause_of",
    "describe_progress",
    "explained_error",
    "judge",
]

_BROKEN_STATES = ("starttaskfailed", "unusable")
_NEVER_FATAL = frozenset({"resizestopped"})


class Outcome(str, Enum):
    """What a wait does next."""

    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True)
class ReadinessPolicy:
    """
    What counts as ready.

    :param allow_empty: a pool that asks for no nodes is ready; otherwise that is a failure.
    :param running_is_ready: a node that already runs a task counts like an idle one.
    """

    allow_empty: bool = False
    running_is_ready: bool = False


@dataclass(frozen=True)
class PoolObservation:
    """
    What one look at a pool showed.

    :param pool: the pool, or ``None`` when the service knows none of that id.
    :param counts: nodes by state. The service may count late, so a verdict of ready or failed is only
        final when :attr:`nodes` is there.
    :param nodes: the exact list of nodes, or ``None`` when it was not asked for.
    """

    pool_id: str
    pool: PoolSnapshot | None
    counts: Mapping[str, int] = field(default_factory=dict)
    nodes: tuple[NodeSnapshot, ...] | None = None

    @classmethod
    def exact(
        cls, pool_id: str, pool: PoolSnapshot | None, nodes: tuple[NodeSnapshot, ...]
    ) -> PoolObservation:
        """Observe a pool by the exact list of its nodes."""
        return cls(pool_id, pool, counts_of(nodes), nodes)


@dataclass(frozen=True)
class Verdict:
    """
    What an observation means.

    :param reason: one sentence for people.
    :param broken_nodes: the nodes that will not become ready by waiting.
    """

    outcome: Outcome
    reason: str
    broken_nodes: tuple[NodeSnapshot, ...] = ()


def judge(seen: PoolObservation, policy: ReadinessPolicy) -> Verdict:
    """Decide whether to go on, wait or give up."""
    pool = seen.pool
    if pool is None:
        return _failed(f"Pool {seen.pool_id!r} does not exist: it was deleted, or never created.")
    if pool.state == "deleting":
        return _failed(f"Pool {pool.pool_id!r} is being deleted.")
    broken = _broken_nodes(seen)
    if broken is not None:
        return broken
    if pool.target == 0:
        return _without_target(pool, policy)
    if _ready_count(seen, policy) >= pool.target:
        return Verdict(Outcome.READY, describe_progress(seen))
    return _resize_failure(pool) or Verdict(Outcome.WAITING, describe_progress(seen))


def describe_progress(seen: PoolObservation) -> str:
    """Say how far a pool is, in one line that changes only when the pool does."""
    pool = seen.pool
    if pool is None:
        return f"Pool {seen.pool_id!r} does not exist."
    states = ", ".join(f"{count} {state}" for state, count in sorted(seen.counts.items())) or "none yet"
    wanted = f"{pool.target_dedicated} dedicated and {pool.target_spot} spot nodes wanted"
    hint = _hint(pool, seen.counts)
    return f"Pool {pool.pool_id!r}: {wanted}; nodes: {states}; allocation {pool.allocation_state}.{hint}"


def _broken_nodes(seen: PoolObservation) -> Verdict | None:
    found = {state: seen.counts[state] for state in _BROKEN_STATES if seen.counts.get(state)}
    if not found:
        return None
    summary = " and ".join(f"{count} {state}" for state, count in found.items())
    broken = tuple(node for node in seen.nodes or () if node.state in _BROKEN_STATES)
    causes = "".join(f"\n  {cause_of(node)}" for node in broken)
    reason = f"Pool {seen.pool_id!r} has nodes that will not become ready: {summary}.{causes}"
    return Verdict(Outcome.FAILED, reason, broken)


def cause_of(node: NodeSnapshot) -> str:
    """Say why a node will not become ready."""
    if node.state == "starttaskfailed" and node.start_task is not None:
        run = node.start_task
        ended = f"exit code {run.exit_code}" if run.exit_code is not None else "no exit code"
        failure = f"; {run.failure}" if run.failure else ""
        return f"node {node.node_id!r}: start task failed with {ended}{failure}"
    if node.errors:
        return f"node {node.node_id!r}: {node.state}: " + "; ".join(str(error) for error in node.errors)
    return f"node {node.node_id!r}: {node.state}; the service names no cause (it cannot reach the machine)"


def _without_target(pool: PoolSnapshot, policy: ReadinessPolicy) -> Verdict:
    if policy.allow_empty:
        return Verdict(
            Outcome.READY, f"Pool {pool.pool_id!r} asks for no nodes: there is nothing to wait for."
        )
    if pool.autoscale:
        reason = f"Pool {pool.pool_id!r}: its autoscale formula has not asked for nodes yet."
        return Verdict(Outcome.WAITING, reason)
    return _failed(
        f"Pool {pool.pool_id!r} asks for no nodes (0 dedicated, 0 spot), so none will ever be idle. "
        "Resize it first, or pass allow_empty=True."
    )


def _resize_failure(pool: PoolSnapshot) -> Verdict | None:
    # The service keeps resize errors until the next resize. They speak of the present only while the
    # pool is steady and short of nodes; under autoscale the next evaluation tries again by itself.
    if pool.allocation_state != "steady" or pool.current >= pool.target or pool.autoscale:
        return None
    errors = [error for error in pool.resize_errors if error.code.lower() not in _NEVER_FATAL]
    if not errors:
        return None
    causes = "".join(f"\n  {explained_error(error)}" for error in errors)
    return _failed(f"Pool {pool.pool_id!r} got {pool.current} of {pool.target} nodes and stopped.{causes}")


_REMEDIES = {
    "accountcorequotareached": "ask for a higher dedicated core quota, or for fewer or smaller nodes",
    "accountlowprioritycorequotareached": "ask for a higher spot core quota, or for fewer or smaller nodes",
    "accountspotcorequotareached": "ask for a higher spot core quota, or for fewer or smaller nodes",
    "accountvmseriescorequotareached": "ask for a higher quota of this VM series, or take another series",
    "allocationtimedout": "try again later, or take another VM size, region or a longer resize_timeout",
    "batchoutofcapacity": "try again later, or take another VM size or region",
    "unsupportedvmsize": "take a VM size that this region offers",
}


def explained_error(error: ServiceError) -> str:
    """Write a resize error with its remedy, where one is known."""
    remedy = _REMEDIES.get(error.code.lower())
    return f"{error} Remedy: {remedy}." if remedy else str(error)


def _hint(pool: PoolSnapshot, counts: Mapping[str, int]) -> str:
    stopped = any(error.code.lower() in _NEVER_FATAL for error in pool.resize_errors)
    if stopped and pool.allocation_state == "steady" and pool.current < pool.target:
        return " The last resize was stopped by request; resize the pool to go on."
    if counts.get("offline"):
        return " Offline nodes are kept from work on purpose; enable scheduling on them to go on."
    return ""


def _ready_count(seen: PoolObservation, policy: ReadinessPolicy) -> int:
    running = seen.counts.get("running", 0) if policy.running_is_ready else 0
    return seen.counts.get("idle", 0) + running


def _failed(reason: str) -> Verdict:
    return Verdict(Outcome.FAILED, reason)
