"""What the how-to on pools shows and says is so."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest
import yaml

from airflow_provider_batchlinux.core.pools.spec.raw import RawPool
from airflow_provider_batchlinux.operators.pool import BatchLinuxCreatePoolOperator
from tests.airflow_harness import run_task
from tests.batch_account import BatchAccount
from tests.source_code import ROOT
from tests.unit.core.pools.spec.property_table import table

PAGE = (ROOT / "docs" / "howto" / "create-a-pool.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
FILE = PAGE.partition("```yaml\n")[2].partition("```")[0]


WORD = "c0rrect-h0rse"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with the Dag and the file that the page shows, and make their connections."""
    [code] = [block for block in BLOCKS if "plain = " in block]
    (tmp_path / "shown.py").write_text(code)
    (tmp_path / "etl.yaml").write_text(FILE.replace("{{ ds_nodash }}", "1"))
    for name in ("ETL_DATA", "ETL_REGISTRY"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps({"conn_type": "generic", "password": WORD}))
    return tmp_path


@pytest.mark.parametrize("name", ["plain", "in_parts", "in_dicts", "from_a_file"])
def test_each_pool_of_the_page_can_be_made(account: BatchAccount, folder: Path, name: str) -> None:
    operator: BatchLinuxCreatePoolOperator = runpy.run_path(str(folder / "shown.py"))[name]
    operator.dag.template_searchpath = str(folder)
    run = run_task(operator)

    assert run.state == "success", run.message
    assert run.result["created"] is True
    assert WORD not in run.everything_said


def test_the_table_of_the_page_is_the_one_of_the_code() -> None:
    assert PAGE.rstrip().endswith(table())


def test_the_file_of_the_page_is_a_body() -> None:
    body = yaml.safe_load(FILE.replace("{{ ds_nodash }}", "1").replace("{{ params.nodes }}", "4"))

    assert RawPool(body, "etl-1", None).problems() == []
