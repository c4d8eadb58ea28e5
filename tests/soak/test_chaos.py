"""A whole Dag while requests fail by chance, for many seeds: ``make soak SEEDS=200 FIRST=1000``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.batch_account import BatchAccount
from tests.soak.chaos_dag import chaos_dag

FIRST = int(os.environ.get("FIRST") or 100)
SEEDS = int(os.environ.get("SEEDS") or 100)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_a_dag_loses_nothing_and_repeats_nothing(
    account: BatchAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    with chaos_dag(account, monkeypatch, tmp_path, seed) as dag:
        dag.run()
