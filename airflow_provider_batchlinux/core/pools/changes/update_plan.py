"""Plan the changes that turn a pool into the requested one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_batchlinux.core.pools.changes.diff import Difference

_SCALE = frozenset(
    {
        "targetDedicatedNodes",
        "targetLowPriorityNodes",
        "enableAutoScale",
        "autoScaleFormula",
        "autoScaleEvaluationInterval",
        "resizeTimeout",
    }
)
# "updated only when the pool is empty": the descriptions of BatchPoolUpdateOptions, 2025-06-01.
_ANY_TIME = frozenset({"startTask", "metadata", "applicationPackageReferences", "tags"})
_WHEN_EMPTY = frozenset(
    {
        "displayName",
        "vmSize",
        "taskSlotsPerNode",
        "taskSchedulingPolicy",
        "enableInterNodeCommunication",
        "virtualMachineConfiguration",
        "networkConfiguration",
        "userAccounts",
        "mountConfiguration",
        "upgradePolicy",
        "identity",
    }
)


@dataclass(frozen=True)
class ChangePlan:
    """
    What to ask of the service, in this order.

    :param patch: properties to change in place, whole.
    :param disable_autoscale: stop the formula before a resize.
    :param resize: the body of a resize; ``None`` for none.
    :param autoscale: the body that enables autoscale or changes its formula; ``None`` for none.
    :param impossible: what cannot be changed on this pool as it is.
    """

    patch: Mapping[str, Any] = field(default_factory=dict, repr=False)
    disable_autoscale: bool = False
    resize: Mapping[str, Any] | None = None
    autoscale: Mapping[str, Any] | None = None
    impossible: tuple[Difference, ...] = ()

    @property
    def changes_scale(self) -> bool:
        """Whether the pool has to be steady for it."""
        return self.resize is not None or self.autoscale is not None


def plan_changes(
    wanted: Mapping[str, Any],
    found: Mapping[str, Any],
    differences: Sequence[Difference],
    *,
    only_scale: bool = False,
) -> ChangePlan:
    """
    Plan the changes that turn a pool into the requested one.

    A new start task runs on nodes that boot from then on. A property can only be removed if the service
    accepts an empty list for it.

    :param wanted: the body that would create the pool.
    :param found: the pool as the service answers it.
    :param differences: how they differ.
    :param only_scale: change the numbers of nodes, or their formula, and nothing else.
    """
    names = {difference.property_name for difference in differences}
    possible = _SCALE if only_scale else _SCALE | _ANY_TIME | (_WHEN_EMPTY if _is_empty(found) else set())
    removable = {"metadata", "applicationPackageReferences"}
    gone = {name for name in names - _SCALE - removable if name not in wanted}
    changed = names & possible - gone
    impossible = tuple(item for item in differences if item.property_name not in changed)
    if impossible:
        return ChangePlan(impossible=impossible)
    patch = {name: wanted.get(name, []) for name in sorted(changed - _SCALE)}
    return ChangePlan(patch, *_scaling(wanted, found, names & _SCALE))


def _scaling(
    wanted: Mapping[str, Any], found: Mapping[str, Any], names: set[str]
) -> tuple[bool, Mapping[str, Any] | None, Mapping[str, Any] | None]:
    if not names:
        return False, None, None
    if wanted.get("enableAutoScale"):
        parts = ("autoScaleFormula", "autoScaleEvaluationInterval")
        return False, None, {name: wanted[name] for name in parts if name in wanted}
    resize = {name: wanted.get(name, 0) for name in ("targetDedicatedNodes", "targetLowPriorityNodes")}
    if "resizeTimeout" in wanted:
        resize["resizeTimeout"] = wanted["resizeTimeout"]
    return bool(found.get("enableAutoScale")), resize, None


def _is_empty(found: Mapping[str, Any]) -> bool:
    counts = (
        f"{which}{kind}Nodes" for which in ("current", "target") for kind in ("Dedicated", "LowPriority")
    )
    return not found.get("enableAutoScale") and not any(found.get(name) for name in counts)
