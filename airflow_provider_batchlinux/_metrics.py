"""Send metrics of pools, commands and users to Airflow's backend; a metric never fails a task."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException

from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchRequestError,
    BatchUnreachableError,
    PoolNotReadyError,
    WaitTimeoutError,
)

if TYPE_CHECKING:
    from airflow_provider_batchlinux.core.pools.usage import PoolUsage

log = logging.getLogger(__name__)

TIMINGS = {
    "to_steady": "batchlinux.pool.time_to_steady",
    "to_first_idle": "batchlinux.pool.time_to_first_idle",
    "to_ready": "batchlinux.pool.time_to_ready",
}
"""The metric of each span of a timeline."""

NODE_HOURS = "batchlinux.pool.node_hours"
REPAIRS = "batchlinux.pool.repairs"
FAILURES = "batchlinux.pool.waits_failed"
USED = "batchlinux.pool.used_node_seconds"
PREEMPTIONS = "batchlinux.pool.preemptions"
COMMANDS = "batchlinux.commands"
COMMAND_TIME = "batchlinux.command.time"
USERS = "batchlinux.users"
USERS_OVERDUE = "batchlinux.users.overdue"

FAILURE_KINDS: Mapping[type[BaseException], str] = {
    AirflowSensorTimeout: "timeout",
    WaitTimeoutError: "timeout",
    PoolNotReadyError: "not_ready",
    BatchAuthenticationError: "authentication",
    BatchRequestError: "refused",
    BatchUnreachableError: "unreachable",
}
"""The tag ``kind`` of a failed wait by its error, the first that fits; of any other it is ``error``."""


def tags_of(context: Mapping[str, Any]) -> dict[str, str]:
    """Name the task in the way of Airflow's own metrics."""
    ti = context["ti"]
    return {"dag_id": ti.dag_id, "task_id": ti.task_id}


def report_timeline(
    timeline: Mapping[str, float | None], tags: Mapping[str, str], repairs: int | None = None
) -> None:
    """
    Send a timeline to the backend that ``[metrics]`` in Airflow's configuration names.

    :param tags: the tags of the metrics, if the backend supports tags.
    :param repairs: how many repairs the pool has had; ``None`` without repair.
    """

    def send(stats: Any) -> None:
        for name, metric in TIMINGS.items():
            seconds = timeline.get(name)
            if seconds is not None:
                stats.timing(metric, timedelta(seconds=seconds), tags=dict(tags))
        stats.gauge(NODE_HOURS, timeline.get("node_hours") or 0.0, tags=dict(tags))
        if repairs is not None:
            stats.gauge(REPAIRS, repairs, tags=dict(tags))

    _sent(send)


def report_usage(pool: PoolUsage) -> None:
    """Count what a pool has used in its life, once, when it is deleted; by the Dag that created it."""
    usage, tags = pool.usage, {"dag_id": pool.dag_id}

    def send(stats: Any) -> None:
        for kind, seconds in (("dedicated", usage.dedicated_seconds), ("spot", usage.spot_seconds)):
            stats.incr(USED, seconds, tags={**tags, "kind": kind})
        stats.incr(PREEMPTIONS, usage.preemptions, tags=tags)

    _sent(send)


def report_commands(
    context: Mapping[str, Any], outcomes: Iterable[str], seconds: float | None = None
) -> None:
    """
    Count commands that have ended by their outcomes.

    :param seconds: how long the one command has run; ``None`` if it is not known, or for many.
    """

    def send(stats: Any) -> None:
        _count(stats, COMMANDS, tags_of(context), outcomes)
        if seconds is not None:
            stats.timing(COMMAND_TIME, timedelta(seconds=seconds), tags=tags_of(context))

    _sent(send)


def report_users(context: Mapping[str, Any], outcomes: Iterable[str]) -> None:
    """Count the nodes that a user was added to or removed from, by the outcome."""
    _sent(lambda stats: _count(stats, USERS, tags_of(context), outcomes))


def report_overdue_users(context: Mapping[str, Any], number: int) -> None:
    """Send how many users are on pools after their time."""
    _sent(lambda stats: stats.gauge(USERS_OVERDUE, number, tags=tags_of(context)))


def _count(stats: Any, metric: str, tags: Mapping[str, str], outcomes: Iterable[str]) -> None:
    for outcome, number in Counter(outcomes).items():
        stats.incr(metric, number, tags={**tags, "outcome": outcome})


@contextmanager
def counted_failures(context: Mapping[str, Any]) -> Iterator[None]:
    """Count a wait that the block ends as a failure, by the kind of it; one that goes on is none."""
    try:
        yield
    except Exception as error:
        kind = _kind_of(error)
        if kind is not None:
            _sent(lambda stats: stats.incr(FAILURES, tags={**tags_of(context), "kind": kind}))
        raise


def _kind_of(error: BaseException) -> str | None:
    if type(error).__name__ == "AirflowRescheduleException":  # no module has it in every Airflow
        return None
    if isinstance(error, AirflowSkipException):
        # With soft_fail a time-out is a skip of its own; any other skip has the error that it hides.
        return "timeout" if error.__cause__ is None else _kind_of(error.__cause__)
    return next((kind for cls, kind in FAILURE_KINDS.items() if isinstance(error, cls)), "error")


def _sent(send: Callable[[Any], None]) -> None:
    try:
        send(_stats())
    except Exception as error:  # the backend is anybody's code, and the wait is over whatever it does
        log.warning("The metrics could not be sent: %s", error)


def _stats() -> Any:
    try:
        return import_module("airflow.sdk.observability.stats").Stats
    except ImportError:  # Airflow 3.1
        return import_module("airflow.stats").Stats
