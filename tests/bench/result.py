"""What a benchmark answers, and how the answers are shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Result", "as_table", "write_json"]


@dataclass(frozen=True)
class Result:
    """
    One measured value.

    :param value: what was measured.
    :param unit: its unit.
    :param baseline: the same of what it is compared with, in the same run; ``None`` for nothing.
    :param ratio: how many times better than the baseline; ``None`` for no baseline.
    :param wanted: what it should be, in words.
    """

    value: float
    unit: str
    baseline: float | None
    ratio: float | None
    wanted: str


def as_table(results: Mapping[str, Result]) -> str:
    """Lay the results out for people."""
    from airflow_provider_batchlinux.core.text import table

    rows = [
        (name, f"{r.value:.4g} {r.unit}", _text(r.baseline), _text(r.ratio), r.wanted)
        for name, r in results.items()
    ]
    return table(("benchmark", "value", "baseline", "ratio", "wanted"), rows)


def write_json(results: Mapping[str, Result], path: Path) -> None:
    """Write the results for programs."""
    plain = {name: asdict(result) for name, result in results.items()}
    path.write_text(json.dumps(plain, indent=2) + "\n")


def _text(number: float | None) -> str:
    return "-" if number is None else f"{number:.4g}"
