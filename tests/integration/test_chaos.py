"""A whole Dag while requests fail by chance, for a few seeds; ``make soak`` runs many more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.batch_account import BatchAccount
from tests.soak.chaos_dag import chaos_dag


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_dag_loses_nothing_and_repeats_nothing(
    account: BatchAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    with chaos_dag(account, monkeypatch, tmp_path, seed) as dag:
        dag.run()

        assert dag.proxy.happened
