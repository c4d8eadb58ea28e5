"""When a full quota of jobs or pools has room again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

RoomKind: TypeAlias = Literal["jobs", "pools"]
"""What a quota limits: the active jobs, or the pools of an account."""

ROOM_OF_CODE: Mapping[str, RoomKind] = {
    "ActiveJobAndScheduleQuotaReached": "jobs",
    "PoolQuotaReached": "pools",
}
"""The quota that has refused a create, by the service's error code."""

QUOTA_OF: Mapping[RoomKind, str] = {"jobs": "quota of active jobs", "pools": "quota of pools"}
REMEDY_OF: Mapping[RoomKind, str] = {
    "jobs": "End jobs that are done, or ask for a higher job quota.",
    "pools": "Delete pools that are no longer used, or ask for a higher pool quota.",
}

_TRIED_AFTER = 60.0
"""
Seconds after which one create is let through without visible room.

The service does not report a quota: it may have been raised, or was not full when it was first counted.
"""


@dataclass
class Room:
    """
    How many of the waiting creates may go on: one for each job or pool that has ended.

    :param began: when the wait began, in seconds on any clock.
    """

    began: float
    full: int = field(default=0, init=False)
    free: int = field(default=0, init=False)
    turn: int = field(default=-1, init=False)

    def take(self, count: int, turn: int, now: float) -> bool:
        """
        Return whether one more create may go on.

        :param count: how many there are in the account.
        :param turn: the number of this count; each gives room once.
        :param now: seconds on the same clock.
        """
        if turn != self.turn:
            self.turn, self.free = turn, max(0, self.full - count)
            # The quota is at least what there has been.
            self.full = max(self.full, count)
            if not self.free and now >= self.began + _TRIED_AFTER:
                self.began, self.free = now, 1
        if not self.free:
            return False
        self.free -= 1
        return True
