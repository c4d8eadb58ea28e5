"""Wait until a full quota has room again; all waits of an account share the count."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.core.room import QUOTA_OF, Room, RoomKind
from airflow_provider_batchlinux.exceptions import BatchRequestError


@dataclass(frozen=True)
class RoomReading:
    """
    How many jobs or pools count against a quota.

    :param turn: the number of the reading.
    """

    count: int
    turn: int = field(compare=False)
    error: BatchRequestError | None = None


class RoomReader:
    """Count the active jobs or the pools of an account, with one request for a thousand."""

    noun = "quota"
    crowd = 0

    def __init__(self, client: BatchLinuxClient) -> None:
        self._client = client

    def few(self, watched: int) -> int:
        """Return how many are read one by one: all."""
        return watched

    async def read(self, ids: Sequence[str], turn: int, watched: int = 0) -> dict[str, RoomReading]:  # noqa: ARG002
        """Return the counts of the kinds that are waited for."""
        return {kind: RoomReading(await count_of(self._client, kind), turn) for kind in ids}


async def count_of(client: BatchLinuxClient, kind: str) -> int:
    """Return how many active jobs, or how many pools, the account has."""
    if kind == "jobs":
        rows = await client.find_jobs(state="active", select=["id"])
    else:
        rows = await client.list_pools(["id"])
    return len(rows)


@dataclass
class RoomWait:
    """
    Wait for room for one create.

    :param read: returns the newest count.
    :param room: shared with the other waits for the same.
    """

    kind: RoomKind
    read: Callable[[], Awaitable[RoomReading]]
    room: Room
    clock: Callable[[], float] = time.monotonic
    status: str = field(default="", init=False)

    async def poll(self) -> dict[str, Any] | None:
        """Return the kind if there is room now, or ``None`` if it is too early."""
        reading = await self.read()
        self.status = f"The {QUOTA_OF[self.kind]} of the account is full; waiting for room."
        return {"room": self.kind} if self.room.take(reading.count, reading.turn, self.clock()) else None


def room_wait(client: BatchLinuxClient, kind: RoomKind) -> RoomWait:
    """Return a wait for a worker, which counts alone."""
    turns = itertools.count()

    async def read() -> RoomReading:
        return RoomReading(await count_of(client, kind), next(turns))

    return RoomWait(kind, read, Room(time.monotonic()))
