"""Which nodes get a user now, which are waited for, and how many may fail."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from airflow_provider_batchlinux.core.node_states import (
    AWAY_STATES,
    BOOTING_STATES,
    NEW_MACHINE_STATES,
    STOPPED_STATES,
)
from airflow_provider_batchlinux.core.nodes.actions import NodeChoice
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot
from airflow_provider_batchlinux.core.text import counted, joined
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, Owed
from airflow_provider_batchlinux.core.users.user import UserOutcome, UserRecord

NOT_READY = "NodeNotReady"
"""The code in the record of a node that was not ready in time."""

CHANGED = "UserChanged"
"""The code in the record of a node that was not asked, because another holder has the user now."""

_TOO_EARLY = frozenset(
    {NOT_READY, "NodeBeingCreated", "NodeBeingStarted", "NodeBeingRebooted", "NodeBeingReimaged"}
)

_NEW_MACHINE = frozenset(NEW_MACHINE_STATES)
_STARTING = frozenset({*BOOTING_STATES, "unknown"})
_WITHOUT_MACHINE = frozenset({*AWAY_STATES, *STOPPED_STATES})
_ASLEEP = frozenset({*STOPPED_STATES, "leavingpool"})
"""The states of nodes that cannot be asked, and may let users in, now or after a start."""


@dataclass(frozen=True)
class UserPlan:
    """
    What to do now on the nodes of a pool.

    :param due: nodes to send a request for.
    :param waiting: nodes that will be in a state in which the service accepts the request.
    :param skipped: nodes without a request: not in the chosen states, or without a machine.
    :param missing: chosen ids that no node has.
    """

    due: tuple[NodeSnapshot, ...]
    waiting: tuple[NodeSnapshot, ...]
    skipped: tuple[NodeSnapshot, ...]
    missing: tuple[str, ...]

    @property
    def size(self) -> int:
        """The number of nodes that were not skipped."""
        return len(self.due) + len(self.waiting)

    def __str__(self) -> str:
        states = joined(sorted({node.state for node in self.waiting}))
        still = f"; waiting for {len(self.waiting)} that are {states}" if self.waiting else ""
        return f"{counted(len(self.due), 'node')} can take the user{still}"


def plan_of(
    nodes: Iterable[NodeSnapshot],
    choice: NodeChoice,
    *,
    done: Collection[str] = (),
    removing: bool = False,
) -> UserPlan:
    """
    Sort the nodes of a pool by what to do about a user.

    The service accepts users on idle and running nodes only. Requests for broken nodes are sent nevertheless:
    whether it accepts a user after a failed start task is not documented, and a refusal names the node.

    :param choice: the chosen nodes. With states, nodes are not waited for.
    :param done: ids of nodes that need no further request.
    :param removing: a node with a new machine has no users, and is not waited for.
    """
    known = {node.node_id.lower(): node for node in nodes}
    meant = NodeChoice(choice.node_ids).chosen(known.values())
    over = {node_id.lower() for node_id in done}
    open_ = [node for node in meant if node.node_id.lower() not in over]
    if choice.states is not None:
        due = choice.chosen(open_)
        return UserPlan(tuple(due), (), _others(open_, due), tuple(choice.missing(known.values())))
    no_user = _WITHOUT_MACHINE | _NEW_MACHINE if removing else _WITHOUT_MACHINE
    skipped = [node for node in open_ if node.state in no_user]
    waiting = [node for node in open_ if node.state in _STARTING - no_user]
    due = list(_others(open_, [*skipped, *waiting]))
    return UserPlan(tuple(due), tuple(waiting), tuple(skipped), tuple(choice.missing(known.values())))


def is_growing(pool: PoolSnapshot | None) -> bool:
    """Return whether a resize is about to add nodes."""
    return pool is not None and pool.allocation_state == "resizing" and pool.current < pool.target


def refused_too_early(record: UserRecord) -> bool:
    """Return whether the service refused a node only because it is not ready, so that waiting helps."""
    return record.outcome is UserOutcome.FAILED and record.code in _TOO_EARLY


def not_ready(node: NodeSnapshot, username: str) -> UserRecord:
    """Return the record of a node that did not become ready in time: failed."""
    error = f"The node was still {node.state}, and the service takes users on idle and running nodes only."
    return UserRecord.of(node, username, UserOutcome.FAILED, error=error, code=NOT_READY)


def leaves_user(record: UserRecord) -> bool:
    """Return whether a node may still have the user after its removal."""
    return record.outcome in (UserOutcome.OWED, UserOutcome.FAILED)


def left_out(node: NodeSnapshot, username: str, *, removing: bool) -> UserRecord:
    """
    Return the record of a node that was not asked.

    Whether a node keeps its users while it is deallocated is not documented. It is assumed that it does.
    """
    is_owed = removing and node.state in _ASLEEP
    return UserRecord.of(node, username, UserOutcome.OWED if is_owed else UserOutcome.SKIPPED)


def owed_plan(nodes: Iterable[NodeSnapshot], owed: Owed) -> UserPlan:
    """Return what to do on the nodes that may have a user who is no longer wanted."""
    return plan_of([node for node in nodes if owed.covers(node.node_id)], NodeChoice(), removing=True)


def changed_meanwhile(node: NodeSnapshot, username: str) -> UserRecord:
    """Return the record of a node that was not asked, because others have changed the user since: failed."""
    error = (
        f"User {username!r} was removed, given to another holder or, while this task was suspended, changed "
        "by another one; the node was not asked."
    )
    return UserRecord.of(node, username, UserOutcome.FAILED, error=error, code=CHANGED)


def is_unanswered(record: UserRecord) -> bool:
    """Return whether the service gave no answer, so that the request may still be carried out."""
    return record.outcome is UserOutcome.FAILED and record.code is None


def would_lose(before: LedgerEntry | None, after: LedgerEntry) -> list[str]:
    """
    List what a user has that an update, which replaces all, would take away by omission.

    :param before: the user by the pool's ledger; ``None`` when it has no entry. What another Dag run left
        is not anybody's to lose.
    """
    if before is None or before.is_revoked or not before.is_held_by(after.by):
        return []
    key = f"the key {before.key}" if before.key is not None and after.key is None else None
    password = "a password" if before.has_password and not after.has_password else None
    return [part for part in (key, password) if part is not None]


def _others(nodes: Sequence[NodeSnapshot], chosen: Sequence[NodeSnapshot]) -> tuple[NodeSnapshot, ...]:
    taken = {node.node_id for node in chosen}
    return tuple(node for node in nodes if node.node_id not in taken)
