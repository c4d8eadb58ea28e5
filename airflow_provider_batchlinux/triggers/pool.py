"""The trigger that waits until a pool is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.pools import PoolGoneWait

__all__ = ["BatchLinuxPoolGoneTrigger"]


class BatchLinuxPoolGoneTrigger(BatchLinuxTrigger):
    """
    Fire when the service knows the pool no more.

    Killing the task leaves the deletion to go on: it cannot be called back.

    :param pool_id: the pool that is being deleted.
    """

    def __init__(
        self,
        *,
        pool_id: str,
        batch_linux_conn_id: str,
        poll_interval: float,
        deadline: float | None = None,
    ) -> None:
        super().__init__(
            batch_linux_conn_id=batch_linux_conn_id, poll_interval=poll_interval, deadline=deadline
        )
        self.pool_id = pool_id

    def wait(self, client: BatchLinuxClient) -> PoolGoneWait:
        """Wait for the pool to be gone."""
        from airflow_provider_batchlinux.client.pools import PoolGoneWait

        return PoolGoneWait(client, self.pool_id)
