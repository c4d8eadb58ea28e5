"""The sensors that wait until a pool's resize is over, and until a pool is gone."""

from __future__ import annotations

from airflow_provider_batchlinux.sensors._base import BatchLinuxPoolSensor
from airflow_provider_batchlinux.triggers.pool import (
    BatchLinuxPoolGoneTrigger,
    BatchLinuxPoolSteadyTrigger,
)

__all__ = ["BatchLinuxPoolGoneSensor", "BatchLinuxPoolSteadySensor"]


class BatchLinuxPoolSteadySensor(BatchLinuxPoolSensor):
    """
    Wait until a pool neither resizes nor stops a resize.

    Steady says nothing about the nodes: they may still boot, or be fewer than asked for. The task fails at
    once when there is no such pool, or it is being deleted.

    Result in XCom: ``pool_id``, ``dedicated`` and ``spot`` (each with ``current`` and ``target``), and
    ``resize_errors``, the sentences of the errors that the service keeps of the last resize.

    :param pool_id: the pool. (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. ``mode="reschedule"`` frees the worker too, at the price of a
        worker's start for every look.
    :param poke_interval: how long between two looks, as a ``timedelta`` or seconds.
    :param timeout: how long to wait at most from the task's first start, as a ``timedelta`` or seconds.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    def trigger(self, deadline: float | None = None) -> BatchLinuxPoolSteadyTrigger:
        """Give the trigger that waits for the same."""
        return BatchLinuxPoolSteadyTrigger(
            pool_id=self.pool_id,
            batch_linux_conn_id=self.batch_linux_conn_id,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )


class BatchLinuxPoolGoneSensor(BatchLinuxPoolSensor):
    """
    Wait until the service knows no pool of an id, whoever deletes it.

    Result in XCom: ``pool_id``.

    :param pool_id: the pool. (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. ``mode="reschedule"`` frees the worker too, at the price of a
        worker's start for every look.
    :param poke_interval: how long between two looks, as a ``timedelta`` or seconds.
    :param timeout: how long to wait at most from the task's first start, as a ``timedelta`` or seconds.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    def trigger(self, deadline: float | None = None) -> BatchLinuxPoolGoneTrigger:
        """Give the trigger that waits for the same."""
        return BatchLinuxPoolGoneTrigger(
            pool_id=self.pool_id,
            batch_linux_conn_id=self.batch_linux_conn_id,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )
