"""What is done about broken nodes, and when it is given up; imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from airflow_provider_batchlinux.core.instants import Duration, seconds_of
from airflow_provider_batchlinux.core.pools.changes.resize import unmet
from airflow_provider_batchlinux.core.pools.repair.history import RepairHistory, RepairRecord
from airflow_provider_batchlinux.core.pools.spec.base import Spec, read_spec
from airflow_provider_batchlinux.core.service_errors import may_be_had_later
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot

__all__ = ["RepairPlan", "RepairSpec", "WhenExhausted", "plan_repair"]

WhenExhausted = Literal["fail", "resize_to_zero"]

_REMOVED_AT_ONCE = 100
"""The service takes no more in one request."""


@dataclass(frozen=True)
class RepairSpec(Spec):
    """
    What is done about broken and missing nodes while a task waits for a pool.

    :param reboots: how often a node whose start task failed is rebooted, each.
    :param replace_unusable: remove nodes that the service calls unusable, and grow the pool back.
    :param unusable_grace: how long a node may be unusable before it is removed: the service often brings it
        back by itself within 15 to 45 minutes. A pendulum duration, ``timedelta`` or seconds.
    :param resize_again: how often the pool is asked again for nodes that it did not get for want of capacity
        or of quota, before that fails the task. A pool under a formula asks by itself.
    :param resize_again_after: how long after a resize that ended without its nodes it is asked again, as a
        pendulum duration, ``timedelta`` or seconds.
    :param max_repairs: how many reboots and removals the pool may have in its life, together.
    :param when_exhausted: what happens when it would take more: ``fail`` the task, or first
        ``resize_to_zero``, so that nobody pays for nodes that do not come up.
    :param logs_conn_id: an Airflow connection whose password is the address of a storage container with a
        signature that may write; the logs of nodes are saved there before they are removed. ``None`` saves
        none.
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
        Read a spec from plain values.

        :raises ValueError: all that is wrong with it.
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
    """Read what a template has rendered as text; what cannot be read stays, and is told as a problem."""
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
    What comes next for a pool.

    :param history: what is to be remembered before anything is done.
    :param is_news: the history is not yet in the pool's metadata.
    :param reboot: the nodes to reboot now.
    :param remove: the nodes to remove now.
    :param disable_autoscale: switch the formula off, because nodes cannot be removed under it.
    :param enable_autoscale: the formula to switch on again.
    :param resize_to: the dedicated and spot nodes to ask for.
    :param give_up: why no more is repaired; ``None`` to go on.
    :param is_exhausted: more repairs are due than there may be: what is planned is of use only where the pool
        would not do without.
    :param healing: the broken nodes that are not given up.
    :param unfinished: the pool is not yet as it was, whatever its nodes are.
    :param asks_again: why nodes are asked for again, now or in a while; ``None`` where they are not.
    """

    history: RepairHistory
    is_news: bool = False
    reboot: tuple[NodeSnapshot, ...] = ()
    remove: tuple[NodeSnapshot, ...] = ()
    disable_autoscale: bool = False
    enable_autoscale: Mapping[str, Any] | None = None
    resize_to: tuple[int, int] | None = None
    give_up: str | None = None
    is_exhausted: bool = False
    healing: tuple[NodeSnapshot, ...] = ()
    unfinished: bool = False
    asks_again: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is being repaired."""
        return not (self.healing or self.unfinished or self.asks_again is not None)


@dataclass(frozen=True)
class _Broken:
    """The nodes that can be repaired: those that fall due now, and those that are left alone for now."""

    reboot: tuple[NodeSnapshot, ...]
    remove: tuple[NodeSnapshot, ...]
    left: tuple[NodeSnapshot, ...]

    @property
    def all(self) -> tuple[NodeSnapshot, ...]:
        return (*self.reboot, *self.remove, *self.left)


def plan_repair(
    spec: RepairSpec,
    history: RepairHistory,
    pool: PoolSnapshot,
    nodes: Sequence[NodeSnapshot],
    now: datetime,
    autoscale: Mapping[str, Any] | None = None,
) -> RepairPlan:
    """
    Decide what comes next.

    :param history: what was done so far.
    :param nodes: the pool's broken nodes, exactly; others may be among them.
    :param now: the present instant.
    :param autoscale: the pool's formula and interval as REST has them; ``None`` without one.
    """
    plan = _plan(spec, history, pool, nodes, now, autoscale)
    remembered = plan.history.with_sign_of_life(now)
    return replace(plan, history=remembered, is_news=remembered != history)


def _plan(
    spec: RepairSpec,
    history: RepairHistory,
    pool: PoolSnapshot,
    nodes: Sequence[NodeSnapshot],
    now: datetime,
    autoscale: Mapping[str, Any] | None,
) -> RepairPlan:
    broken = _broken(spec, history, nodes, now)
    due = [node for node in (*broken.reboot, *broken.remove) if not history.is_known(node)]
    if due and history.total + len(due) > spec.max_repairs:
        if pool.autoscale:
            history = replace(history, autoscale=autoscale or history.autoscale)
        return replace(_given_up(spec, history, pool, broken, len(due)), is_exhausted=True)
    plan = _removal(history, pool, broken.remove, autoscale)
    if not (broken.remove or plan.history.is_owed):
        plan = _asked_again(spec, plan, pool, now)
    claimed = (*broken.reboot, *plan.remove)
    remembered = plan.history.with_claims(claimed, now) if claimed else plan.history
    return replace(
        plan,
        history=remembered,
        reboot=broken.reboot,
        healing=broken.all,
        unfinished=bool(broken.remove) or remembered.is_owed,
    )


