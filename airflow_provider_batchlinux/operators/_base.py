"""What all operators and sensors of this provider share: the connection, the owner marks, the deadline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta, timezone
from functools import cache, cached_property, wraps
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout, BaseOperator

from airflow_provider_batchlinux.core.text import broken_into_lines
from airflow_provider_batchlinux.exceptions import error_from_payload
from airflow_provider_batchlinux.hooks.batch_linux import DEFAULT_CONN_ID, BatchLinuxHook
from airflow_provider_batchlinux.operators._parameters import ParametersMixin
from airflow_provider_batchlinux.triggers._memory import WAIT_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.core.parameters.requests import OperatorRequest
    from airflow_provider_batchlinux.core.pool_metadata import Holder
    from airflow_provider_batchlinux.core.tasks.job import Tries
    from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger

    R = TypeVar("R", bound=OperatorRequest)
else:
    R = TypeVar("R")

T = TypeVar("T")

log = logging.getLogger(__name__)

_GRACE = 60.0
"""Seconds until Airflow times a deferral out, at least: the trigger notices its deadline first."""


_ENTRIES = ("execute", "execute_complete", "resume_execution", "poke")
"""The methods that Airflow calls."""

_EXPLAINED = (AirflowException, ValueError, AirflowTaskTimeout)
"""The errors whose message is enough. Others are faults of this package, which need their traceback."""


class PlainFailures:
    """
    The base of all operators and sensors: their errors reach Airflow without a traceback.

    Airflow's record of a failure is the last of a log, where its page opens. The frames of a traceback, and
    those of the errors that caused the error, would stand below the message and push it off the screen. They
    are logged for debugging instead.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Wrap the methods that Airflow calls."""
        super().__init_subclass__(**kwargs)
        for name in _ENTRIES:
            if name in vars(cls):
                setattr(cls, name, _without_traceback(vars(cls)[name]))


def exceeded(operator: BaseOperator, status: str = "") -> AirflowTaskTimeout:
    """
    Return Airflow's error for a task that took longer than its ``execution_timeout``.

    :param status: the last status of what was waited for, if it is known.
    """
    limit = operator.execution_timeout.total_seconds() if operator.execution_timeout else 0.0
    last = f" Last status: {status}" if status else ""
    return AirflowTaskTimeout(
        f"Task {operator.task_id!r} exceeded execution_timeout={limit:g} s.{last} A longer "
        "execution_timeout gives it more time."
    )


def in_words(operator: BaseOperator, error: BaseException) -> BaseException:
    """Return an error as Airflow's page shows it in words and lines."""
    # Airflow's own time-out, which interrupts whatever runs, names no more than a process.
    if isinstance(error, AirflowTaskTimeout) and operator.execution_timeout and "exceeded" not in str(error):
        error = exceeded(operator)
    # Airflow's page does not break lines: the end of a long one, often the remedy, would be off the screen.
    if error.args and isinstance(error.args[0], str):
        name = f"{type(error).__name__}: "
        error.args = (broken_into_lines(error.args[0], beside=len(name)), *error.args[1:])
    return error


def _without_traceback(method: Callable[..., T]) -> Callable[..., T]:
    @wraps(method)
    def plain(self: Any, *args: Any, **kwargs: Any) -> T:
        try:
            return method(self, *args, **kwargs)
        except _EXPLAINED as error:
            log.debug("The traceback of the error:", exc_info=True)
            raise in_words(self, error).with_traceback(None) from None

    return plain


