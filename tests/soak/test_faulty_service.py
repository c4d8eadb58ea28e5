"""A whole Dag against a service where things go wrong by chance: ``make soak SEEDS=200 FIRST=1000``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.faulty_dag import run_faulty_dag
from tests.soak.test_chaos import FIRST, SEEDS


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 2 * SEEDS))
def test_a_dag_survives_what_goes_wrong_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    run_faulty_dag(seed, tmp_path / "lines", monkeypatch)
