"""Decide how to repair the broken nodes of a pool, and when to give up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from airflow_provider_batchlinux.core.instants import Duration, seconds_of
from airflow_provider_batchlinux.core.pools.changes.resize import unmet
from airflow_provider_batchlinux.core.pools.repair.history import RepairHistory, RepairRecord
from airflow_provider_batchlinux.core.pools.spec.base import Spec, read_spec
from airflow_provider_batchlinux.core.service_errors import may_become_available
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot
from airflow_provider_batchlinux.core.text import joined

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

    reboots: int = 0
    replace_unusable: bool = False
    unusable_grace: Duration = 1200
    resize_again: int = 0
    resize_again_after: Duration = 300
    max_repairs: int = 20
    when_exhausted: WhenExhausted = "fail"
    logs_conn_id: str | None = None

    @classmethod
    def checked(cls, plain: Mapping[str, Any]) -> RepairSpec:
        """
        Return the spec in plain values.

        :raises ValueError: if it is wrong; with all problems.
        """
        problems: list[str] = []
        spec = read_spec(
            cls, {name: _value_of(name, value) for name, value in plain.items()}, "repair", problems
        )
        problems += spec.problems() if spec is not None else []
        if spec is None or problems:
            raise ValueError("\n".join(problems))
        return spec

    def problems(self) -> list[str]:
        """List all that is wrong with it."""
        found = [
            f"repair.{name}={value!r} is not a whole number from {least} up."
            for name, least in (("reboots", 0), ("resize_again", 0), ("max_repairs", 1))
            if not isinstance(value := getattr(self, name), int) or isinstance(value, bool) or value < least
        ]
        if not isinstance(self.replace_unusable, bool):
            found.append(f"repair.replace_unusable={self.replace_unusable!r} is neither true nor false.")
        if self.when_exhausted not in get_args(WhenExhausted):
            choices = ", ".join(get_args(WhenExhausted))
            found.append(f"repair.when_exhausted={self.when_exhausted!r} is not one of {choices}.")
        for name in ("unusable_grace", "resize_again_after"):
            try:
                seconds_of(f"repair.{name}", getattr(self, name))
            except ValueError as error:
                found.append(str(error))
        return found


def _value_of(name: str, value: Any) -> Any:
    """Return the value of text that a template has rendered; other text is reported as a problem later."""
    text = value.strip() if isinstance(value, str) else None
    if text is None:
        return value
    if name in ("reboots", "resize_again", "max_repairs") and text.isdigit():
        return int(text)
    if name in ("unusable_grace", "resize_again_after"):
        try:
            return float(text)
        except ValueError:
            return value
    if name == "replace_unusable":
        return {"true": True, "false": False}.get(text.lower(), value)
    return None if name == "logs_conn_id" and text in ("", "None") else value


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
    due = [node for node in (*broken.reboot, *broken.remove) if not history.is_known(node)]
    if due and history.total + len(due) > spec.max_repairs:
        plan = _give_up(spec, history, pool, broken, len(due))
    else:
        plan = _removal(history, pool, broken.remove)
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
        if not is_steady:
            return RepairPlan(history)
        removed = due[:_MAX_REMOVED]
        return RepairPlan(history.with_removal(_targets(pool), removed), remove=removed)
    if not history.needs_restore:
        return RepairPlan(history)
    is_back = pool.autoscale or _targets(pool) == history.grow_to
    if is_back or not history.is_left_by_repair(_targets(pool)):
        return RepairPlan(history.restored())
    return RepairPlan(history, resize_to=history.grow_to if is_steady else None)


def _request_again(spec: RepairSpec, plan: RepairPlan, pool: PoolSnapshot, now: datetime) -> RepairPlan:
    errors, since = unmet(pool), pool.allocation_state_since
    if not errors:
        is_met = pool.allocation_state == "steady" and pool.current >= pool.target
        return replace(plan, history=replace(plan.history, resize=None)) if is_met else plan
    failed_at = int(since.timestamp() * 1000) if since else 0
    earlier = plan.history.resize or RepairRecord(0, -1, 0)
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
