"""
Decide how to repair the broken nodes of a pool, and when to give up.

The repairs so far are stored in the pool's metadata, so that all tasks that wait for the pool share them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import blake2s
from typing import Any, Literal

from airflow_provider_batchlinux.core.instants import seconds_of
from airflow_provider_batchlinux.core.parameters.kinds import (
    Count,
    DurationOrSeconds,
    Flag,
    PositiveCount,
    Text,
)
from airflow_provider_batchlinux.core.parameters.spec import Spec
from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX, REPAIRS_KEY, read_json
from airflow_provider_batchlinux.core.pools.changes.resize import unmet
from airflow_provider_batchlinux.core.service_errors import may_become_available
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot
from airflow_provider_batchlinux.core.text import joined

_CLAIM_EXPIRES = timedelta(minutes=5)
"""After this, a claimed repair that was not done is taken over: the process that claimed it is gone."""

_HEARTBEAT_INTERVAL = timedelta(minutes=5)
_ABANDONED_AFTER = timedelta(minutes=15)
"""Three heartbeats that did not come."""

_MAX_NODES = 100
"""Nodes that are remembered one by one: how long a pool's metadata may be is not documented."""


@dataclass(frozen=True)
class RepairRecord:
    """
    The repairs of one node, or the repeated resizes of a pool.

    :param times: how often it was repaired.
    :param failed_at: when the failure that was repaired last occurred, in milliseconds since the epoch.
    :param claimed_at: when a waiting task claimed that repair, in seconds since the epoch.
    """

    times: int
    failed_at: int
    claimed_at: int

    def is_claimed(self, now: datetime) -> bool:
        """Return whether the process that claimed the repair may still be doing it."""
        return now.timestamp() - self.claimed_at <= _CLAIM_EXPIRES.total_seconds()

    def again(self, failed_at: int, now: datetime) -> RepairRecord:
        """Return the record after a claim; a failure that is taken over is not counted again."""
        return RepairRecord(self.times + (failed_at != self.failed_at), failed_at, int(now.timestamp()))