def _broken(
    spec: RepairSpec, history: RepairHistory, nodes: Sequence[NodeSnapshot], now: datetime
) -> _Broken:
    # Each kind is looked at by itself: a pool may have both.
    failed = [node for node in nodes if node.state == "starttaskfailed" and _may_reboot(spec, history, node)]
    lost = [node for node in nodes if node.state == "unusable" and spec.replace_unusable]
    grace = timedelta(seconds=seconds_of("repair.unusable_grace", spec.unusable_grace))
    reboot = tuple(node for node in failed if not history.is_claimed(node, now))
    remove = tuple(node for node in lost if not history.is_claimed(node, now) and _is_older(node, grace, now))
    left = tuple(node for node in (*failed, *lost) if node not in reboot and node not in remove)
    return _Broken(reboot, remove, left)


def _may_reboot(spec: RepairSpec, history: RepairHistory, node: NodeSnapshot) -> bool:
    return history.times(node) < spec.reboots or (spec.reboots > 0 and history.is_known(node))


def _is_older(node: NodeSnapshot, grace: timedelta, now: datetime) -> bool:
    return node.state_since is not None and now - node.state_since > grace


def _removal(
    history: RepairHistory,
    pool: PoolSnapshot,
    due: tuple[NodeSnapshot, ...],
    autoscale: Mapping[str, Any] | None,
) -> RepairPlan:
    if not due:
        return _restoration(history, pool)
    if pool.autoscale:
        remembered = replace(history, autoscale=autoscale or history.autoscale)
        return RepairPlan(remembered, disable_autoscale=True)
    if pool.allocation_state != "steady":
        return RepairPlan(history)
    going = due[:_REMOVED_AT_ONCE]
    return RepairPlan(history.with_removal(_targets(pool), going), remove=going)


def _restoration(history: RepairHistory, pool: PoolSnapshot) -> RepairPlan:
    if not history.is_owed:
        return RepairPlan(history)
    is_back = pool.autoscale or (history.autoscale is None and _targets(pool) == history.grow_to)
    if is_back or not history.is_left_by_repair(_targets(pool)):
        return RepairPlan(history.settled())
    if pool.allocation_state != "steady":
        return RepairPlan(history)
    if history.autoscale is not None:
        return RepairPlan(history, enable_autoscale=history.autoscale)
    return RepairPlan(history, resize_to=history.grow_to)


def _asked_again(spec: RepairSpec, plan: RepairPlan, pool: PoolSnapshot, now: datetime) -> RepairPlan:
    errors, since = unmet(pool), pool.allocation_state_since
    if not errors:
        is_met = pool.allocation_state == "steady" and pool.current >= pool.target
        return replace(plan, history=replace(plan.history, resize=None)) if is_met else plan
    episode = int(since.timestamp() * 1000) if since else 0
    earlier = plan.history.resize or RepairRecord(0, -1, 0)
    is_known = earlier.episode == episode
    if not all(map(may_be_had_later, errors)) or (earlier.times >= spec.resize_again and not is_known):
        return plan
    pause = timedelta(seconds=seconds_of("repair.resize_again_after", spec.resize_again_after))
    if (is_known and earlier.is_claimed(now)) or (since is not None and now - since < pause):
        return replace(plan, asks_again=_asking(spec, earlier, pool))
    record = earlier.again(episode, now)
    remembered = replace(plan.history, resize=record)
    return replace(plan, history=remembered, resize_to=_targets(pool), asks_again=_asking(spec, record, pool))


def _asking(spec: RepairSpec, asked: RepairRecord, pool: PoolSnapshot) -> str:
    causes = "; ".join(map(str, unmet(pool)))
    times = f"asked for again {asked.times} of {spec.resize_again} times"
    return f"It got {pool.current} of {pool.target} nodes ({causes}), and they are {times} so far."


def _given_up(
    spec: RepairSpec, history: RepairHistory, pool: PoolSnapshot, broken: _Broken, due: int
) -> RepairPlan:
    reason = (
        f"Pool {pool.pool_id!r} had {history.total} repairs, and {due} more are due; max_repairs is"
        f" {spec.max_repairs}. Look for the cause in the start task and the image."
    )
    if spec.when_exhausted == "fail" or pool.target == 0:
        return RepairPlan(history.settled(), enable_autoscale=history.autoscale, give_up=reason)
    reason += " It is resized to no nodes."
    if pool.autoscale:
        return RepairPlan(history, disable_autoscale=True, healing=broken.all, unfinished=True)
    if pool.allocation_state != "steady":
        return RepairPlan(history, healing=broken.all, unfinished=True)
    return RepairPlan(history.settled(), resize_to=(0, 0), give_up=reason)


def _targets(pool: PoolSnapshot) -> tuple[int, int]:
    return pool.target_dedicated, pool.target_spot
