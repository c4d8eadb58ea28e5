"""What goes wrong by chance and how likely, and whether it does this time; knows no operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace

from airflow_provider_batchlinux.emulator.simulation.seeded_random import SeededRandom


@dataclass(frozen=True)
class FaultRates:
    """
    How likely each thing is, from 0 to 1.

    :param throttled: a request gets 429 without ``Retry-After``.
    :param throttled_for: a request gets 429 with ``Retry-After``.
    :param internal_error: a request gets 500.
    :param server_busy: a request gets 503.
    :param slow: a request is answered late.
    :param dropped_before: a request loses its connection and is not done.
    :param dropped_after: a request is done, and loses its connection before the answer.
    :param preempted: a spot node is taken away some time after it has booted.
    :param unusable: a node becomes unusable instead of booting.
    :param start_task_failed: one run of a start task fails.
    :param allocation_timed_out: a resize ends without half of the nodes it lacked.
    :param quota_reached: likewise, for want of quota.
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
"""Of these at most one happens to a request."""

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
"""What each profile lets go wrong; the rates of ``faulty`` are chosen, not measured."""


def fault_rate_problems(rates: Mapping[str, float]) -> Iterable[str]:
    """Give a sentence for each rate that is none."""
    known = [each.name for each in fields(FaultRates)]
    for name, rate in rates.items():
        if name not in known:
            yield f"There is no fault rate {name!r}: there are {', '.join(known)}."
        elif not isinstance(rate, int | float) or not 0 <= rate <= 1:
            yield f"The fault rate {name!r} is {rate!r}: it is a number from 0 to 1."


class FaultInjector:
    """
    Decide by seeded random numbers whether a fault happens.

    :param fault_rates: how likely things are to begin with.
    """

    def __init__(self, seeded_random: SeededRandom, fault_rates: FaultRates) -> None:
        self.seeded_random = seeded_random
        self.fault_rates = fault_rates

    def should_fail(self, name: str, *key: object) -> bool:
        """
        Tell whether something goes wrong this time.

        :param key: what it would happen to; asked again for the same, the answer is the same.
        """
        rate: float = getattr(self.fault_rates, name)
        return rate > 0 and self.seeded_random.draw(name, *key) < rate

    def pick(self, names: Iterable[str], *key: object) -> str | None:
        """Return which of several things goes wrong this time; ``None`` if nothing does."""
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
        Change some of the chances and return all.

        :raises ValueError: a name or a rate is none; nothing was changed.
        """
        if problems := list(fault_rate_problems(rates)):
            raise ValueError("\n".join(problems))
        self.fault_rates = replace(self.fault_rates, **rates)
        return asdict(self.fault_rates)
