"""The base of all sensors: one poll, the three ways of waiting, the time-out."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_batchlinux._metrics import counted_failures
from airflow_provider_batchlinux.core.poll_interval import SOONEST_OF_NODES, interval_after
from airflow_provider_batchlinux.exceptions import WaitTimeoutError
from airflow_provider_batchlinux.hooks.batch_linux import DEFAULT_CONN_ID, BatchLinuxHook
from airflow_provider_batchlinux.links._base import persist_links
from airflow_provider_batchlinux.links.pool_page import BatchLinuxPoolPageLink
from airflow_provider_batchlinux.links.portal import BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._base import (
    TRIGGER_LOST,
    PlainFailures,
    defer_to,
    lost_wait,
    nearest_deadline,
    require_execution_time,
    result_of,
)
from airflow_provider_batchlinux.operators._parameters import ParametersMixin

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.client.waits.loop import Wait
    from airflow_provider_batchlinux.core.parameters.requests import SensorRequest
    from airflow_provider_batchlinux.core.pools.requests import PoolSensorRequest
    from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxSession
    from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger

    S = TypeVar("S", bound=SensorRequest)
    P = TypeVar("P", bound=PoolSensorRequest)
else:
    S = TypeVar("S")
    P = TypeVar("P")

T = TypeVar("T")


class BatchLinuxSensor(PlainFailures, ParametersMixin[S], BaseSensorOperator):
    """
    The base of all sensors.

    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. ``mode="reschedule"`` frees the worker too, but starts a worker
        process for each poll, which knows nothing of the earlier ones.
    :param poke_interval: the longest time between two polls, as a ``timedelta`` or seconds. After a change,
        polls are 5 s apart, and then slow down.
    :param timeout: how long to wait at most from the task's first start, as a ``timedelta`` or seconds.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    ui_color = "#e3f3d8"

    def __init__(
        self,
        *,
        deferrable: bool | str = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: timedelta | float = 30,
        timeout: timedelta | float = 3600,
        batch_linux_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.deferrable = deferrable
        self.batch_linux_conn_id = batch_linux_conn_id
        self._status = ""
        self._changed_at = time.monotonic()
        self._session: BatchLinuxSession | None = None
        self._waiting: tuple[BatchLinuxClient, Wait] | None = None
        # Set when the wait has begun: a kill may come while parameters are rendered, or a connection is read.
        self._cancelled_by_kill: tuple[BatchLinuxTrigger, AccountSettings] | None = None

    @cached_property
    def hook(self) -> BatchLinuxHook:
        """The hook of the connection; created when the task runs."""
        return BatchLinuxHook(self.request.batch_linux_conn_id)

    @abstractmethod
    def trigger(self, deadline: float | None = None) -> BatchLinuxTrigger:
        """
        Return the trigger that waits for the same.

        :param deadline: seconds since the epoch after which it times out; ``None`` for never.
        """

    def execute(self, context: Context) -> Any:
        """Wait on this worker, or poll once and wait on the triggerer."""
        with self._one_session(context):
            if not self.request.deferrable:
                return self.finish(self._poke_until_done(context), context)
            try:
                found = self.poke(context)
            except Exception as error:  # as in the loop of Airflow's own sensor
                if not self.never_fail:
                    raise
                msg = "Skipping due to never_fail is set to True."
                raise AirflowSkipException(msg) from error
            if found.is_done:
                return self.finish(found.xcom_value, context)
        return defer_to(self, self._limited_trigger(context))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after the trigger has fired, or after Airflow itself has ended the deferral."""
        try:
            with self._one_session(context):
                return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            if next_method != TRIGGER_LOST:
                raise
            raise lost_wait(self, error) from None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Return the trigger's result, or raise its error."""
        try:
            return self.finish(result_of(event), context)
        except WaitTimeoutError as error:
            require_execution_time(self, event["arguments"].get("limited_by"), error.status)
            raise self._timed_out(error.status) from error

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002
        """Poll once."""

        async def work(client: BatchLinuxClient) -> tuple[dict[str, Any] | None, str]:
            # Kept for the next poke on this worker: a wait also decides by what has not changed.
            if self._waiting is None or self._waiting[0] is not client:
                self._waiting = client, self.trigger().wait(client)
            wait = self._waiting[1]
            return await wait.poll(), wait.status

        result, status = self.run(work)
        if status != self._status:
            self._status, self._changed_at = status, time.monotonic()
            self.log.info("%s", status)
        return PokeReturnValue(is_done=result is not None, xcom_value=result)

    def _get_next_poke_interval(self, *started: Any) -> float:
        """Return the seconds to the next poke on this worker: fewer after a change."""
        asked = float(super()._get_next_poke_interval(*started))
        if self.exponential_backoff or self.reschedule:
            return asked
        return interval_after(time.monotonic() - self._changed_at, asked, SOONEST_OF_NODES)

    @property
    def linked_pool(self) -> str:
        """The pool that the links of the task lead to; empty if they lead to none."""
        return ""

    def begin(self, context: Context) -> None:
        """Prepare a run, or the rest of a run after a deferral."""

    def finish(self, result: Any, context: Context) -> Any:  # noqa: ARG002  # overrides use it
        """Return what goes to XCom; ``None`` if the sensor is rescheduled."""
        return result

    def clean_up(self, error: AirflowException) -> None:
        """Do what an error of the wait makes necessary."""

    def on_kill(self) -> None:
        """Cancel on this worker what the trigger would cancel on the triggerer."""
        if self._cancelled_by_kill is not None:
            trigger, account = self._cancelled_by_kill
            self.hook.run(trigger.try_to_cancel, settings=account)

    def run(self, work: Callable[[BatchLinuxClient], Awaitable[T]]) -> T:
        """Run a coroutine function with the client of this run."""
        return self._session.run(work) if self._session is not None else self.hook.run(work)

    def account(self) -> AccountSettings:
        """Return the account of this run."""
        return self._session.settings if self._session is not None else self.hook.settings()

    @contextmanager
    def _one_session(self, context: Context) -> Iterator[None]:
        """Use one client for a whole run; count its failure, and clean up after it."""
        with counted_failures(context), self.hook.session() as session:
            self._session = session
            try:
                self.begin(context)
                self._link(context)
                yield
            except AirflowException as error:
                self.clean_up(error)
                raise
            finally:
                self._session = self._waiting = None

    def _limited_trigger(self, context: Context) -> BatchLinuxTrigger:
        """Return the trigger with the nearest deadline, and with intervals that grow if the sensor's do."""
        trigger, timeout = self.trigger(), timedelta(seconds=self.timeout)
        nearest = nearest_deadline(context, timeout=timeout, execution_timeout=self.execution_timeout)
        trigger.deadline, trigger.limited_by = nearest["deadline"], nearest["limited_by"]
        if self.exponential_backoff:
            trigger.max_poll_interval = (self.max_wait or timeout).total_seconds()
        return trigger

    def _link(self, context: Context) -> None:
        try:
            account = self.account()
        except Exception:  # the first poll reports what is wrong with the connection
            return
        persist_links(self, context, account, self.linked_pool)
        trigger = self.trigger()
        if trigger.cancels_on_kill:
            self._cancelled_by_kill = trigger, account

    def _poke_until_done(self, context: Context) -> Any:
        try:
            return super().execute(context)
        except AirflowSensorTimeout:
            if not self._status:
                raise
            # Airflow's own message has no status.
            raise self._timed_out(self._status) from None

    def _timed_out(self, status: str) -> AirflowSensorTimeout:
        return AirflowSensorTimeout(str(WaitTimeoutError.after(timedelta(seconds=self.timeout), status)))


class BatchLinuxPoolSensor(BatchLinuxSensor[P]):
    """
    The base of the sensors that wait for something about a pool.

    :param pool_id: the pool. (templated)
    """

    operator_extra_links = (BatchLinuxPoolPageLink(), BatchLinuxPoolLink())

    def __init__(self, *, pool_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_id = pool_id

    @property
    def linked_pool(self) -> str:
        """The pool that is waited for."""
        return self.request.pool_id
