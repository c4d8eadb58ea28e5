"""The rates of random faults, and the decision whether one happens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace

from airflow_provider_batchlinux.emulator.simulation.seeded_random import SeededRandom


@dataclass(frozen=True)
class FaultRates:
    """
    The probability of each fault, from 0 to 1.

    :param throttled: a request is answered with 429 without ``Retry-After``.
    :param throttled_for: a request is answered with 429 and ``Retry-After``.
    :param internal_error: a request is answered with 500.
    :param server_busy: a request is answered with 503.
    :param slow: a request is answered late.
    :param dropped_before: the connection is closed before the request is executed.
    :param dropped_after: the connection is closed after the request was executed, without an answer.
    :param preempted: a Spot node is preempted some time after it has booted.
    :param unusable: a node becomes unusable instead of booting.
    :param start_task_failed: one run of a start task fails.
    :param allocation_timed_out: a resize allocates only half of the missing nodes, for lack of capacity.
    :param quota_reached: a resize allocates only half of the missing nodes, for lack of quota.
    """

    throttled: float = 0.0
    throttled_for: float = 0.0
    internal_error: float = 0.0
    server_busy: float = 0.0
    slow: float = 0.0
    dropped_before: float = 0.0
    dropped_after: float = 0.0
    preempted: float = 0.0
    unusable: float = 0.0
    start_task_failed: float = 0.0
    allocation_timed_out: float = 0.0
    quota_reached: float = 0.0


REQUEST_FAULTS = (
    "throttled",
    "throttled_for",
    "internal_error",
    "server_busy",
    "slow",
    "dropped_before",
    "dropped_after",
)
"""Faults of requests. At most one of them happens to a request."""

FAULT_RATES: Mapping[str, FaultRates] = {
    "instant": FaultRates(),
    "realistic": FaultRates(),
    "faulty": FaultRates(
        throttled=0.03,
        throttled_for=0.03,
        internal_error=0.02,
        server_busy=0.02,
        slow=0.03,
        dropped_before=0.02,
        dropped_after=0.02,
        preempted=0.2,
        unusable=0.02,
        start_task_failed=0.02,
        allocation_timed_out=0.02,
        quota_reached=0.02,
    ),
}
"""The rates of each profile. Those of ``faulty`` are chosen, not measured."""


def fault_rate_problems(rates: Mapping[str, float]) -> Iterable[str]:
    """Yield a message for each unknown name and each value that is not a rate."""
    known = [each.name for each in fields(FaultRates)]
    for name, rate in rates.items():
        if name not in known:
            yield f"Unknown fault rate {name!r}. Known fault rates: {', '.join(known)}."
        elif not isinstance(rate, int | float) or not 0 <= rate <= 1:
            yield f"The fault rate {name!r} must be a number from 0 to 1, not {rate!r}."


class FaultInjector:
    """
    Decide by seeded random numbers whether a fault happens.

    :param fault_rates: the initial rates.
    """

    def __init__(self, seeded_random: SeededRandom, fault_rates: FaultRates) -> None:
        self.seeded_random = seeded_random
        self.fault_rates = fault_rates

    def should_fail(self, name: str, *key: object) -> bool:
        """
        Return whether a fault happens.

        :param key: identifies the occasion. The same occasion always has the same result.
        """
        rate: float = getattr(self.fault_rates, name)
        return rate > 0 and self.seeded_random.draw(name, *key) < rate

    def pick(self, names: Iterable[str], *key: object) -> str | None:
        """Return which of several faults happens; ``None`` if none does."""
        rates = {name: getattr(self.fault_rates, name) for name in names}
        if not any(rates.values()):
            return None
        draw = self.seeded_random.draw(*key)
        for name, rate in rates.items():
            draw -= rate
            if draw < 0:
                return name
        return None

    def change(self, rates: Mapping[str, float]) -> Mapping[str, float]:
        """
        Change some of the rates, and return all.

        :raises ValueError: a name is unknown or a rate is invalid; nothing is changed.
        """
        if problems := list(fault_rate_problems(rates)):
            raise ValueError("\n".join(problems))
        self.fault_rates = replace(self.fault_rates, **rates)
        return asdict(self.fault_rates)
