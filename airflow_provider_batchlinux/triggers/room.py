"""The trigger that waits until a full quota has room again."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.waits.loop import WaitSchedule
    from airflow_provider_batchlinux.client.waits.room import RoomWait
    from airflow_provider_batchlinux.client.waits.shared_account import SharedAccount
    from airflow_provider_batchlinux.core.room import RoomKind
    from airflow_provider_batchlinux.triggers._base import WaitArguments

__all__ = ["BatchLinuxRoomTrigger"]


class BatchLinuxRoomTrigger(BatchLinuxTrigger):
    """
    Fire when there may be room for one more job or pool.

    :param kind: ``jobs`` or ``pools``.
    :param then: the deadline of what is waited for afterwards, as arguments of its trigger.
    """

    def __init__(
        self, *, kind: RoomKind, then: Mapping[str, Any] | None = None, **common: Unpack[WaitArguments]
    ) -> None:
        super().__init__(**common)
        self.kind: RoomKind = kind
        self.then = dict(then or {})

    def wait(self, client: BatchLinuxClient) -> RoomWait:
        """Wait for room, on a worker."""
        from airflow_provider_batchlinux.client.waits.room import room_wait

        return room_wait(client, self.kind)

    async def run_on_worker(self, client: BatchLinuxClient, *, block: bool) -> dict[str, Any] | None:
        """Wait on a worker; a wait that is to be deferred is not begun, as the quota has just been full."""
        return await super().run_on_worker(client, block=block) if block else None

    def schedule(self, *, first_wait: float) -> WaitSchedule:
        """Return how often to poll: at the interval, also in the beginning."""
        from airflow_provider_batchlinux.client.waits.loop import WaitSchedule

        return WaitSchedule(self.poll_interval, self.deadline, first_wait)

    def _result_at(self, account: SharedAccount) -> Awaitable[dict[str, Any]]:
        from airflow_provider_batchlinux.client.waits.watching import wait_for_room

        return wait_for_room(account, self.kind, self.schedule(first_wait=self.first_wait))
