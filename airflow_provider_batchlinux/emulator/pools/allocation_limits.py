"""How many nodes a pool gets and why not more, and the words for that; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_batchlinux.emulator.state.records import Json

_SENTENCES: Mapping[str, str] = {
    "ResizeStopped": "Desired number of {kind} nodes could not be allocated due to a stop resize operation",
    "AllocationTimedout": (
        "Desired number of {kind} nodes could not be allocated as the resize timeout was reached"
    ),
    # The sentences of the quotas are assumed.
    "AccountCoreQuotaReached": "The account has reached its dedicated core quota",
    "AccountSpotCoreQuotaReached": "The account has reached its Spot core quota",
    "CommunicationEnabledPoolReachedMaxVMCount": (
        "A pool with inter-node communication enabled has reached its maximum number of VMs"
    ),
}


@dataclass(frozen=True)
class Limit:
    """No more than so many nodes can come, and the code that says why."""

    code: str
    nodes: int


@dataclass(frozen=True)
class Allocated:
    """
    How many nodes come, and why not all.

    :param shortage: code of the resize error; ``None`` if all come.
    """

    nodes: int
    shortage: str | None = None

    @property
    def may_continue(self) -> bool:
        """Whether more nodes may still come before the time of the resize is over."""
        return self.shortage == "AllocationTimedout"


def allocate_within(missing: int, limits: list[Limit]) -> Allocated:
    """Return what comes of so many nodes; the tightest limit gives the reason, of equal ones the first."""
    tightest = min(limits, key=lambda limit: limit.nodes, default=None)
    if tightest is None or max(0, tightest.nodes) >= missing:
        return Allocated(missing)
    return Allocated(max(0, tightest.nodes), tightest.code)


def resize_error(code: str, *, is_dedicated: bool) -> Json:
    """Return a resize error as the service shows it."""
    kind = "dedicated" if is_dedicated else "low priority"
    return {"code": code, "message": _SENTENCES[code].format(kind=kind)}
