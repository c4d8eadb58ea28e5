"""Metrics of a pool in formulas, with their samples and methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from airflow_provider_batchlinux.emulator.autoscale.problems import UnsuitableError
from airflow_provider_batchlinux.emulator.autoscale.values import Interval, Value, kind_of

SAMPLE_PERIOD = 30.0
"""Seconds between two samples (documented)."""


@dataclass(frozen=True)
class Sample:
    """The values of all metrics of a pool at one time."""

    taken: datetime
    values: Mapping[str, float]


class NotEnoughSamplesError(Exception):
    """There are fewer samples than the percentage that ``GetSample`` requires."""


@dataclass(frozen=True)
class Metric:
    """
    A service-defined variable with samples.

    :param current: its current value. Assumed, as in the documentation's examples: a variable without a
        method call has this value.
    :param samples: the available samples, from old to new.
    """

    name: str
    current: float
    samples: Sequence[Sample]
    now: datetime

    def call(self, method: str, arguments: Sequence[Value]) -> Value:
        """
        Return the result of a method.

        :raises UnsuitableError: the method does not exist, or does not accept the arguments.
        :raises NotEnoughSamplesError: there are fewer samples than required.
        """
        if method not in _METHODS:
            problem = f"{self.name} has no method '{method}'"
            raise UnsuitableError(problem)
        return _METHODS[method](self, arguments)

    def _get_sample(self, arguments: Sequence[Value]) -> Value:
        if len(arguments) == 1 and isinstance(arguments[0], float):
            return self._newest(arguments[0])
        times, percents = _divided(arguments)
        found, percent = self._within(times)
        wanted = percents[0] if percents else 0.0
        if percent < wanted:
            detail = f"{self.name} wanted {wanted:g}%, received {percent:.0f}%"
            raise NotEnoughSamplesError(detail)
        return found

    def _get_sample_percent(self, arguments: Sequence[Value]) -> Value:
        times, percents = _divided(arguments)
        if percents:
            raise _wrong(arguments)
        return self._within(times)[1]

    def _get_sample_period(self, arguments: Sequence[Value]) -> Value:
        _check_none(arguments)
        return Interval(SAMPLE_PERIOD)

    def _count(self, arguments: Sequence[Value]) -> Value:
        _check_none(arguments)
        return float(len(self.samples))

    def _history_begin_time(self, arguments: Sequence[Value]) -> Value:
        _check_none(arguments)
        return self.samples[0].taken if self.samples else self.now

    def _newest(self, number: float) -> tuple[float, ...]:
        if not 0 <= number < inf:
            problem = f"{number:g} is not a number of samples"
            raise UnsuitableError(problem)
        first = max(0, len(self.samples) - int(number))
        return tuple(sample.values[self.name] for sample in self.samples[first:])

    def _within(self, times: Sequence[datetime | Interval]) -> tuple[tuple[float, ...], float]:
        """Return the samples of a time frame, and their percentage of the possible number."""
        instants = [self._instant(time) for time in times]
        if len(instants) == 1:
            instants.append(self.now)
        begin, end = min(instants), max(instants)
        found = tuple(sample.values[self.name] for sample in self.samples if begin < sample.taken <= end)
        possible = max(1.0, (end - begin).total_seconds() // SAMPLE_PERIOD)
        return found, min(100.0, 100.0 * len(found) / possible)

    def _instant(self, time: datetime | Interval) -> datetime:
        if isinstance(time, datetime):
            return time
        try:
            return self.now - timedelta(seconds=time.seconds)
        except (OverflowError, ValueError):
            problem = "The time frame is out of range"
            raise UnsuitableError(problem) from None


def _divided(arguments: Sequence[Value]) -> tuple[list[datetime | Interval], list[float]]:
    """Return the one or two times of the arguments, and the optional percentage after them."""
    times = [value for value in arguments if isinstance(value, datetime | Interval)]
    rest = arguments[len(times) :]
    percents = [value for value in rest if isinstance(value, float)]
    if not 1 <= len(times) <= 2 or len(percents) != len(rest) or len(rest) > 1:
        raise _wrong(arguments)
    return times, percents


def _check_none(arguments: Sequence[Value]) -> None:
    if arguments:
        raise _wrong(arguments)


def _wrong(arguments: Sequence[Value]) -> UnsuitableError:
    return UnsuitableError(f"The method does not take ({', '.join(map(kind_of, arguments))})")


_METHODS: Mapping[str, Callable[[Metric, Sequence[Value]], Value]] = {
    "GetSample": Metric._get_sample,
    "GetSamplePercent": Metric._get_sample_percent,
    "GetSamplePeriod": Metric._get_sample_period,
    "Count": Metric._count,
    "HistoryBeginTime": Metric._history_begin_time,
}
