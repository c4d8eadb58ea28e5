"""The subnet of a pool's nodes, and its free addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Subnet", "network_of", "subnet_in"]

_SUBNET_ID = re.compile(
    r"(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+)"
    r"/subnets/[^/]+/?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Subnet:
    """
    A subnet's addresses.

    :param limit: all that machines may have. Whether the five that Azure keeps of each subnet are among them
        is not documented; assumed that they are not, so that a pool is refused only where it surely lacks
        some.
    :param used: those that are taken.
    """

    subnet_id: str
    limit: int
    used: int

    @property
    def free(self) -> int:
        """The addresses that are left."""
        return max(self.limit - self.used, 0)


def network_of(subnet_id: str) -> str | None:
    """Give the ARM id of a subnet's virtual network; ``None`` when it is no id of a subnet."""
    found = _SUBNET_ID.fullmatch(subnet_id)
    return found.group(1) if found else None


def subnet_in(usages: Iterable[Mapping[str, Any]], subnet_id: str) -> Subnet | None:
    """
    Find a subnet among the usages of its virtual network; ``None`` when it is not there, or has no limit.

    :param usages: as ``GET .../virtualNetworks/{name}/usages`` lists them.
    """
    wanted = subnet_id.rstrip("/").lower()
    for usage in usages:
        if str(usage.get("id", "")).rstrip("/").lower() != wanted:
            continue
        limit, used = usage.get("limit"), usage.get("currentValue")
        if isinstance(limit, (int, float)) and isinstance(used, (int, float)) and limit >= 0:
            return Subnet(subnet_id, int(limit), int(used))
    return None
