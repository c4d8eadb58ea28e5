"""What to do about a pool that is there already; imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from airflow_provider_batchlinux.core.pool_metadata import (
    describe_owner,
    fingerprint_of,
    is_owned_by,
    is_shared,
    metadata_of,
)
from airflow_provider_batchlinux.core.pools.changes.diff import Difference, describe_drift, drift
from airflow_provider_batchlinux.core.pools.changes.resize import unmet
from airflow_provider_batchlinux.core.pools.changes.update_plan import ChangePlan, plan_changes
from airflow_provider_batchlinux.core.snapshots import PoolSnapshot

__all__ = ["Action", "Decision", "IfExists", "decide"]

IfExists = Literal["reuse", "fail", "update", "resize", "recreate", "ignore"]

_REMEDIES = {
    "reuse": "Choose another pool_id, delete that pool first, or say by if_exists what shall become of it.",
    "fail": "Choose another pool_id, or delete that pool first.",
    "update": "Resize it to no nodes for what only an empty pool can change, choose another pool_id, or pass"
    " if_exists='recreate'.",
    "resize": "Choose another pool_id, or pass if_exists='update' or 'recreate'.",
}


class Action(str, Enum):
    """What is done about the pool."""

    KEEP = "keep"
    CHANGE = "change"
    RECREATE = "recreate"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Decision:
    """
    What to do about a pool that is there, and why.

    :param reason: one sentence for people, with the differences where there are any.
    :param plan: the changes, for :attr:`Action.CHANGE`; a pool that is kept may be asked for its nodes again.
    :param differences: how the pool differs from what was asked for.
    """

    action: Action
    reason: str
    plan: ChangePlan = field(default_factory=ChangePlan)
    differences: tuple[Difference, ...] = ()


def decide(
    policy: IfExists,
    wanted: Mapping[str, Any],
    found: Mapping[str, Any],
    *,
    owner: Mapping[str, str],
) -> Decision:
    """
    Decide what becomes of a pool that is there under the wanted id.

    A pool of the same fingerprint that the same task instance made is what an earlier try of it left behind,
    and is kept under every policy. Nodes that it did not get, such as for want of capacity, are asked for
    again; where another VM size is wanted by now, an own pool that got none at all gives way to one of that
    size.

    :param policy: what the user chose.
    :param wanted: the body that would create the pool, with the provider's marks.
    :param found: the pool as the service answers it.
    :param owner: the task instance that asks, as its marks name it.
    """
    pool_id = str(found["id"])
    is_same = fingerprint_of(found) == fingerprint_of(wanted)
    if is_same and (policy != "fail" or is_owned_by(found, owner)):
        return _decide_on_own(wanted, found, owner)
    differences = tuple(drift(wanted, found))
    told = f"Pool {pool_id!r} exists, made {describe_owner(found)}"
    if not is_same:
        told += f" from another spec:\n{describe_drift(differences)}"
    if policy == "ignore":
        return Decision(Action.KEEP, f"{told}\nIt is taken as it is.", differences=differences)
    if policy == "recreate":
        return Decision(Action.RECREATE, f"{told}\nIt is deleted and made anew.", differences=differences)
    if policy in ("update", "resize"):
        return _change(policy, wanted, found, differences, told)
    return Decision(Action.REFUSE, f"{told}\n{_REMEDIES[policy]}", differences=differences)


def _decide_on_own(wanted: Mapping[str, Any], found: Mapping[str, Any], owner: Mapping[str, str]) -> Decision:
    """Decide about a pool of the same spec: what it did not get is asked for again."""
    pool = PoolSnapshot.from_rest(found)
    told = f"Pool {pool.pool_id!r} is there already, made from the same spec"
    errors = unmet(pool)
    if not errors:
        return Decision(Action.KEEP, f"{told}.")
    told += f", and got {pool.current} of {pool.target} nodes: {'; '.join(map(str, errors))}"
    sizes = str(found.get("vmSize")), str(wanted["vmSize"])
    is_ours = is_owned_by(found, owner) and not is_shared(metadata_of(found))
    if sizes[0].lower() != sizes[1].lower() and pool.current == 0 and is_ours:
        told += f"\nIt is deleted, and made anew of VM size {sizes[1]!r} instead of {sizes[0]!r}."
        return Decision(Action.RECREATE, told)
    targets = {"targetDedicatedNodes": pool.target_dedicated, "targetLowPriorityNodes": pool.target_spot}
    return Decision(Action.KEEP, f"{told}\nIt is asked for them again.", ChangePlan(resize=targets))


def _change(
    policy: IfExists,
    wanted: Mapping[str, Any],
    found: Mapping[str, Any],
    differences: tuple[Difference, ...],
    told: str,
) -> Decision:
    plan = plan_changes(wanted, found, differences, only_scale=policy == "resize")
    if not plan.impossible:
        return Decision(Action.CHANGE, f"{told}\nIt is changed in place.", plan, differences)
    names = ", ".join(dict.fromkeys(item.property_name for item in plan.impossible))
    why = f"Not to be changed on it by if_exists={policy!r}: {names}. Nothing was changed."
    return Decision(Action.REFUSE, f"{told}\n{why} {_REMEDIES[policy]}", differences=differences)
