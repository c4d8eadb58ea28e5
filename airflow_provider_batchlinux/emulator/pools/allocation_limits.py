"""Limits of an allocation, and the resize errors they cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_batchlinux.emulator.state.records import Json

_MESSAGES: Mapping[str, str] = {
    "ResizeStopped": "Desired number of {kind} nodes could not be allocated due to a stop resize operation",
    "AllocationTimedout": (
        "Desired number of {kind} nodes could not be allocated as the resize timeout was reached"
    ),
    "AllocationFailed": "Desired number of {kind} nodes could not be allocated",
    # The messages of the quotas are assumed.
    "AccountCoreQuotaReached": "The account has reached its dedicated core quota",
    "AccountSpotCoreQuotaReached": "The account has reached its Spot core quota",
    "CommunicationEnabledPoolReachedMaxVMCount": (
        "A pool with inter-node communication enabled has reached its maximum number of VMs"
    ),
}


@dataclass(frozen=True)
class Limit:
    """
    A maximum number of new nodes, and the resize error if it is reached.

    :param code: the code of the error.
    :param values: the details of the error.
    """

    code: str
    nodes: int
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Allocated:
    """
    The result of an allocation.

    :param nodes: number of new nodes.
    :param shortage: the limit that was reached; ``None`` if all missing nodes are allocated.
    :param is_partial: whether some of these nodes are added in the next turn.
    """

    nodes: int
    shortage: Limit | None = None
    is_partial: bool = False

    @property
    def may_continue(self) -> bool:
        """Whether more nodes may be allocated before the resize time-out."""
        return self.shortage is not None and self.shortage.code == "AllocationTimedout"


def allocate_within(missing: int, limits: list[Limit]) -> Allocated:
    """Return the allocation of a number of missing nodes under limits. Of equal limits the first counts."""
    tightest = min(limits, key=lambda limit: limit.nodes, default=None)
    if tightest is None or max(0, tightest.nodes) >= missing:
        return Allocated(missing)
    return Allocated(max(0, tightest.nodes), tightest)


def resize_error(code: str, *, is_dedicated: bool, values: Mapping[str, str] | None = None) -> Json:
    """Return a resize error."""
    kind = "dedicated" if is_dedicated else "low priority"
    error = {"code": code, "message": _MESSAGES[code].format(kind=kind)}
    pairs = [{"name": name, "value": value} for name, value in (values or {}).items()]
    return {**error, "values": pairs} if pairs else error
