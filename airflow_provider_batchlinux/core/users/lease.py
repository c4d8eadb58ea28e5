"""Which nodes need a leased user now, and until when the service keeps it; imports only the stdlib."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.users.user import UserOutcome, UserRecord

__all__ = ["Given", "LeaseEnd", "given_of", "served_nodes", "service_expiry"]

_NET = timedelta(days=2)
_RENEWED_BEFORE = timedelta(days=1)
_NEXT_TRY = timedelta(minutes=5)


class LeaseEnd(str, Enum):
    """Why a lease is over."""

    EXPIRED = "expired"
    TASKS_OVER = "tasks over"
    REVOKED = "revoked"
    TAKEN_OVER = "taken over"
    POOL_GONE = "pool gone"


@dataclass(frozen=True)
class Given:
    """
    What was last done for a leased user on a node.

    :param machine: when the node got its machine and when that last booted; a node that was reimaged, or
        came back under its id, differs.
    :param state: the node's state at that time.
    :param again: when to do it again; ``None`` for never.
    :param done: whether the service took it.
    """

    machine: tuple[datetime | None, datetime | None]
    state: str
    again: datetime | None
    done: bool

    def holds(self, node: NodeSnapshot, now: datetime) -> bool:
        """Tell whether nothing is to be done on the node."""
        if self.machine != (node.allocated, node.last_boot) or (not self.done and self.state != node.state):
            return False
        return self.again is None or now < self.again


def service_expiry(end: datetime, now: datetime) -> datetime:
    """
    Give until when the service is told to keep a leased user.

    It applies if no process is left to end the lease: the service looks at it by the day, so a
    long lease asks for two days, and again a day before they are over.
    """
    return min(end, now + _NET)


def given_of(node: NodeSnapshot, record: UserRecord, end: datetime, now: datetime) -> Given:
    """
    Note what was done on a node.

    :param record: what the service answered.
    :param end: when the lease ends.
    """
    machine = (node.allocated, node.last_boot)
    if record.outcome not in (UserOutcome.ADDED, UserOutcome.UPDATED):
        return Given(machine, node.state, now + _NEXT_TRY, done=False)
    kept_until = service_expiry(end, now)
    again = kept_until - _RENEWED_BEFORE if kept_until < end else None
    return Given(machine, node.state, again, done=True)


def served_nodes(nodes: Iterable[NodeSnapshot], given: Mapping[str, Given], now: datetime) -> list[str]:
    """Name the nodes on which nothing is to be done."""
    return [node.node_id for node in nodes if node.node_id in given and given[node.node_id].holds(node, now)]
