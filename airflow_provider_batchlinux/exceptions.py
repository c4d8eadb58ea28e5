"""
The errors of this provider.

BatchLinuxError(AirflowException)   the base of all errors below
├─ BatchRequestError                the service refused a request           .code .status .request_id
│  ├─ BatchAuthenticationError      the identity is unknown or not allowed  retrying does not help
│  ├─ BatchQuotaError               a quota is used up                      free or raise the quota
│  └─ BatchConflictError            the id exists with another spec, or is being deleted
├─ BatchUnreachableError            no answer within the retry budget       retry later
├─ PoolNotReadyError                no usable nodes                         .pool_id .is_late
├─ NodeUsersError                   some nodes do not have the user         .failed .codes
├─ NodeCommandError                 a command over SSH failed on nodes      .failed .exit_codes
├─ TaskFailedError                  the command ran and failed              .exit_code .node_id
│  └─ TaskFailedForGoodError        its exit code says so, not retried
├─ ImageEndOfSupportError           pools use outdated images, not retried  .pool_ids
└─ WaitTimeoutError                 a wait exceeded its time-out

Wrong arguments raise ValueError: when the Dag is parsed, or when the task runs if they may be templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

__all__ = [
    "BatchAuthenticationError",
    "BatchConflictError",
    "BatchLinuxError",
    "BatchQuotaError",
    "BatchRequestError",
    "BatchUnreachableError",
    "ImageEndOfSupportError",
    "NodeCommandError",
    "NodeUsersError",
    "PoolNotReadyError",
    "TaskFailedError",
    "TaskFailedForGoodError",
    "WaitTimeoutError",
    "error_from_payload",
    "error_to_payload",
]


class BatchLinuxError(AirflowException):
    """The base of all errors of this provider."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the error with the keyword-only fields of its subclass."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[BatchLinuxError], args: tuple[Any, ...], state: dict[str, Any]) -> BatchLinuxError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class BatchRequestError(BatchLinuxError):
    """
    The service refused a request.

    :param code: the service's error code. Decide by it, not by the status, which many codes share.
    :param status: the HTTP status.
    :param request_id: the service's id of the request, for a support request.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.request_id = request_id


class BatchAuthenticationError(BatchRequestError):
    """The service does not know the identity, or does not permit the request."""


class BatchQuotaError(BatchRequestError):
    """A quota of the account is used up."""


class BatchConflictError(BatchRequestError):
    """The id is in use by another resource, or by one that is being deleted."""


class BatchUnreachableError(BatchLinuxError):
    """For the whole retry budget the service did not answer, or only with transient errors."""


class PoolNotReadyError(BatchLinuxError):
    """
    The nodes of a pool are not ready, and waiting longer does not help.

    :param pool_id: the pool.
    :param is_late: nothing is known to have failed, but a time limit of the wait was exceeded.
    """

    def __init__(self, message: str, *, pool_id: str, is_late: bool = False) -> None:
        super().__init__(message)
        self.pool_id = pool_id
        self.is_late = is_late


class NodeUsersError(BatchLinuxError):
    """
    A user could not be added to, or removed from, some nodes.

    :param failed: the ids of these nodes; the request succeeded on all others.
    :param codes: the service's error code by node id; ``None`` if the service did not answer.
    """

    def __init__(
        self, message: str, *, failed: Sequence[str], codes: Mapping[str, str | None] | None = None
    ) -> None:
        super().__init__(message)
        self.failed = list(failed)
        self.codes = dict(codes or {})


class NodeCommandError(BatchLinuxError):
    """
    A command that was run over SSH failed on some nodes.

    :param failed: the ids of these nodes; on all others it succeeded.
    :param exit_codes: the exit code by node id; ``None`` if the command did not end.
    """

    def __init__(
        self, message: str, *, failed: Sequence[str], exit_codes: Mapping[str, int | None] | None = None
    ) -> None:
        super().__init__(message)
        self.failed = list(failed)
        self.exit_codes = dict(exit_codes or {})


class TaskFailedError(BatchLinuxError):
    """
    The command of a task failed.

    :param exit_code: its exit code; ``None`` if it did not start or was terminated.
    :param node_id: the node that ran it; ``None`` if it was not assigned to a node.
    """

    def __init__(self, message: str, *, exit_code: int | None = None, node_id: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.node_id = node_id


class TaskFailedForGoodError(TaskFailedError, AirflowFailException):
    """
    The command of a task failed with an exit code for which ``exit_codes`` says ``fail``.

    Airflow does not retry the task. A function whose result file cannot be used fails with it, too.
    """


class ImageEndOfSupportError(BatchLinuxError, AirflowFailException):
    """
    Some pools use images whose support ends soon, or has ended.

    Airflow does not retry the task: a person has to replace the pools.

    :param pool_ids: these pools.
    """

    def __init__(self, message: str, *, pool_ids: Sequence[str]) -> None:
        super().__init__(message)
        self.pool_ids = list(pool_ids)


class WaitTimeoutError(BatchLinuxError):
    """
    A wait did not end before its deadline.

    :param status: the last status of what was waited for.
    """

    def __init__(self, message: str, *, status: str = "") -> None:
        super().__init__(message)
        self.status = status

    @classmethod
    def after(cls, limit: timedelta | None, status: str) -> WaitTimeoutError:
        """
        Return the error of a wait.

        :param limit: the time limit of the wait; ``None`` if the caller does not know it.
        :param status: the last status of what was waited for.
        """
        duration = f" after {limit.total_seconds():g} s" if limit is not None else ""
        return cls(f"Timed out{duration}. Last status: {status}", status=status)


def error_to_payload(error: BatchLinuxError | ValueError) -> dict[str, Any]:
    """Return an error as plain values, so that the event of a trigger can carry it to its task."""
    return {"kind": type(error).__name__, "message": str(error), "fields": dict(vars(error))}


def error_from_payload(payload: Mapping[str, Any]) -> BatchLinuxError | ValueError:
    """Return the error of :func:`error_to_payload`; other classes become ``ValueError``."""
    known = {cls.__name__: cls for cls in _all_kinds(BatchLinuxError)}
    cls = known.get(payload["kind"])
    if cls is None:
        return ValueError(payload["message"])
    return _rebuild(cls, (payload["message"],), dict(payload["fields"]))


def _all_kinds(cls: type[BatchLinuxError]) -> Iterator[type[BatchLinuxError]]:
    yield cls
    for kind in cls.__subclasses__():
        yield from _all_kinds(kind)