class BatchLinuxBaseOperator(PlainFailures, ParametersMixin[R]):
    """
    The base of the operators of this provider.

    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    def __init__(self, *, batch_linux_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batch_linux_conn_id = batch_linux_conn_id

    @cached_property
    def hook(self) -> BatchLinuxHook:
        """The hook of the connection; created when the task runs."""
        return BatchLinuxHook(self.request.batch_linux_conn_id)

    @cached_property
    def account(self) -> AccountSettings:
        """
        The account of the connection, read once a run.

        ``on_kill`` must not read it for the first time: it may have interrupted a request to Airflow's API.
        """
        return self.hook.settings()

    @cached_property
    def installation(self) -> str:
        """The id of this Airflow, read once a run, by tasks that make or delete something."""
        return self.hook.installation_id()


def owner_of(context: Context) -> dict[str, str]:
    """Name the task instance."""
    ti: Any = context["ti"]
    return {
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "map_index": str(getattr(ti, "map_index", -1)),
        "task_id": ti.task_id,
    }


def item_of(context: Context) -> str:
    """Return which item of a mapped task this is, as a part of a sentence; empty if it is not mapped."""
    ti: Any = context["ti"]
    index = getattr(ti, "map_index", -1)
    if index is None or index < 0:
        return ""
    # Airflow renders `map_index_template` before the task begins, from 3.2 on.
    name = getattr(ti, "rendered_map_index", None)
    return f" for item {index} ({name})" if name else f" for item {index}"


def marked_owner(context: Context, installation: str) -> dict[str, str]:
    """
    Name the task instance, for the ids and the metadata of what it makes.

    :param installation: the id of this Airflow: another one may run the same Dag at the same logical date.
    """
    owner = owner_of(context)
    # The task comes last: its name is readable in a derived id.
    task_id = owner.pop("task_id")
    return {**owner, "installation": installation, "task_id": task_id}


def runs_ended(context: Context, installations: Collection[str]) -> Callable[[Holder], bool]:
    """
    Return a function that returns whether a Dag run has ended; it asks Airflow once for each.

    A run that was deleted has ended. One that is queued or running has not: it may have been cleared. A run
    of another Airflow, and one that Airflow does not answer for, count as not ended: nothing is deleted on a
    guess.

    :param installations: the ids under which this Airflow knows runs: its own, and those that it stands in
        for.
    """
    from airflow_provider_batchlinux.core.pool_metadata import ACTIVE_RUN_STATES

    ti: Any = context["ti"]

    @cache
    def has_ended(run: Holder) -> bool:
        if run.installation not in installations:
            return False
        try:
            active: int = ti.get_dr_count(
                dag_id=run.dag_id, run_ids=[run.run_id], states=list(ACTIVE_RUN_STATES)
            )
        except Exception as error:  # what Airflow raises is not documented
            log.warning("Airflow did not answer whether %s has ended: %s", run, error)
            return False
        return active == 0

    return has_ended


def nearest_deadline(context: Context, **limits: timedelta | None) -> dict[str, Any]:
    """
    Return the arguments of a trigger for the nearest of some limits, counted from the start of this try.

    Airflow itself does not apply ``execution_timeout`` to deferrals: it must be among the limits.

    :param limits: the limits by the names of their parameters; ``None`` for no limit.
    """
    # Of the try, not of this process: a deferred task resumes on a worker with less time left.
    started: datetime = getattr(context["ti"], "start_date", None) or datetime.now(timezone.utc)
    given = [(limit, name) for name, limit in limits.items() if limit is not None]
    if not given:
        return {"deadline": None, "limited_by": None}
    limit, name = min(given)
    return {"deadline": (started + limit).timestamp(), "limited_by": name}


def require_execution_time(operator: BaseOperator, limited_by: str | None, status: str) -> None:
    """
    Raise Airflow's own error if a wait was ended by the operator's ``execution_timeout``.

    Airflow then calls the operator's ``on_kill``, and retries the task.

    :param limited_by: the parameter that the wait's deadline is from.
    :param status: the last status of what was waited for.
    """
    if limited_by == "execution_timeout":
        raise exceeded(operator, status)


def is_last_try(context: Context) -> bool:
    """Return whether no try of the task follows this one, whatever happens in it."""
    ti: Any = context["ti"]
    return bool(ti.try_number > ti.max_tries)


def tries_of(context: Context, owner: Mapping[str, str], prefix: str, retries: int) -> Tries:
    """
    Return this try and those before it since the task was cleared, with the ids of their jobs.

    :param owner: the task instance, from :func:`marked_owner`.
    :param prefix: the connection's prefix of ids.
    :param retries: the retries of the task; Airflow grants them again when the task is cleared.
    """
    # Not imported with a Dag file: they are needed when a task runs.
    from airflow_provider_batchlinux.core.ids import id_of_task
    from airflow_provider_batchlinux.core.tasks.job import Tries

    # Four characters stay free for the number of the try.
    id_stem = id_of_task(owner, prefix=prefix, suffix="-t0000")[:-4]
    ti: Any = context["ti"]
    return Tries(id_stem, ti.try_number, _first_try(ti, retries))


def is_retry(context: Context, retries: int) -> bool:
    """
    Return whether the task was tried before and not cleared since.

    :param retries: the retries of the task; Airflow grants them again when the task is cleared.
    """
    ti: Any = context["ti"]
    return bool(ti.try_number > _first_try(ti, retries))


def _first_try(ti: Any, retries: int) -> int:
    """Return the first try since the task was cleared."""
    return int(ti.max_tries) - retries + 1


def failed_tasks(context: Context) -> list[str]:
    """
    Name the tasks of the Dag run that have failed so far, or could not run because others had.

    A mapped task instance is named as Airflow names it, ``<task id>_<map index>``.
    """
    ti: Any = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    failed = ("failed", "upstream_failed")
    return sorted(task_id for task_id, state in states.items() if getattr(state, "value", state) in failed)


TRIGGER_LOST = "__fail__"
"""The method that Airflow names for a task whose deferral it has ended itself."""


def lost_wait(operator: BaseOperator, error: AirflowException) -> AirflowException:
    """Return an error of the kind of Airflow's own about a deferral that it ended, with what to check."""
    msg = (
        f"Airflow ended the wait of task {operator.task_id!r}: {error}. Check that a triggerer runs; what "
        "its trigger has logged is above."
    )
    return type(error)(msg)