@dataclass(frozen=True)
class RepairHistory:
    """
    The repairs of a pool.

    :param total: the number of reboots and removals.
    :param nodes: the nodes that were repaired, the latest hundred, by a short digest of their ids.
    :param grow_to: the dedicated and spot nodes to grow back to; ``None`` if nothing was removed.
    :param reduced_to: the dedicated and spot nodes that the last removal leaves.
    :param resize: the repeated requests for nodes that the pool did not get; ``None`` if it has them.
    :param heartbeat_at: when a waiting task last worked on restoring the pool's size, in seconds since the
        epoch; ``None`` if there is nothing to restore.
    """

    total: int = 0
    nodes: Mapping[str, RepairRecord] = field(default_factory=dict)
    grow_to: tuple[int, int] | None = None
    reduced_to: tuple[int, int] | None = None
    resize: RepairRecord | None = None
    heartbeat_at: int | None = None

    @property
    def needs_restore(self) -> bool:
        """Whether the pool is still to grow back to its size."""
        return self.grow_to is not None

    def is_abandoned(self, now: datetime) -> bool:
        """Return whether the pool is to grow back, and no waiting task has worked on it for a while."""
        if not self.needs_restore:
            return False
        return (
            self.heartbeat_at is None
            or now.timestamp() - self.heartbeat_at > _ABANDONED_AFTER.total_seconds()
        )

    def with_heartbeat(self, now: datetime) -> RepairHistory:
        """Return the history with a heartbeat, renewed every few minutes while there is a size to restore."""
        if not self.needs_restore:
            return replace(self, heartbeat_at=None)
        if (
            self.heartbeat_at is not None
            and now.timestamp() - self.heartbeat_at <= _HEARTBEAT_INTERVAL.total_seconds()
        ):
            return self
        return replace(self, heartbeat_at=int(now.timestamp()))

    def restored(self) -> RepairHistory:
        """Return the history of a pool that has its size back, or is not to get it."""
        return replace(self, grow_to=None, reduced_to=None, heartbeat_at=None)

    def times(self, node: NodeSnapshot) -> int:
        """Return how often a node was repaired."""
        record = self.nodes.get(_key(node))
        return record.times if record else 0

    def is_known(self, node: NodeSnapshot) -> bool:
        """Return whether the present failure of a node was counted already."""
        record = self.nodes.get(_key(node))
        return record is not None and record.failed_at == _failed_at(node)

    def is_claimed(self, node: NodeSnapshot, now: datetime) -> bool:
        """Return whether the present failure of a node is being repaired."""
        return self.is_known(node) and self.nodes[_key(node)].is_claimed(now)

    def with_claims(self, claimed: Collection[NodeSnapshot], now: datetime) -> RepairHistory:
        """Return the history after some nodes were claimed; a failure that is taken over counts once."""
        new = sum(not self.is_known(node) for node in claimed)
        added = {
            _key(node): self.nodes.get(_key(node), _UNREPAIRED).again(_failed_at(node), now)
            for node in claimed
        }
        latest = sorted({**self.nodes, **added}.items(), key=lambda item: item[1].claimed_at)[-_MAX_NODES:]
        return replace(self, total=self.total + new, nodes=dict(latest))

    def with_removal(self, targets: tuple[int, int], removed: Collection[NodeSnapshot]) -> RepairHistory:
        """Return the history after a removal: the size to grow back to, and the size that it leaves."""
        dedicated = sum(node.dedicated for node in removed)
        reduced_to = targets[0] - dedicated, targets[1] - len(removed) + dedicated
        return replace(self, grow_to=self.grow_to or targets, reduced_to=reduced_to)

    def is_left_by_repair(self, targets: tuple[int, int]) -> bool:
        """
        Return whether a pool's size is the result of a repair; otherwise another client has resized it since.

        :param targets: the pool's target numbers of dedicated and spot nodes.
        """
        if self.grow_to is None or self.reduced_to is None:
            return True
        each = zip(self.reduced_to, targets, self.grow_to, strict=True)
        return all(least <= target <= most for least, target, most in each)


# No failure is older, and no claim can be in force.
_UNREPAIRED = RepairRecord(0, -1, 0)


_VERSION = 2
"""The version of the history. The first one has none, and other names for two values."""

_FORMULA_KEY = f"{METADATA_PREFIX}repair_autoscale"


def switched_off_formula(metadata: Mapping[str, str]) -> str | None:
    """Return the autoscale formula that a repair of an earlier release switched off; ``None`` for none."""
    try:
        return str(read_json(metadata.get(_FORMULA_KEY) or "{}").get("autoScaleFormula") or "") or None
    except (AttributeError, ValueError):
        return None


def history_in(metadata: Mapping[str, str]) -> RepairHistory:
    """
    Return the history in a pool's metadata; an empty one if it is missing or cannot be read.

    :raises ValueError: if a later release has written it.
    """
    try:
        stored = read_json(metadata.get(REPAIRS_KEY) or "{}")
        version = int(stored.get("version", 1))
    except (AttributeError, OverflowError, TypeError, ValueError):
        return RepairHistory()
    if version > _VERSION:
        msg = (
            f"The pool's history of repairs has version {version}, and this release of the provider reads "
            f"versions up to {_VERSION}. Update the provider, then clear the task."
        )
        raise ValueError(msg)
    return _read_history(stored)


def _read_history(stored: Mapping[str, Any]) -> RepairHistory:
    try:
        return RepairHistory(
            total=int(stored.get("total", 0)),
            nodes={key: RepairRecord(*record) for key, record in stored.get("nodes", {}).items()},
            grow_to=_pair(stored.get("grow_to")),
            reduced_to=_pair(stored.get("reduced_to") or stored.get("left")),
            resize=RepairRecord(*stored["resize"]) if stored.get("resize") else None,
            heartbeat_at=stored.get("heartbeat_at"),
        )
    except (AttributeError, OverflowError, TypeError, ValueError):
        return RepairHistory()


