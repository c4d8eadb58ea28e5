"""What all sensors of this provider share: one look, the three ways of waiting, the time-out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_batchlinux.core.ids import require_id
from airflow_provider_batchlinux.exceptions import WaitTimeoutError
from airflow_provider_batchlinux.hooks.batch_linux import DEFAULT_CONN_ID, BatchLinuxHook
from airflow_provider_batchlinux.links.portal import BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._base import deadline_of, defer_to, result_of
from airflow_provider_batchlinux.sensors._metrics import counted_failures

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger

__all__ = ["BatchLinuxPoolSensor"]


class BatchLinuxPoolSensor(BaseSensorOperator):
    """
    The base of the sensors that wait for something about a pool.

    :param pool_id: the pool. (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. ``mode="reschedule"`` frees the worker too, at the price of a
        worker's start for every look.
    :param poke_interval: how long between two looks, as a ``timedelta`` or seconds.
    :param timeout: how long to wait at most from the task's first start, as a ``timedelta`` or seconds.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields: Sequence[str] = ("batch_linux_conn_id", "pool_id")
    operator_extra_links = (BatchLinuxPoolLink(),)
    ui_color = "#e3f3d8"

    def __init__(
        self,
        *,
        pool_id: str,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: timedelta | float = 30,
        timeout: timedelta | float = 3600,
        batch_linux_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.pool_id = pool_id
        self.deferrable = deferrable
        self.batch_linux_conn_id = batch_linux_conn_id
        self._told = ""

    @abstractmethod
    def trigger(self, deadline: float | None = None) -> BatchLinuxTrigger:
        """
        Give the trigger that waits for the same.

        :param deadline: seconds since the epoch after which it gives up; ``None`` for never.
        """

    def execute(self, context: Context) -> Any:
        """Wait in the way that was chosen."""
        self._store_link(context)
        with counted_failures(context):
            if not self.deferrable:
                return self._poke_on(context)
            found = self._first_look(context)
        if found.is_done:
            return found.xcom_value
        return defer_to(self, self.trigger(deadline_of(context, timedelta(seconds=self.timeout))))

    def _poke_on(self, context: Context) -> Any:
        try:
            return super().execute(context)
        except AirflowSensorTimeout as error:
            if not self._told:
                raise
            # Airflow's own words are of the time alone.
            msg = f"{error} Last status: {self._told}"
            raise AirflowSensorTimeout(msg) from None

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Take up after the triggerer, or after Airflow's own time-out in its place."""
        with counted_failures(context):
            return super().resume_execution(next_method, next_kwargs, context)

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002
        """Look once."""
        require_id("pool_id", self.pool_id)

        async def story(client: BatchLinuxClient) -> tuple[dict[str, Any] | None, str]:
            wait = self.trigger().wait(client)
            return await wait.poll(), wait.status

        result, status = BatchLinuxHook(self.batch_linux_conn_id).run(story)
        if status != self._told:
            self._told = status
            self.log.info("%s", status)
        return PokeReturnValue(is_done=result is not None, xcom_value=result)

    def _store_link(self, context: Context) -> None:
        try:
            settings = BatchLinuxHook(self.batch_linux_conn_id).settings()
        except Exception:  # what is wrong with the connection is told by the first look
            return
        BatchLinuxPoolLink.persist(context, settings, self.pool_id)

    def _first_look(self, context: Context) -> PokeReturnValue:
        try:
            return self.poke(context)
        except Exception as error:  # as Airflow does it for the looks of its own loop
            if not self.never_fail:
                raise
            msg = "Skipping due to never_fail is set to True."
            raise AirflowSkipException(msg) from error

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Take the trigger's event as the result, or raise what it reports."""
        try:
            return result_of(event)
        except WaitTimeoutError as error:
            msg = f"{error} (timeout: {self.timeout:g} s)"
            raise AirflowSensorTimeout(msg) from error