def remember_wait(context: Context, trigger: BatchLinuxTrigger) -> None:
    """Store a trigger where its task finds it after Airflow has lost it; never fails itself."""
    from airflow_provider_batchlinux.core.events import WaitEvent

    # In XCom, because a task whose trigger was lost starts with nothing but its context.
    try:
        context["ti"].xcom_push(key=WAIT_KEY, value=WaitEvent(*trigger.serialize()).to_payload())
    except Exception:  # the wait is worth more than what helps if it is lost
        log.warning(
            "The wait could not be stored; if Airflow loses it, nothing is cleaned up.", exc_info=True
        )


def remembered_wait(context: Context) -> BatchLinuxTrigger | None:
    """Return the trigger of the deferral that Airflow has ended; ``None`` if none was stored."""
    from airflow_provider_batchlinux.core.events import WaitEvent
    from airflow_provider_batchlinux.triggers._base import trigger_of

    ti: Any = context["ti"]
    stored = ti.xcom_pull(task_ids=ti.task_id, key=WAIT_KEY, map_indexes=ti.map_index)
    return trigger_of(WaitEvent.from_payload(stored)) if stored else None


def defer_to(operator: BaseOperator, trigger: BatchLinuxTrigger) -> NoReturn:
    """Leave the worker until the trigger fires, and continue in ``execute_complete``."""
    timeout = None
    if trigger.expires is not None:
        timeout = timedelta(seconds=max(trigger.expires - datetime.now(timezone.utc).timestamp(), _GRACE))
    operator.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)


def result_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    """
    Take the result out of a trigger's event.

    :raises BatchLinuxError: what the trigger met, as it met it.
    """
    from airflow_provider_batchlinux.core.events import WaitEvent

    event = WaitEvent.from_payload(payload)
    if event.error is not None:
        raise error_from_payload(event.error)
    return dict(event.result)


def save_result(context: Context, result: Mapping[str, Any]) -> None:
    """Store the result of a task that is about to fail, as if it had returned it; never fails itself."""
    # Not imported with a Dag file: in some Airflows this brings in the database models.
    from airflow.providers.common.compat.sdk import XCOM_RETURN_KEY

    try:
        context["ti"].xcom_push(key=XCOM_RETURN_KEY, value=dict(result))
    except Exception:  # what the task fails with is worth more than what stores its result
        log.warning("The result of the failing task could not be stored.", exc_info=True)