def with_history(metadata: Mapping[str, str], history: RepairHistory) -> dict[str, str]:
    """Return a pool's metadata with this history instead of its present one."""
    stored: dict[str, Any] = {
        "version": _VERSION,
        "total": history.total,
        "nodes": {key: astuple(record) for key, record in history.nodes.items()},
        "grow_to": history.grow_to,
        "reduced_to": history.reduced_to,
        "resize": astuple(history.resize) if history.resize else None,
        "heartbeat_at": history.heartbeat_at,
    }
    changed = {name: value for name, value in metadata.items() if name != REPAIRS_KEY}
    if history != RepairHistory():
        known = {name: value for name, value in stored.items() if value is not None}
        changed[REPAIRS_KEY] = json.dumps(known, separators=(",", ":"), sort_keys=True)
    return changed


def _pair(value: Any) -> tuple[int, int] | None:
    return (int(value[0]), int(value[1])) if value else None


def _key(node: NodeSnapshot) -> str:
    # Short: the history of many nodes shares the metadata of the pool with the ledger of users.
    return blake2s(node.node_id.lower().encode(), digest_size=5).hexdigest()


def _failed_at(node: NodeSnapshot) -> int:
    return int(node.state_since.timestamp() * 1000) if node.state_since else 0


WhenExhausted = Literal["fail", "resize_to_zero"]

_MAX_REMOVED = 100
"""The limit of the service for one request."""


@dataclass(frozen=True)
class RepairSpec(Spec):
    """
    How to repair broken and missing nodes while a task waits for a pool.

    .. code-block:: python

        RepairSpec(reboots=2, replace_unusable=True, resize_again=3)

    :param reboots: how often each node whose start task failed is rebooted.
    :param replace_unusable: remove unusable nodes, and grow the pool back. A pool under an autoscale formula
        keeps them: the wait fails and names them.
    :param unusable_grace: how long a node may be unusable before it is removed, as a pendulum duration,
        ``timedelta`` or seconds. The service often recovers such a node within 15 to 45 minutes.
    :param resize_again: how often a resize that ended without its nodes, for lack of capacity or quota, is
        requested again before the task fails. An autoscale formula does that automatically.
    :param resize_again_after: how long after the end of such a resize it is requested again, as a pendulum
        duration, ``timedelta`` or seconds.
    :param max_repairs: how many reboots and removals the pool may have in total.
    :param when_exhausted: what to do when more are due: ``fail`` the task, or ``resize_to_zero`` first, so
        that broken nodes cost nothing.
    :param logs_conn_id: an Airflow connection whose password is the URL of a storage container with a SAS
        that may write. Node logs are saved there before a node is removed. ``None`` saves none.
    """

    reboots: Count = 0
    replace_unusable: Flag = False
    unusable_grace: DurationOrSeconds = 1200
    resize_again: Count = 0
    resize_again_after: DurationOrSeconds = 300
    max_repairs: PositiveCount = 20
    when_exhausted: WhenExhausted = "fail"
    logs_conn_id: Text | None = None


