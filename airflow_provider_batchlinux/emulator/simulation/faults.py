"""Faults that the control plane asks for, and the record of requests; knows no operation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from airflow_provider_batchlinux.emulator.protocol.errors import Code, ServiceError
from airflow_provider_batchlinux.emulator.simulation.fault_rates import REQUEST_FAULTS, FaultInjector
from airflow_provider_batchlinux.emulator.simulation.lifecycle import Delays

_USUAL_CODES = {429: Code.TOO_MANY_REQUESTS, 503: Code.SERVER_BUSY}


@dataclass
class Fault:
    """
    What happens to requests that match.

    :param method: HTTP method; ``None`` matches every one.
    :param path: pattern searched for in the path; ``None`` matches every one.
    :param times: how many requests it happens to; ``None`` means all until the next reset.
    :param status: status to answer with; ``None`` takes the one of ``code``.
    :param code: code to answer with; ``None`` with a status takes the usual one of that status.
    :param retry_after: seconds for ``Retry-After``; ``None`` sends none.
    :param delay: seconds of real time to wait before anything else; ``None`` waits not at all.
    :param hold: seconds of real time to hold the answer back after the work; ``None`` answers at once.
    :param drop: close the connection without an answer, before or after doing the work.
    """

    method: str | None = None
    path: re.Pattern[str] | None = None
    times: int | None = 1
    status: int | None = None
    code: str | None = None
    retry_after: float | None = None
    delay: float | None = None
    hold: float | None = None
    drop: Literal["before", "after"] | None = None

    def matches(self, method: str, path: str) -> bool:
        """Tell whether a request is meant."""
        return (self.method is None or self.method.upper() == method) and (
            self.path is None or self.path.search(path) is not None
        )

    def raise_error(self) -> None:
        """Raise the error to answer with, if there is to be one."""
        if self.status is not None or self.code is not None:
            code = self.code or _USUAL_CODES.get(self.status or 500, Code.INTERNAL_ERROR)
            raise ServiceError(code, status=self.status, retry_after=self.retry_after)


NO_FAULT = Fault()


_RETRY_AFTER = 1.0
_BY_CHANCE: Mapping[str, Fault] = {
    "throttled": Fault(status=429),
    "throttled_for": Fault(status=429, retry_after=_RETRY_AFTER),
    "internal_error": Fault(status=500),
    "server_busy": Fault(status=503),
    "slow": Fault(delay=0.0),
    "dropped_before": Fault(drop="before"),
    "dropped_after": Fault(drop="after"),
}


@dataclass
class RandomFaults:
    """
    Faults that follow from the seed and from the how-manieth request of its operation one is.

    So requests for different operations do not disturb each other, in whatever order they come.
    """

    fault_injector: FaultInjector
    delays: Delays
    _numbers: Counter[str | None] = field(default_factory=Counter)

    def take(self, operation: str | None) -> Fault:
        """Return what happens to the next request for an operation, counting it."""
        key = (operation, self._numbers[operation])
        self._numbers[operation] += 1
        name = self.fault_injector.pick(REQUEST_FAULTS, "request", *key)
        if name is None:
            return NO_FAULT
        fault = _BY_CHANCE[name]
        return fault if fault.delay is None else replace(fault, delay=self.delays.of("answering", *key))


@dataclass
class Faults:
    """
    The faults that were asked for and are still to happen, the first one first.

    :param by_chance: gives what happens to a request for an operation that none of these is for.
    """

    by_chance: Callable[[str | None], Fault]
    waiting: list[Fault] = field(default_factory=list)

    def take(self, method: str, path: str, operation: str | None) -> Fault:
        """Return the first fault that a request matches, counting it; ``NO_FAULT`` if none."""
        for fault in self.waiting:
            if fault.matches(method, path):
                self._count(fault)
                return fault
        return self.by_chance(operation)

    def _count(self, fault: Fault) -> None:
        if fault.times is None:
            return
        fault.times -= 1
        if fault.times <= 0:
            self.waiting.remove(fault)


@dataclass(frozen=True)
class RequestRecord:
    """One request that was answered, or dropped with status 0."""

    method: str
    path: str
    query: str
    status: int
    operation: str | None

    def view(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "status": self.status,
            "operation": self.operation,
        }
