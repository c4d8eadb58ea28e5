"""The triggers that wait until a pool is gone, until its resize is over, until it has a size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_batchlinux.triggers._base import BatchLinuxPoolTrigger

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.pool_resize import ResizeWait
    from airflow_provider_batchlinux.client.pool_steady import PoolSteadyWait
    from airflow_provider_batchlinux.client.pools import PoolGoneWait

__all__ = ["BatchLinuxPoolGoneTrigger", "BatchLinuxPoolResizedTrigger", "BatchLinuxPoolSteadyTrigger"]


class BatchLinuxPoolGoneTrigger(BatchLinuxPoolTrigger):
    """
    Fire when the service knows the pool no more.

    Killing the task leaves the deletion to go on: it cannot be called back.
    """

    def wait(self, client: BatchLinuxClient) -> PoolGoneWait:
        """Wait for the pool to be gone."""
        from airflow_provider_batchlinux.client.pools import PoolGoneWait

        return PoolGoneWait(client, self.pool_id)


class BatchLinuxPoolSteadyTrigger(BatchLinuxPoolTrigger):
    """Fire when a pool neither resizes nor stops a resize."""

    def wait(self, client: BatchLinuxClient) -> PoolSteadyWait:
        """Wait for the pool to be steady."""
        from airflow_provider_batchlinux.client.pool_steady import PoolSteadyWait

        return PoolSteadyWait(client, self.pool_id)


class BatchLinuxPoolResizedTrigger(BatchLinuxPoolTrigger):
    """
    Fire when a pool has the numbers of nodes that were asked for, or will not get them.

    Killing the task leaves the resize to go on.

    :param dedicated_nodes: the dedicated nodes that it is to have; ``None`` leaves their number.
    :param spot_nodes: the spot nodes that it is to have; ``None`` leaves their number.
    :param resize_timeout: seconds the service may look for nodes; ``None`` is its own 15 minutes.
    :param running_tasks: what becomes of tasks on nodes that go.
    :param accept_partial: fewer nodes than asked for do.
    :param asked: the service has been asked already.
    """

    def __init__(
        self,
        *,
        pool_id: str,
        dedicated_nodes: int | None,
        spot_nodes: int | None,
        resize_timeout: float | None,
        running_tasks: str,
        accept_partial: bool,
        asked: bool,
        batch_linux_conn_id: str,
        poll_interval: float,
        deadline: float | None = None,
    ) -> None:
        super().__init__(
            pool_id=pool_id,
            batch_linux_conn_id=batch_linux_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
        )
        self.dedicated_nodes = dedicated_nodes
        self.spot_nodes = spot_nodes
        self.resize_timeout = resize_timeout
        self.running_tasks = running_tasks
        self.accept_partial = accept_partial
        self.asked = asked

    def wait(self, client: BatchLinuxClient) -> ResizeWait:
        """Ask for the resize, where that is still to be done, and wait for its end."""
        from airflow_provider_batchlinux.client.pool_resize import ResizeWait
        from airflow_provider_batchlinux.core.resize import ResizeSpec

        spec = ResizeSpec(
            dedicated_nodes=self.dedicated_nodes,
            spot_nodes=self.spot_nodes,
            resize_timeout=self.resize_timeout,
            running_tasks=self.running_tasks,
            accept_partial=self.accept_partial,
        )
        return ResizeWait(client, self.pool_id, spec, asked=self.asked)
