"""The sensor that waits until a pool's nodes are ready for work."""

from __future__ import annotations

from typing import Any

from airflow_provider_batchlinux.sensors._base import BatchLinuxPoolSensor
from airflow_provider_batchlinux.triggers.nodes import BatchLinuxNodesIdleTrigger

__all__ = ["BatchLinuxNodesIdleSensor"]


class BatchLinuxNodesIdleSensor(BatchLinuxPoolSensor):
    """
    Wait until all nodes that a pool asks for, dedicated and spot, are idle.

    The log shows the nodes by state when they change. The task fails at once when waiting does not
    help: the pool is deleted, its resize ended with an error, a node is unusable, or a start task
    failed, whose output is then in the log and in the error.

    Result in XCom: ``pool_id`` and ``nodes``, the nodes by state.

    :param pool_id: the pool. (templated)
    :param allow_empty: a pool that asks for no nodes is ready; otherwise that fails the task, or is
        waited for while an autoscale formula may still ask for some.
    :param running_is_ready: a node that runs a task counts like an idle one; of use on a pool that
        others use too.
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. ``mode="reschedule"`` frees the worker too, at the price of a
        worker's start for every look.
    :param poke_interval: how long between two looks, as a ``timedelta`` or seconds.
    :param timeout: how long to wait at most from the task's first start, as a ``timedelta`` or seconds.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    def __init__(
        self,
        *,
        pool_id: str,
        allow_empty: bool = False,
        running_is_ready: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, **kwargs)
        self.allow_empty = allow_empty
        self.running_is_ready = running_is_ready

    def trigger(self, deadline: float | None = None) -> BatchLinuxNodesIdleTrigger:
        """Give the trigger that waits for the same."""
        return BatchLinuxNodesIdleTrigger(
            pool_id=self.pool_id,
            batch_linux_conn_id=self.batch_linux_conn_id,
            poll_interval=self.poke_interval,
            deadline=deadline,
            allow_empty=self.allow_empty,
            running_is_ready=self.running_is_ready,
        )
