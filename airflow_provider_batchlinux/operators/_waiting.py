"""The bases of the operators that act on one pool, and of those that then wait, defer and can be killed."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSkipException,
    AirflowTaskTimeout,
    conf,
)

from airflow_provider_batchlinux.core.instants import Duration
from airflow_provider_batchlinux.exceptions import BatchLinuxError, BatchQuotaError, WaitTimeoutError
from airflow_provider_batchlinux.links._base import BatchLinuxLink, persist_links
from airflow_provider_batchlinux.links.pool_page import BatchLinuxPoolPageLink
from airflow_provider_batchlinux.links.portal import BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._base import (
    TRIGGER_LOST,
    BatchLinuxBaseOperator,
    defer_to,
    in_words,
    is_last_try,
    item_of,
    lost_wait,
    nearest_deadline,
    remember_wait,
    remembered_wait,
    require_execution_time,
    result_of,
)
from airflow_provider_batchlinux.triggers._base import (
    BatchLinuxSubmittedTrigger,
    BatchLinuxTrigger,
    trigger_of,
)
from airflow_provider_batchlinux.triggers.room import BatchLinuxRoomTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.core.parameters.requests import PoolIdRequest, WaitRequest

    P = TypeVar("P", bound=PoolIdRequest)
    W = TypeVar("W", bound=WaitRequest)
else:
    P = TypeVar("P")
    W = TypeVar("W")

Result: TypeAlias = "dict[str, Any] | list[dict[str, Any]]"
"""What an operator returns to XCom."""

Step: TypeAlias = "Result | BatchLinuxTrigger"
"""What a part of a waiting operator comes to: the result, or the trigger to wait on before the next part."""

_AFTER_FAILURE_BUDGET = 30.0
"""Seconds that each request may be retried which reads what has ended before a failure."""

_AFTER_SUCCESS_BUDGET = 10.0
"""Seconds: Airflow ends a process that is not over 20 s after its success. The sweeper finds what is left."""

DEFAULT_DEFERRABLE = conf.getboolean("operators", "default_deferrable", fallback=False)
"""Whether operators wait on the triggerer by default."""


class BatchLinuxPoolOperator(BatchLinuxBaseOperator[P]):
    """
    The base of the operators that act on one pool, and link to it.

    :param pool_id: the pool's id. (templated)
    """

    operator_extra_links: tuple[BatchLinuxLink, ...] = (BatchLinuxPoolPageLink(), BatchLinuxPoolLink())
    ui_color = "#d8ecf3"

    def __init__(self, *, pool_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_id = pool_id

    def link_pool(self, context: Context) -> AccountSettings:
        """Store the link to the pool, and return the account."""
        persist_links(self, context, self.account, self.request.pool_id)
        return self.account


class BatchLinuxWaitingOperator(BatchLinuxPoolOperator[W]):
    """
    The base of the operators that start something at the service and wait until it is over.

    One path for all of them, on the worker and on the triggerer, with one client for each execute:

    - :attr:`request` checks the parameters before any request to the service;
    - :meth:`submit` starts it, and returns the trigger to wait on (or the result, if there is nothing to
      wait for);
    - the trigger polls: on the worker to the end, or once, and then on the triggerer;
    - :meth:`finish` makes the result of what the trigger found, or returns another trigger;
    - the trigger's ``cancel`` ends what was started when the task is killed, and on errors for which
      :meth:`cancels_after` says so;
    - the trigger's deadline ends the wait; :meth:`timed_out` may still make a result of it. A deadline that
      is the task's ``execution_timeout`` ends it as Airflow would on a worker: it calls ``on_kill`` and
      retries;
    - :meth:`take_back` ends what was begun when Airflow itself has ended the deferral and no try is left;
    - :meth:`what_ended` adds to the error of any failure what has ended before it.

    Subclasses spell out the parameters below, because type checkers see none behind ``**kwargs``.

    :param poll_interval: the longest time between polls, as a pendulum duration, ``timedelta`` or seconds.
    :param deferrable: wait on the triggerer and free the worker.
    """

    limit_name: str | None = None
    """The parameter that limits the wait, from the start of the try; ``None`` for no limit of its own."""

    _nearest: dict[str, Any] | None = None
    """The deadline of the wait that a resumed task continues: Airflow 3.1 forgets when the task started."""

    _room_deadline: dict[str, Any] | None = None
    """The deadline of the wait for room that a resumed task continues, if it has to wait for room again."""

    current_trigger: BatchLinuxTrigger | None = None
    """What a kill cancels. :meth:`submit` sets it if a kill in the middle of it has something to cancel."""

    def __init__(
        self,
        *,
        pool_id: str,
        poll_interval: Duration | str,
        deferrable: bool | str = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, **kwargs)
        self.poll_interval = poll_interval
        self.deferrable = deferrable

    def when_success_is_stored(self, work: Callable[[BatchLinuxClient], Awaitable[None]]) -> None:
        """
        Do something once Airflow has stored that the task has succeeded or was skipped.

        A worker can be lost before that, and the retry must find what the first try has done.
        """

        def callback(_context: Context) -> None:
            self.hook.run(lambda client: work(client.within(_AFTER_SUCCESS_BUDGET)), settings=self.account)

        # Airflow calls them after it has stored the state. The first of them has the most time.
        self.on_success_callback = [callback, *self.on_success_callback]
        self.on_skipped_callback = [callback, *self.on_skipped_callback]

    @asynccontextmanager
    async def submitting(
        self, client: BatchLinuxClient, context: Context, trigger: BatchLinuxSubmittedTrigger, id_stem: str
    ) -> AsyncIterator[None]:
        """
        Let nothing run on that no try waits for, while a job is submitted or one of an earlier try goes on.

        A kill ends the jobs of all tries. So does what fails the last try, whatever it is.

        :param trigger: what would wait for the job of this try.
        :param id_stem: the prefix of the ids of the jobs of all tries.
        """
        trigger.id_stem = id_stem
        self.current_trigger = trigger
        try:
            yield
        except BatchQuotaError:
            raise  # there may be room later
        except Exception as error:  # also of a storage connection that cannot be used
            # Otherwise a create may have no answer, and be carried out later.
            trigger.is_listed = isinstance(error, ValueError)
            if is_last_try(context):
                await trigger.try_to_cancel(client)
            raise

    @abstractmethod
    async def submit(self, client: BatchLinuxClient, context: Context) -> Step:
        """Start it."""

    async def finish(
        self,
        client: BatchLinuxClient,  # noqa: ARG002  # overrides use it, here and below
        context: Context,  # noqa: ARG002
        trigger: BatchLinuxTrigger,  # noqa: ARG002
        result: dict[str, Any],
    ) -> Step:
        """
        Return the operator's result.

        :param trigger: what was waited on, with the arguments it was made with, also in a resumed task.
        :param result: what the wait found.
        """
        return result

    async def timed_out(
        self,
        client: BatchLinuxClient,  # noqa: ARG002
        context: Context,  # noqa: ARG002
        trigger: BatchLinuxTrigger,
        error: WaitTimeoutError,
    ) -> Step:
        """Return the result of a wait that timed out; raise the error if there is none."""
        if isinstance(trigger, BatchLinuxRoomTrigger):
            from airflow_provider_batchlinux.core.room import QUOTA_OF, REMEDY_OF, ROOM_OF_CODE

            code = next(code for code, kind in ROOM_OF_CODE.items() if kind == trigger.kind)
            msg = f"The {QUOTA_OF[trigger.kind]} of the account stayed full for quota_limit. "
            raise BatchQuotaError(msg + REMEDY_OF[trigger.kind], code=code)
        raise error

    def wait_for_room(
        self, context: Context, error: BatchQuotaError, quota_limit: float | None
    ) -> BatchLinuxRoomTrigger:
        """
        Return the trigger that waits until the quota that has refused a create has room again.

        :param quota_limit: the seconds to wait at most; ``None`` does not wait.
        :raises BatchQuotaError: the error, if nothing is to be waited for.
        """
        from airflow_provider_batchlinux.core.room import QUOTA_OF, ROOM_OF_CODE

        kind = ROOM_OF_CODE.get(error.code or "")
        if kind is None or quota_limit is None:
            raise error
        self.log.info(
            "The %s is full; waiting for room for up to %g s%s.",
            QUOTA_OF[kind], quota_limit, item_of(context),
        )  # fmt: skip
        limits = {
            "quota_limit": timedelta(seconds=quota_limit),
            "execution_timeout": self.execution_timeout,
        }
        # The limit counts from the first refusal: another task may take the room before this one resumes.
        self._room_deadline = self._room_deadline or nearest_deadline(context, **limits)
        return BatchLinuxRoomTrigger(
            kind=kind,
            then=self.deadline(context),
            batch_linux_conn_id=self.request.batch_linux_conn_id,
            poll_interval=self.request.poll_interval,
            **self._room_deadline,
        )

    def continue_after_room(self, trigger: BatchLinuxTrigger) -> None:
        """Set the deadlines for another submission, if the task has waited for room."""
        if isinstance(trigger, BatchLinuxRoomTrigger):
            from airflow_provider_batchlinux.core.room import QUOTA_OF

            # Airflow 3.3.2 replaces what the triggerer has logged by the log of the next deferral.
            self.log.info("The %s has room again, or is tried again.", QUOTA_OF[trigger.kind])
            self._nearest = trigger.then or None
            self._room_deadline = {"deadline": trigger.deadline, "limited_by": trigger.limited_by}

    def start_by(self, context: Context, start_limit: float | None) -> float | None:
        """
        Return until when a command may wait for a node, in seconds since the epoch; ``None`` for no limit.

        :param start_limit: the seconds that it may wait; after a wait for room, from its end.
        """
        if start_limit is None:
            return None
        if self._room_deadline is not None:
            return time.time() + start_limit
        found: float | None = nearest_deadline(context, start_limit=timedelta(seconds=start_limit))[
            "deadline"
        ]
        return found

    def cancels_after(self, error: Exception, context: Context) -> bool:  # noqa: ARG002
        """Return whether a wait that an error has ended cancels what was started; by default it goes on."""
        return False

    def limit(self) -> timedelta | None:
        """Return how long to wait at most from the start of this try; ``None`` for no limit of its own."""
        return timedelta(seconds=getattr(self.request, self.limit_name)) if self.limit_name else None

    def trigger_arguments(self, context: Context) -> dict[str, Any]:
        """Return the arguments that the triggers of all pools take."""
        return {
            "pool_id": self.request.pool_id,
            "batch_linux_conn_id": self.request.batch_linux_conn_id,
            "poll_interval": self.request.poll_interval,
            **self.deadline(context),
        }

    def deadline(self, context: Context) -> dict[str, Any]:
        """Return the arguments of a trigger for the deadline of this try."""
        limits = {"execution_timeout": self.execution_timeout}
        if self.limit_name is not None:
            limits[self.limit_name] = self.limit()
        return self._nearest or nearest_deadline(context, **limits)

    async def take_back(
        self,
        client: BatchLinuxClient,
        context: Context,  # noqa: ARG002
        trigger: BatchLinuxTrigger | None,
    ) -> None:
        """
        End what the task has begun, because Airflow has ended the deferral and no try is left.

        :param trigger: what was waited on; ``None`` if there was nothing to cancel.
        """
        if trigger is not None and trigger.cancels_on_kill:
            await trigger.try_to_cancel(client)

    def prepare(self) -> None:
        """Do what each run of the task begins with."""

    async def what_ended(
        self,
        client: BatchLinuxClient,  # noqa: ARG002
        context: Context,  # noqa: ARG002
        trigger: BatchLinuxTrigger,  # noqa: ARG002
        error: BaseException,  # noqa: ARG002
    ) -> str:
        """
        Return what has ended before the task fails, as further lines of its error; empty for nothing.

        :param trigger: what was waited on or begun last.
        :param error: what fails the task.
        """
        return ""

    def execute(self, context: Context) -> Result:
        """Start it, and wait until it is over."""
        self.link_pool(context)
        return self._complete(context, lambda client: self.submit(client, context))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Result:
        """Continue after the trigger has fired."""
        from airflow_provider_batchlinux.core.events import WaitEvent

        trigger = trigger_of(WaitEvent.from_payload(event))
        self._nearest = {"deadline": trigger.deadline, "limited_by": trigger.limited_by}

        async def outcome() -> dict[str, Any]:
            return result_of(event)

        async def resume(client: BatchLinuxClient) -> Step:
            step = await self._after(client, context, trigger, outcome())
            assert step is not None, "An event has a result or an error."
            return step

        return self._complete(context, resume)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after the trigger has fired, or after Airflow itself has ended the deferral."""
        from airflow_provider_batchlinux.core.events import UnreadableEventError

        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except UnreadableEventError as error:
            self._deferral_ended(context, error)
            raise
        except AirflowException as error:
            if next_method != TRIGGER_LOST:
                raise
            lost = lost_wait(self, error)
            self._deferral_ended(context, lost)
            raise lost from None

    def _deferral_ended(self, context: Context, error: Exception) -> None:
        try:
            trigger = remembered_wait(context)
            if is_last_try(context):
                self.hook.run(lambda client: self.take_back(client, context, trigger), settings=self.account)
        except Exception as failure:  # the task is to fail with what ended the deferral
            self.log.warning("What the task has begun may go on: %s", failure)
        else:
            self._add_what_ended(context, trigger, error)

    def _add_what_ended(
        self, context: Context, trigger: BatchLinuxTrigger | None, error: BaseException
    ) -> None:
        """Add to an error what has ended before it; what fails there does not hide the error."""
        if trigger is None or type(self).what_ended is BatchLinuxWaitingOperator.what_ended:
            return

        def read() -> str:
            return self.hook.run(
                lambda client: self.what_ended(client.within(_AFTER_FAILURE_BUDGET), context, trigger, error),
                settings=self.account,
            )

        try:
            try:
                more = read()
            except AirflowTaskTimeout:
                # Our deadline is a moment before that of Airflow, whose alarm comes once.
                more = read()
        except Exception as failure:
            self.log.warning("What has ended before the failure could not be read: %s", failure)
        else:
            if more:
                error.args = (f"{in_words(self, error)}\n{more}", *error.args[1:])

    def on_kill(self) -> None:
        """Cancel what was started. Airflow ends the process after five seconds, so this gives up earlier."""
        trigger = self.current_trigger
        if trigger is not None and trigger.cancels_on_kill:
            if isinstance(trigger, BatchLinuxSubmittedTrigger):
                trigger.is_killed = True
            self.hook.run(trigger.try_to_cancel, settings=self.account)

    def _complete(self, context: Context, begin: Callable[[BatchLinuxClient], Awaitable[Step]]) -> Result:
        async def work(client: BatchLinuxClient) -> Step:
            step = await begin(client)
            while isinstance(trigger := step, BatchLinuxTrigger):
                waiting = trigger.run_on_worker(client, block=not self.request.deferrable)
                following = await self._after(client, context, trigger, waiting)
                if following is None:
                    return trigger
                step = following
            return step

        self.prepare()
        try:
            step = self.hook.run(work, settings=self.account)
        except AirflowSkipException:
            raise
        except (Exception, AirflowTaskTimeout) as error:
            self._add_what_ended(context, self.current_trigger, error)
            raise
        if isinstance(step, BatchLinuxTrigger):
            # Only what can be cancelled needs to be found again: an XCom for each deferral costs a request.
            if type(step).cancel is not BatchLinuxTrigger.cancel:
                remember_wait(context, step)
            defer_to(self, step)
        return step

    async def _after(
        self,
        client: BatchLinuxClient,
        context: Context,
        trigger: BatchLinuxTrigger,
        waiting: Awaitable[dict[str, Any] | None],
    ) -> Step | None:
        """Await a wait, and return what follows; ``None`` if it is too early, and the task is to defer."""
        self.current_trigger = trigger
        try:
            result = await waiting
        except (BatchLinuxError, ValueError) as error:
            if isinstance(error, WaitTimeoutError):
                require_execution_time(self, trigger.limited_by, error.status)
            if self.cancels_after(error, context):
                await trigger.try_to_cancel(client)
            if isinstance(error, WaitTimeoutError):
                late = WaitTimeoutError.after(self.limit(), error.status)
                return await self.timed_out(client, context, trigger, late)
            raise
        return None if result is None else await self.finish(client, context, trigger, result)
