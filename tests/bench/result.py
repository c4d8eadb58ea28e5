"""The result of a benchmark, its limits, and how results are shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Limit", "Result", "as_table", "write_json"]


@dataclass(frozen=True)
class Limit:
    """
    A limit of a benchmark.

    :param what: what was measured.
    :param value: the measured value.
    :param at_most: the maximum; ``None`` for none.
    :param at_least: the minimum; ``None`` for none.
    """

    what: str
    value: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether the value is within the limit."""
        is_low_enough = self.at_most is None or self.value <= self.at_most
        return is_low_enough and (self.at_least is None or self.value >= self.at_least)

    def __str__(self) -> str:
        most = [] if self.at_most is None else [f"at most {self.at_most:g}"]
        least = [] if self.at_least is None else [f"at least {self.at_least:g}"]
        return f"{self.what} {' and '.join([*most, *least])}"


@dataclass(frozen=True)
class Result:
    """
    One measured value.

    :param value: the measured value.
    :param unit: its unit.
    :param baseline: the value of the alternative in the same run; ``None`` for no alternative.
    :param ratio: how many times better than the baseline; ``None`` for no baseline.
    :param wanted: a remark on the value.
    :param limits: a run that exceeds one of them fails.
    """

    value: float
    unit: str
    baseline: float | None
    ratio: float | None
    wanted: str = ""
    limits: tuple[Limit, ...] = ()

    @property
    def missed(self) -> list[str]:
        """The limits that are exceeded, with the measured values."""
        return [f"{limit}: it is {limit.value:.4g}" for limit in self.limits if not limit.is_met]


def as_table(results: Mapping[str, Result]) -> str:
    """Format the results as a table."""
    from airflow_provider_batchlinux.core.text import table

    rows = [
        (name, f"{r.value:.4g} {r.unit}", _text(r.baseline), _text(r.ratio), _wanted(r), _verdict(r))
        for name, r in results.items()
    ]
    return table(("benchmark", "value", "baseline", "ratio", "wanted", "limits"), rows)


def write_json(results: Mapping[str, Result], path: Path) -> None:
    """Write the results as JSON; results of other benchmarks in the file are kept."""
    before: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    plain = {name: _plain(result) for name, result in results.items()}
    path.write_text(json.dumps({**before, **plain}, indent=2) + "\n")


def _plain(result: Result) -> dict[str, Any]:
    limits = [{**asdict(limit), "met": limit.is_met} for limit in result.limits]
    return {**asdict(result), "limits": limits}


def _wanted(result: Result) -> str:
    return "; ".join([*map(str, result.limits), *filter(None, [result.wanted])])


def _verdict(result: Result) -> str:
    if not result.limits:
        return "-"
    return "missed" if result.missed else "met"


def _text(number: float | None) -> str:
    return "-" if number is None else f"{number:.4g}"
