"""How a task fails: with one sentence for people, and not below the frames of this package."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout, BaseOperator

R = TypeVar("R")

log = logging.getLogger(__name__)

_ENTRIES = ("execute", "execute_complete", "resume_execution", "poke")
"""The methods that Airflow calls."""

_TOLD = (AirflowException, ValueError, AirflowTaskTimeout)
"""The errors whose message says all. Others are faults of this package, which need their frames."""


class PlainFailures:
    """
    The base of all operators and sensors: their errors leave them without the way that they took.

    Airflow's record of a failure is the last of a log, where its page opens. The frames of a traceback, and
    those of the errors that caused the error, would stand below the message and push it off the screen. They
    are logged for debugging instead.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Wrap the methods that Airflow calls."""
        super().__init_subclass__(**kwargs)
        for name in _ENTRIES:
            if name in vars(cls):
                setattr(cls, name, _told_plainly(vars(cls)[name]))


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


def _in_words(operator: BaseOperator, error: BaseException) -> BaseException:
    # Airflow's own time-out, which interrupts whatever runs, names no more than a process.
    if isinstance(error, AirflowTaskTimeout) and operator.execution_timeout and "exceeded" not in str(error):
        return exceeded(operator)
    return error


def _told_plainly(method: Callable[..., R]) -> Callable[..., R]:
    @wraps(method)
    def plain(self: Any, *args: Any, **kwargs: Any) -> R:
        try:
            return method(self, *args, **kwargs)
        except _TOLD as error:
            log.debug("The way that the error took:", exc_info=True)
            raise _in_words(self, error).with_traceback(None) from None

    return plain
