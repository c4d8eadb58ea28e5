"""The trigger that waits until a pool's nodes are idle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.nodes import NodesIdleWait

__all__ = ["BatchLinuxNodesIdleTrigger"]


class BatchLinuxNodesIdleTrigger(BatchLinuxTrigger):
    """
    Fire when all nodes that a pool asks for are idle, or when they will not become so.

    :param pool_id: the pool.
    :param allow_empty: a pool that asks for no nodes is ready.
    :param running_is_ready: a node that runs a task counts like an idle one.
    """

    def __init__(
        self,
        *,
        pool_id: str,
        batch_linux_conn_id: str,
        poll_interval: float,
        deadline: float | None = None,
        allow_empty: bool = False,
        running_is_ready: bool = False,
    ) -> None:
        super().__init__(
            batch_linux_conn_id=batch_linux_conn_id, poll_interval=poll_interval, deadline=deadline
        )
        self.pool_id = pool_id
        self.allow_empty = allow_empty
        self.running_is_ready = running_is_ready

    @property
    def followed_pool(self) -> str:
        """The pool, which the poller that all waits share can tell of."""
        return self.pool_id

    def wait(self, client: BatchLinuxClient) -> NodesIdleWait:
        """Wait for the nodes, judged as the sensor judges them."""
        from airflow_provider_batchlinux.client.nodes import NodesIdleWait
        from airflow_provider_batchlinux.core.readiness import ReadinessPolicy

        policy = ReadinessPolicy(allow_empty=self.allow_empty, running_is_ready=self.running_is_ready)
        return NodesIdleWait(client, self.pool_id, policy)
