"""The sensors that wait until a pool is steady, and until it no longer exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow_provider_batchlinux.sensors._base import BatchLinuxPoolSensor
from airflow_provider_batchlinux.triggers.pool import (
    BatchLinuxPoolGoneTrigger,
    BatchLinuxPoolSteadyTrigger,
)

if TYPE_CHECKING:
    from airflow_provider_batchlinux.core.pools.requests import PoolSensorRequest

__all__ = ["BatchLinuxPoolGoneSensor", "BatchLinuxPoolSteadySensor"]


class _PoolStateSensor(BatchLinuxPoolSensor["PoolSensorRequest"]):
    trigger_class: ClassVar[type[BatchLinuxPoolSteadyTrigger] | type[BatchLinuxPoolGoneTrigger]]

    @classmethod
    def request_class(cls) -> type[PoolSensorRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.pools.requests import PoolSensorRequest

        return PoolSensorRequest

    def trigger(
        self, deadline: float | None = None
    ) -> BatchLinuxPoolSteadyTrigger | BatchLinuxPoolGoneTrigger:
        """Return the trigger that waits for the same."""
        return self.trigger_class(
            pool_id=self.request.pool_id,
            batch_linux_conn_id=self.request.batch_linux_conn_id,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )


class BatchLinuxPoolSteadySensor(_PoolStateSensor):
    """
    Wait until a pool is steady: it neither resizes nor stops a resize.

    A steady pool may have nodes that still boot, or fewer nodes than its target. The task fails immediately
    if the pool does not exist or is being deleted.

    .. code-block:: python

        BatchLinuxPoolSteadySensor(task_id="resized", pool_id="etl", deferrable=True)

    Result in XCom: ``pool_id``, ``dedicated`` and ``spot`` (each with ``current`` and ``target``), and
    ``resize_errors``, the messages of the errors of the last resize.

    .. seealso::
        ``docs/howto/wait-for-nodes.md``.

    :param pool_id: the pool. (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. ``mode="reschedule"`` frees the worker too, but starts a worker
        process for each poll. (templated)
    :param poke_interval: the longest time between two polls, as a ``timedelta`` or seconds.
    :param timeout: how long to wait at most from the task's first start, as a ``timedelta`` or seconds.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    trigger_class = BatchLinuxPoolSteadyTrigger


class BatchLinuxPoolGoneSensor(_PoolStateSensor):
    """
    Wait until a pool no longer exists.

    .. code-block:: python

        BatchLinuxPoolGoneSensor(task_id="deleted", pool_id="etl", deferrable=True)

    Result in XCom: ``pool_id``.

    .. seealso::
        ``docs/howto/wait-for-nodes.md``.

    :param pool_id: the pool. (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. ``mode="reschedule"`` frees the worker too, but starts a worker
        process for each poll. (templated)
    :param poke_interval: the longest time between two polls, as a ``timedelta`` or seconds.
    :param timeout: how long to wait at most from the task's first start, as a ``timedelta`` or seconds.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    trigger_class = BatchLinuxPoolGoneTrigger
