"""The triggers that wait until a pool is gone, until its resize is over, until it has a size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.triggers._base import BatchLinuxPoolTrigger
from airflow_provider_batchlinux.triggers._memory import WAIT_KEY, TriggerMemory

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.pools.resize import ResizeWait
    from airflow_provider_batchlinux.client.pools.steady import PoolGoneWait, PoolSteadyWait
    from airflow_provider_batchlinux.triggers._base import WaitArguments

__all__ = ["BatchLinuxPoolGoneTrigger", "BatchLinuxPoolResizedTrigger", "BatchLinuxPoolSteadyTrigger"]


class BatchLinuxPoolGoneTrigger(BatchLinuxPoolTrigger):
    """
    Fire when the pool no longer exists.

    A kill of the task does not stop the deletion: the service cannot cancel it.

    :param usage: what the pool's nodes have used, a part of the task's result; ``None`` if that is not known.
    """

    def __init__(
        self, *, pool_id: str, usage: dict[str, Any] | None = None, **common: Unpack[WaitArguments]
    ) -> None:
        super().__init__(pool_id=pool_id, **common)
        self.usage = usage

    def wait(self, client: BatchLinuxClient) -> PoolGoneWait:
        """Wait for the pool to be gone."""
        from airflow_provider_batchlinux.client.pools.steady import PoolGoneWait

        return PoolGoneWait(client, self.pool_id)


class BatchLinuxPoolSteadyTrigger(BatchLinuxPoolTrigger):
    """Fire when a pool neither resizes nor stops a resize."""

    def wait(self, client: BatchLinuxClient) -> PoolSteadyWait:
        """Wait for the pool to be steady."""
        from airflow_provider_batchlinux.client.pools.steady import PoolSteadyWait

        return PoolSteadyWait(client, self.pool_id)


class BatchLinuxPoolResizedTrigger(BatchLinuxPoolTrigger):
    """
    Fire when a pool has the numbers of nodes that were requested, or will not get them.

    :param resize: the numbers, and what happens to running tasks, as plain values.
    :param asked: whether the resize has been requested already.
    :param requested_at: when the service accepted it, by the service's clock, in ISO 8601; ``None`` before.
    :param until_over: wait for the end of the resize; ``False`` waits until the service has accepted it.
    :param stop_on_kill: stop the resize when the task is killed; ``False`` lets it continue.
    """

    def __init__(
        self,
        *,
        pool_id: str,
        resize: dict[str, Any],
        asked: bool = False,
        requested_at: str | None = None,
        until_over: bool = True,
        stop_on_kill: bool = True,
        **common: Unpack[WaitArguments],
    ) -> None:
        from airflow_provider_batchlinux.core.pools.changes.resize import ResizeRequest

        super().__init__(pool_id=pool_id, **common)
        self.resize = resize
        self.until_over = until_over
        self.stop_on_kill = stop_on_kill
        self._request = ResizeRequest(asked, requested_at)

    @property
    def asked(self) -> bool:
        """Whether the service has taken the request by now."""
        return self._request.asked

    @property
    def requested_at(self) -> str | None:
        """When it took it."""
        return self._request.requested_at

    def wait(self, client: BatchLinuxClient) -> ResizeWait:
        """Ask for the resize, where that is still to be done, and wait for its end."""
        from airflow_provider_batchlinux.client.pools.resize import ResizeWait
        from airflow_provider_batchlinux.core.pools.changes.resize import ResizeSpec

        spec = ResizeSpec(**self.resize)
        return ResizeWait(client, self.pool_id, spec, self._request, self.until_over, self._remember)

    async def _remember(self) -> None:
        """Store that the service was asked: if Airflow loses the trigger, the task stops the resize."""
        from airflow_provider_batchlinux.core.events import WaitEvent

        loss = "If Airflow loses this wait, the resize is not stopped"
        memory = TriggerMemory(getattr(self, "task_instance", None), WAIT_KEY, loss)
        await memory.save(WaitEvent(*self.serialize()).to_payload())

    @property
    def cancels_on_kill(self) -> bool:
        """Whether a kill stops the resize: if the service has accepted it, and that is wanted."""
        return self.stop_on_kill and self.asked

    @property
    def uncancelled(self) -> str:
        """What a cancellation that failed leaves behind."""
        return f"Pool {self.pool_id!r}: its resize could not be stopped and may go on"

    async def cancel(self, client: BatchLinuxClient) -> None:
        """Stop the resize, unless the task succeeded or the pool is resizing for another client by now."""
        if self.marked_success:
            return
        from airflow_provider_batchlinux.client.pools.resize import stop_resize_of
        from airflow_provider_batchlinux.core.pools.changes.resize import ResizeSpec

        await stop_resize_of(client, self.pool_id, ResizeSpec(**self.resize), self._request)
