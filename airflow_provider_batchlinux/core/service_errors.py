"""What the errors of pools and nodes mean, and the remedy for each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum

from airflow_provider_batchlinux.core.node_states import BOOTING_STATES, BROKEN_STATES, RESTARTING_STATES
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, ServiceError
from airflow_provider_batchlinux.core.text import joined


class ResizeErrorKind(str, Enum):
    """What a resize error means for a wait."""

    HARMLESS = "harmless"
    PASSES = "passes"
    LASTS = "lasts"


# A person or another client has stopped the resize; the service keeps this as an error like any other.
_HARMLESS = frozenset({"resizestopped"})
_PASSING = frozenset({"allocationtimedout", "batchoutofcapacity", "removenodesfailed"})
_PASSING_REASONS = ("internal error", "insufficient capacity")


def kind_of(error: ServiceError) -> ResizeErrorKind:
    """
    Classify a resize error as harmless, passing (a new resize may succeed) or lasting.

    The service does not document which errors pass. As reported by other clients, a time-out, a lack of
    capacity, and an ``AllocationFailed`` with an internal error as its reason do. Unknown codes are lasting.
    """
    code = error.code.lower()
    if code in _HARMLESS:
        return ResizeErrorKind.HARMLESS
    if code in _PASSING:
        return ResizeErrorKind.PASSES
    said = str(error).lower()
    if code == "allocationfailed" and any(reason in said for reason in _PASSING_REASONS):
        return ResizeErrorKind.PASSES
    return ResizeErrorKind.LASTS


_QUOTA_CODES = frozenset(
    {
        "accountcorequotareached",
        "accountlowprioritycorequotareached",
        "accountspotcorequotareached",
        "accountvmseriescorequotareached",
    }
)


def may_become_available(error: ServiceError) -> bool:
    """Return whether the same nodes may be allocated later, when others have released capacity or quota."""
    return kind_of(error) is ResizeErrorKind.PASSES or error.code.lower() in _QUOTA_CODES


_REMEDIES = {
    "accountcorequotareached": "ask for a higher dedicated core quota, or for fewer or smaller nodes",
    "accountlowprioritycorequotareached": "ask for a higher Spot core quota, or for fewer or smaller nodes",
    "accountspotcorequotareached": "ask for a higher Spot core quota, or for fewer or smaller nodes",
    "accountvmseriescorequotareached": "ask for a higher quota of this VM series, or take another series",
    "allocationtimedout": "try again later, or take another VM size, region or a longer resize_timeout",
    "batchoutofcapacity": "try again later, or take another VM size or region",
    "communicationenabledpoolreachedmaxvmcount": "ask for fewer nodes, or leave out inter-node communication",
    "unsupportedvmsize": "take a VM size that this region offers",
}


def explained_error(error: ServiceError) -> str:
    """Return a resize error as text, with its remedy if one is known."""
    remedy = _REMEDIES.get(error.code.lower())
    return f"{str(error).rstrip('.')}. Remedy: {remedy}." if remedy else str(error)


def cause_of(node: NodeSnapshot) -> str:
    """Return why a node will not become ready, as a line."""
    return causes_of([node])[0]


def broken_cause(node: NodeSnapshot) -> str | None:
    """Return why a node will not become ready, without its id; ``None`` if it may."""
    return _cause_of(node) if node.state in BROKEN_STATES or node.errors else None


def causes_of(nodes: Iterable[NodeSnapshot]) -> list[str]:
    """Return why nodes will not become ready, with one line for all that have the same cause."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        found.setdefault(_cause_of(node), []).append(node.node_id)
    return [
        f"{'node' if len(ids) == 1 else 'nodes'} {joined(ids, 3)}: {cause}" for cause, ids in found.items()
    ]


def _cause_of(node: NodeSnapshot) -> str:
    if node.state == "starttaskfailed" and node.start_task is not None:
        run = node.start_task
        ended = f"exit code {run.exit_code}" if run.exit_code is not None else "no exit code"
        failure = f"; {run.failure}" if run.failure and not run.failure.is_exit_code else ""
        return f"start task failed with {ended}{failure}"
    if node.errors:
        return f"{node.state}: " + "; ".join(str(error) for error in node.errors)
    if node.state not in BROKEN_STATES:
        return f"still {node.state} after boot_limit"
    return f"{node.state}; the service names no cause (it cannot reach the machine)"


def is_starting_again(node: NodeSnapshot) -> bool:
    """
    Return whether a node starts after a deallocation, and has only the times of its previous life.

    The service reports those for about 90 s (recorded in 2025 and 2026). Scheduling is disabled on the node
    for exactly that long.
    """
    return node.state == "starting" and not node.accepts_tasks


def boots_too_long(
    node: NodeSnapshot, limit: float, now: datetime, starting_since: datetime | None = None
) -> bool:
    """
    Return whether a node has been allocated, and takes longer than the limit to become ready.

    A reboot restarts the limit.

    :param limit: seconds from its allocation, or its last boot.
    :param now: the present instant.
    :param starting_since: since when the caller has seen the node start again after a deallocation.
    """
    if node.state not in BOOTING_STATES:
        return False
    starts = [node.allocated, node.last_boot]
    if is_starting_again(node):
        starts = [starting_since]
    elif node.state in (*RESTARTING_STATES, "starting"):
        # lastBootTime is reported only seconds before a node is idle: after a reboot it is still the old one.
        starts.append(node.state_since)
    known = [start for start in starts if start is not None]
    return bool(known) and now - max(known) > timedelta(seconds=limit)
