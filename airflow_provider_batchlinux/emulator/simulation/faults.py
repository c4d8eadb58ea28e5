"""Faults of requests, injected by tests or random, and the record of requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.simulation.fault_rates import REQUEST_FAULTS, FaultInjector
from airflow_provider_batchlinux.emulator.simulation.lifecycle import Delays
from airflow_provider_batchlinux.emulator.simulation.patterns import Pattern

_USUAL_CODES = {429: Code.TOO_MANY_REQUESTS, 503: Code.SERVER_BUSY}


@dataclass
class Fault:
    """
    A fault of the requests that match.

    :param method: HTTP method; ``None`` matches any.
    :param path: regular expression searched for in the path; ``None`` matches any.
    :param times: number of requests it affects; ``None`` affects all until the next reset.
    :param status: status of the answer; ``None`` uses the status of ``code``.
    :param code: error code of the answer; ``None`` with a status uses the usual code of that status.
    :param retry_after: seconds in ``Retry-After``; ``None`` sends no such header.
    :param delay: seconds of real time to wait before the request is executed; ``None`` does not wait.
    :param hold: seconds of real time to wait between execution and answer; ``None`` does not wait.
    :param drop: close the connection without an answer, before or after the request is executed.
    """

    method: str | None = None
    path: Pattern | None = None
    times: int | None = 1
    status: int | None = None
    code: str | None = None
    retry_after: float | None = None
    delay: float | None = None
    hold: float | None = None
    drop: Literal["before", "after"] | None = None

    def matches(self, method: str, path: str) -> bool:
        """Return whether a request matches."""
        return (self.method is None or self.method.upper() == method) and (
            self.path is None or self.path.search(path)
        )

    def raise_error(self) -> None:
        """Raise the error of the answer, if the fault has one."""
        if self.status is not None or self.code is not None:
            code = self.code or _USUAL_CODES.get(self.status or 500, Code.INTERNAL_ERROR)
            raise ServiceError(code, status=self.status, retry_after=self.retry_after)


NO_FAULT = Fault()


_RETRY_AFTER = 1.0
_RANDOM: Mapping[str, Fault] = {
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
    Faults that depend only on the seed, the operation, and the number of earlier requests for it.

    So the order of requests for different operations does not matter.
    """

    fault_injector: FaultInjector
    delays: Delays
    _numbers: Counter[str | None] = field(default_factory=Counter)

    def take(self, operation: str | None) -> Fault:
        """Return the fault of the next request for an operation, and count the request."""
        key = (operation, self._numbers[operation])
        self._numbers[operation] += 1
        name = self.fault_injector.pick(REQUEST_FAULTS, "request", *key)
        if name is None:
            return NO_FAULT
        fault = _RANDOM[name]
        return fault if fault.delay is None else replace(fault, delay=self.delays.of("answering", *key))


@dataclass
class Faults:
    """
    The injected faults that have not happened yet, in order.

    :param random_fault: returns the fault of a request that no injected fault matches.
    """

    random_fault: Callable[[str | None], Fault]
    waiting: list[Fault] = field(default_factory=list)

    def take(self, method: str, path: str, operation: str | None) -> Fault:
        """Return the first injected fault that matches a request, and count it; else a random one."""
        for fault in self.waiting:
            if fault.matches(method, path):
                self._count(fault)
                return fault
        return self.random_fault(operation)

    def _count(self, fault: Fault) -> None:
        if fault.times is None:
            return
        fault.times -= 1
        if fault.times <= 0:
            self.waiting.remove(fault)


@dataclass(frozen=True)
class RequestRecord:
    """One request that was answered; its status is 0 if the connection was dropped."""

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
