"""Decide what to do about a pool that exists under the requested id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from airflow_provider_batchlinux.core.pool_metadata import PoolMarks
from airflow_provider_batchlinux.core.pools.changes import IfExists
from airflow_provider_batchlinux.core.pools.changes.diff import (
    Difference,
    describe_drift,
    drift,
    not_compared,
)
from airflow_provider_batchlinux.core.pools.changes.resize import unmet
from airflow_provider_batchlinux.core.pools.changes.update_plan import ChangePlan, plan_changes
from airflow_provider_batchlinux.core.snapshots import PoolSnapshot

_REMEDIES = {
    "reuse": "Choose another pool_id, delete that pool first, or set if_exists to another value.",
    "fail": "Choose another pool_id, or delete that pool first.",
    "update": "Resize it to no nodes for what only an empty pool can change, choose another pool_id, or pass"
    " if_exists='recreate'.",
    "resize": "Choose another pool_id, or pass if_exists='update' or 'recreate'.",
}


class Action(str, Enum):
    """What to do about the pool."""

    KEEP = "keep"
    CHANGE = "change"
    RECREATE = "recreate"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Decision:
    """
    What to do about an existing pool, and why.

    :param reason: the reason for people, with the differences if there are any.
    :param plan: the changes of :attr:`Action.CHANGE`; of :attr:`Action.KEEP` the resize that requests missing
        nodes again.
    :param differences: how the pool differs from the requested one.
    :param not_compared: requested values that may differ, because the service does not return them.
    """

    action: Action
    reason: str
    plan: ChangePlan = field(default_factory=ChangePlan)
    differences: tuple[Difference, ...] = ()
    not_compared: tuple[str, ...] = ()


def decide(
    policy: IfExists,
    wanted: Mapping[str, Any],
    found: Mapping[str, Any],
    *,
    owner: Mapping[str, str],
) -> Decision:
    """
    Decide what to do about a pool that exists under the requested id.

    - A pool with the same fingerprint that the same task instance created is left from an earlier try, and is
      kept under every policy. Nodes that it did not get, such as for lack of capacity, are requested again.
    - A pool with another fingerprint is compared property by property. If no property differs, it is treated
      as if the fingerprint were the same; only ``reuse`` does not adopt a pool that another client created.
    - If a pool got no node at all, and another VM size is selected now, it is recreated with that size.
    - Any other pool is treated as the policy says.

    :param policy: the user's ``if_exists``.
    :param wanted: the body that would create the pool, with the provider's marks.
    :param found: the pool as the service returns it.
    :param owner: the task instance that requests it.
    """
    pool_id, marks = str(found["id"]), PoolMarks.of(found)
    is_same = marks.fingerprint == PoolMarks.of(wanted).fingerprint
    differences = () if is_same else tuple(drift(wanted, found))
    hidden = () if is_same else tuple(not_compared(wanted, found))
    # Created by another client: whether it may be used is the user's choice.
    is_foreign = marks.fingerprint is None
    may_keep = policy != "fail" and not (policy == "reuse" and is_foreign)
    if not differences and (may_keep or marks.is_owned_by(owner)):
        how = "created from the same specification" if is_same else "in which no property differs"
        return _decide_on_same(wanted, found, owner, how=how, hidden=hidden)
    reason = f"Pool {pool_id!r} exists, created {marks.created_by}"
    if is_foreign and not differences:
        reason += ". No property differs: if_exists='ignore' uses it."
    if differences:
        reason += f" from another specification:\n{describe_drift(differences)}"
        reason += f"\n{_not_compared_text(hidden)}" if hidden else ""
    if policy == "ignore":
        return Decision(Action.KEEP, f"{reason}\nIt is used unchanged.", differences=differences)
    if policy == "recreate":
        return Decision(Action.RECREATE, f"{reason}\nIt is deleted and recreated.", differences=differences)
    if policy in ("update", "resize"):
        return _change(policy, wanted, found, differences, reason)
    return Decision(Action.REFUSE, f"{reason}\n{_REMEDIES[policy]}", differences=differences)


def _not_compared_text(names: Sequence[str]) -> str:
    return f"Not compared, because the service does not return them: {', '.join(names)}."


def _decide_on_same(
    wanted: Mapping[str, Any],
    found: Mapping[str, Any],
    owner: Mapping[str, str],
    *,
    how: str,
    hidden: tuple[str, ...],
) -> Decision:
    """Decide about a pool that does not differ: request the nodes that it did not get."""
    pool, marks = PoolSnapshot.from_rest(found), PoolMarks.of(found)
    reason = f"Pool {pool.pool_id!r} exists already, {how}"
    if hidden:
        reason += f". {_not_compared_text(hidden)} If one of them is new, delete the pool first"
    errors = unmet(pool)
    if not errors:
        return Decision(Action.KEEP, f"{reason}.", not_compared=hidden)
    reason += f". It got {pool.current} of {pool.target} nodes: {'; '.join(map(str, errors))}"
    current, selected = str(found.get("vmSize")), str(wanted["vmSize"])
    # A pool without nodes runs nothing, but another Dag run may be waiting for them.
    is_ours = marks.is_owned_by(owner) and not marks.is_shared
    if current.lower() != selected.lower() and pool.current == 0 and is_ours:
        reason += f"\nIt is deleted and recreated with VM size {selected!r} instead of {current!r}."
        return Decision(Action.RECREATE, reason)
    targets = {"targetDedicatedNodes": pool.target_dedicated, "targetLowPriorityNodes": pool.target_spot}
    plan = ChangePlan(resize=targets)
    return Decision(Action.KEEP, f"{reason}\nThey are requested again.", plan, not_compared=hidden)


def _change(
    policy: IfExists,
    wanted: Mapping[str, Any],
    found: Mapping[str, Any],
    differences: tuple[Difference, ...],
    reason: str,
) -> Decision:
    plan = plan_changes(wanted, found, differences, only_scale=policy == "resize")
    if not plan.impossible:
        return Decision(Action.CHANGE, f"{reason}\nIt is changed in place.", plan, differences)
    names = ", ".join(dict.fromkeys(item.property_name for item in plan.impossible))
    why = f"if_exists={policy!r} cannot change {names}. Nothing was changed."
    return Decision(Action.REFUSE, f"{reason}\n{why} {_REMEDIES[policy]}", differences=differences)