@dataclass(frozen=True)
class RepairPlan:
    """
    The next repair step of a pool.

    :param history: the history to store before anything is done.
    :param is_new: the history is not yet in the pool's metadata.
    :param reboot: the nodes to reboot now.
    :param remove: the nodes to remove now.
    :param resize_to: the dedicated and spot nodes to resize the pool to.
    :param give_up: why nothing more is repaired; ``None`` to go on.
    :param is_exhausted: more repairs are due than are allowed: the plan matters only if the pool is not ready
        without them.
    :param healing: the broken nodes that may recover; the wait does not fail because of them.
    :param unfinished: the pool does not have its size back yet.
    :param asks_again: why nodes are requested again, now or later; ``None`` if they are not.
    :param report: what is broken and not repaired, although the spec asks for it; ``None`` for nothing.
    """

    history: RepairHistory
    is_new: bool = False
    reboot: tuple[NodeSnapshot, ...] = ()
    remove: tuple[NodeSnapshot, ...] = ()
    resize_to: tuple[int, int] | None = None
    give_up: str | None = None
    is_exhausted: bool = False
    healing: tuple[NodeSnapshot, ...] = ()
    unfinished: bool = False
    asks_again: str | None = None
    report: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is being repaired."""
        return not (self.healing or self.unfinished or self.asks_again is not None)


@dataclass(frozen=True)
class _Broken:
    """The broken nodes by what is done about them now."""

    reboot: tuple[NodeSnapshot, ...]
    remove: tuple[NodeSnapshot, ...]
    waiting: tuple[NodeSnapshot, ...]
    unrepairable: tuple[NodeSnapshot, ...]

    @property
    def healing(self) -> tuple[NodeSnapshot, ...]:
        return (*self.reboot, *self.remove, *self.waiting)


def plan_repair(
    spec: RepairSpec,
    history: RepairHistory,
    pool: PoolSnapshot,
    nodes: Sequence[NodeSnapshot],
    now: datetime,
) -> RepairPlan:
    """
    Return the next step of a repair.

    :param history: the repairs so far.
    :param nodes: the pool's broken nodes, exactly; others may be among them.
    :param now: the present instant.
    """
    broken = _broken(spec, history, pool, nodes, now)
    # What an earlier plan has claimed is counted already: only new repairs use up max_repairs.
    due = [node for node in (*broken.reboot, *broken.remove) if not history.is_known(node)]
    if due and history.total + len(due) > spec.max_repairs:
        plan = _give_up(spec, history, pool, broken, len(due))
    else:
        plan = _removal(history, pool, broken.remove)
        # A removal has lowered the targets: growing back requests the missing nodes, too.
        if not (broken.remove or plan.history.needs_restore):
            plan = _request_again(spec, plan, pool, now)
        claimed = (*broken.reboot, *plan.remove)
        plan = replace(
            plan,
            history=plan.history.with_claims(claimed, now) if claimed else plan.history,
            reboot=broken.reboot,
            healing=broken.healing,
            unfinished=bool(broken.remove) or plan.history.needs_restore,
        )
    # Without a heartbeat, the next task takes the repair for abandoned, and grows the pool back itself.
    stored = plan.history.with_heartbeat(now)
    return replace(plan, history=stored, is_new=stored != history, report=_report(pool, broken.unrepairable))


def _broken(
    spec: RepairSpec,
    history: RepairHistory,
    pool: PoolSnapshot,
    nodes: Sequence[NodeSnapshot],
    now: datetime,
) -> _Broken:
    grace = timedelta(seconds=seconds_of("repair.unusable_grace", spec.unusable_grace))
    # Also one whose last reboot is still under way: the wait must not fail because of it.
    failed = [
        node
        for node in nodes
        if node.state == "starttaskfailed"
        and (history.times(node) < spec.reboots or (spec.reboots > 0 and history.is_known(node)))
    ]
    lost = [node for node in nodes if node.state == "unusable" and spec.replace_unusable]
    overdue = [node for node in lost if node.state_since is not None and now - node.state_since > grace]
    reboot = tuple(node for node in failed if not history.is_claimed(node, now))
    # The service removes no nodes under a formula. Disabling the formula meanwhile would leave the
    # pool without it whenever the waiting process dies.
    unrepairable = tuple(overdue) if pool.autoscale else ()
    remove = tuple(node for node in overdue if node not in unrepairable and not history.is_claimed(node, now))
    others = (*reboot, *remove, *unrepairable)
    waiting = tuple(node for node in (*failed, *lost) if node not in others)
    return _Broken(reboot, remove, waiting, unrepairable)


def _report(pool: PoolSnapshot, unrepairable: Sequence[NodeSnapshot]) -> str | None:
    if not unrepairable:
        return None
    names = joined([node.node_id for node in unrepairable])
    return (
        f"Unusable nodes {names} are not replaced, because an autoscale formula decides the number of nodes. "
        f"Reboot or reimage them, or disable autoscale of pool {pool.pool_id!r}."
    )


def _removal(history: RepairHistory, pool: PoolSnapshot, due: tuple[NodeSnapshot, ...]) -> RepairPlan:
    is_steady = pool.allocation_state == "steady"
    if due:
        # The service refuses to remove nodes while the pool resizes.
        if not is_steady:
            return RepairPlan(history)
        removed = due[:_MAX_REMOVED]
        return RepairPlan(history.with_removal(_targets(pool), removed), remove=removed)
    if not history.needs_restore:
        return RepairPlan(history)
    # If another client has set a size since, that size counts, not the one before the removal.
    is_back = pool.autoscale or _targets(pool) == history.grow_to
    if is_back or not history.is_left_by_repair(_targets(pool)):
        return RepairPlan(history.restored())
    return RepairPlan(history, resize_to=history.grow_to if is_steady else None)


def _request_again(spec: RepairSpec, plan: RepairPlan, pool: PoolSnapshot, now: datetime) -> RepairPlan:
    errors, since = unmet(pool), pool.allocation_state_since
    if not errors:
        # The next failure is a new one, with all its retries.
        is_met = pool.allocation_state == "steady" and pool.current >= pool.target
        return replace(plan, history=replace(plan.history, resize=None)) if is_met else plan
    failed_at = int(since.timestamp() * 1000) if since else 0
    earlier = plan.history.resize or RepairRecord(0, -1, 0)
    # A resize that has failed is recognised by its end: several polls must not count it several times.
    is_known = earlier.failed_at == failed_at
    if not all(map(may_become_available, errors)) or (earlier.times >= spec.resize_again and not is_known):
        return plan
    pause = timedelta(seconds=seconds_of("repair.resize_again_after", spec.resize_again_after))
    is_too_early = since is not None and now - since < pause
    if (is_known and earlier.is_claimed(now)) or is_too_early:
        return replace(plan, asks_again=_retries(spec, earlier, pool))
    record = earlier.again(failed_at, now)
    history = replace(plan.history, resize=record)
    return replace(plan, history=history, resize_to=_targets(pool), asks_again=_retries(spec, record, pool))


def _retries(spec: RepairSpec, record: RepairRecord, pool: PoolSnapshot) -> str:
    causes = "; ".join(map(str, unmet(pool)))
    retries = (
        f"retry {record.times} of {spec.resize_again} has been requested"
        if record.times
        else f"the first of {spec.resize_again} retries is due soon"
    )
    return f"Allocated {pool.current} of {pool.target} nodes ({causes}); {retries}."


def _give_up(
    spec: RepairSpec, history: RepairHistory, pool: PoolSnapshot, broken: _Broken, due: int
) -> RepairPlan:
    reason = (
        f"Pool {pool.pool_id!r} had {history.total} repairs, and {due} more are due; max_repairs is"
        f" {spec.max_repairs}. Look for the cause in the start task and the image."
    )
    plan = RepairPlan(history.restored(), give_up=reason, is_exhausted=True)
    if spec.when_exhausted == "fail" or pool.target == 0:
        return plan
    if pool.autoscale:
        return replace(plan, give_up=f"{reason} It keeps its nodes, because an autoscale formula decides.")
    if pool.allocation_state != "steady":
        return RepairPlan(history, healing=broken.healing, unfinished=True, is_exhausted=True)
    return replace(plan, resize_to=(0, 0), give_up=f"{reason} It is resized to 0 nodes.")


def _targets(pool: PoolSnapshot) -> tuple[int, int]:
    return pool.target_dedicated, pool.target_spot
