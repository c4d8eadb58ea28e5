"""A whole small Dag against a service where things go wrong by chance; ``make soak`` takes more seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.faulty_dag import run_faulty_dag


@pytest.mark.parametrize("seed", [1, 9, 10, 11, *range(20, 26)], ids="seed {}".format)
def test_a_small_dag_survives_what_goes_wrong_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    run_faulty_dag(seed, tmp_path / "lines", monkeypatch)
