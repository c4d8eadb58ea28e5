"""Which nodes need a leased user now, and which expiry the service is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from airflow_provider_batchlinux.core.node_states import READY_STATES
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.users.user import UserOutcome, UserRecord

_NET = timedelta(days=2)
_RENEWED_BEFORE = timedelta(days=1)
# A node that is booting accepts users minutes later; asking at each poll would cost a request a node.
_NEXT_TRY = timedelta(minutes=5)


class LeaseEnd(str, Enum):
    """Why a lease has ended."""

    EXPIRED = "expired"
    TASKS_OVER = "tasks over"
    REVOKED = "revoked"
    TAKEN_OVER = "taken over"
    POOL_GONE = "pool gone"


def calm_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Return numbers of nodes by state, in which nodes that only begin or end tasks change nothing."""
    ready = sum(counts.get(state, 0) for state in READY_STATES)
    return {"ready": ready, **{state: n for state, n in counts.items() if n and state not in READY_STATES}}


@dataclass(frozen=True)
class AppliedState:
    """
    The state of a leased user that was last applied to a node.

    :param machine: when the node got its machine and when that last booted; a node that was reimaged, or
        came back under its id, differs.
    :param state: the node's state at that time.
    :param again: when to apply it again; ``None`` for never.
    :param done: whether the service accepted it.
    """

    machine: tuple[datetime | None, datetime | None]
    state: str
    again: datetime | None
    done: bool

    def holds(self, node: NodeSnapshot, now: datetime) -> bool:
        """Return whether the node needs nothing."""
        # A refusal counts for the state in which it came: a node that has booted since may accept the user.
        if self.machine != (node.allocated, node.last_boot) or (not self.done and self.state != node.state):
            return False
        return self.again is None or now < self.again


def service_expiry(end: datetime, now: datetime) -> datetime:
    """
    Return the expiry that the service is given for a leased user.

    A safety net in case that nothing is left to end the lease. The service checks expiries by the day, so a
    long lease asks for two days, and renews them a day before they are over.
    """
    return min(end, now + _NET)


def applied_state(node: NodeSnapshot, record: UserRecord, end: datetime, now: datetime) -> AppliedState:
    """
    Return what was applied to a node.

    :param record: what the service answered.
    :param end: when the lease ends.
    """
    machine = (node.allocated, node.last_boot)
    if record.outcome not in (UserOutcome.ADDED, UserOutcome.UPDATED):
        return AppliedState(machine, node.state, now + _NEXT_TRY, done=False)
    kept_until = service_expiry(end, now)
    again = kept_until - _RENEWED_BEFORE if kept_until < end else None
    return AppliedState(machine, node.state, again, done=True)


def served_nodes(
    nodes: Iterable[NodeSnapshot], applied: Mapping[str, AppliedState], now: datetime
) -> list[str]:
    """Return the ids of the nodes that need nothing."""
    return [
        node.node_id for node in nodes if node.node_id in applied and applied[node.node_id].holds(node, now)
    ]
