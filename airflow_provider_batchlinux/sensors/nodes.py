"""The sensor that waits until a pool's nodes are ready for work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_batchlinux.core.ids import require_id
from airflow_provider_batchlinux.exceptions import WaitTimeoutError
from airflow_provider_batchlinux.hooks.batch_linux import DEFAULT_CONN_ID, BatchLinuxHook
from airflow_provider_batchlinux.operators._base import deadline_of, defer_to, result_of
from airflow_provider_batchlinux.triggers.nodes import BatchLinuxNodesIdleTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.batch import BatchLinuxClient

__all__ = ["BatchLinuxNodesIdleSensor"]


class BatchLinuxNodesIdleSensor(BaseSensorOperator):
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

    template_fields: Sequence[str] = ("batch_linux_conn_id", "pool_id")
    ui_color = "#e3f3d8"

    def __init__(
        self,
        *,
        pool_id: str,
        allow_empty: bool = False,
        running_is_ready: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: timedelta | float = 30,
        timeout: timedelta | float = 3600,
        batch_linux_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.pool_id = pool_id
        self.allow_empty = allow_empty
        self.running_is_ready = running_is_ready
        self.deferrable = deferrable
        self.batch_linux_conn_id = batch_linux_conn_id
        self._told = ""

    def execute(self, context: Context) -> Any:
        """Wait in the way that was chosen."""
        if not self.deferrable:
            return super().execute(context)
        found = self.poke(context)
        if found.is_done:
            return found.xcom_value
        return defer_to(self, self._trigger(deadline_of(context, timedelta(seconds=self.timeout))))

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002
        """Look once."""
        require_id("pool_id", self.pool_id)

        async def story(client: BatchLinuxClient) -> tuple[dict[str, Any] | None, str]:
            wait = self._trigger().wait(client)
            return await wait.look(), wait.progress

        result, progress = BatchLinuxHook(self.batch_linux_conn_id).run(story)
        if progress != self._told:
            self._told = progress
            self.log.info("%s", progress)
        return PokeReturnValue(is_done=result is not None, xcom_value=result)

    def _trigger(self, deadline: float | None = None) -> BatchLinuxNodesIdleTrigger:
        return BatchLinuxNodesIdleTrigger(
            pool_id=self.pool_id,
            batch_linux_conn_id=self.batch_linux_conn_id,
            poll_interval=self.poke_interval,
            deadline=deadline,
            allow_empty=self.allow_empty,
            running_is_ready=self.running_is_ready,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Take the trigger's event as the result, or raise what it reports."""
        try:
            return result_of(event)
        except WaitTimeoutError as error:
            msg = f"{error} (timeout: {self.timeout:g} s)"
            raise AirflowSensorTimeout(msg) from error
