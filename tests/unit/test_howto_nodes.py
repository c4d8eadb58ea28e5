"""What the how-to on waiting for nodes shows is so."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from airflow_provider_batchlinux.sensors import _metrics
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import run_task
from tests.batch_account import BatchAccount
from tests.source_code import ROOT

PAGE = (ROOT / "docs" / "howto" / "wait-for-nodes.md").read_text(encoding="utf-8")
CODE = PAGE.partition("```python\n")[2].partition("```")[0]
SHOWN = re.findall(r"^    (\w+) = BatchLinuxNodesIdleSensor", CODE, re.MULTILINE)


@pytest.mark.parametrize("name", SHOWN)
def test_each_wait_of_the_page_ends(account: BatchAccount, tmp_path: Path, name: str) -> None:
    file = tmp_path / "shown.py"
    file.write_text(CODE)
    account.idle_pool(2)
    sensor: BatchLinuxNodesIdleSensor = runpy.run_path(str(file))[name]

    run = run_task(sensor)

    assert run.state == "success", run.message
    assert run.result["nodes"] == {"idle": 2}


def test_the_page_names_each_parameter_of_the_policy() -> None:
    options = {"ready", "running_is_ready", "spot_optional", "max_failed_nodes", "allow_empty", "repair"}
    options |= {"allocation_limit", "boot_limit", "resize_error_limit", "requested_at"}
    options |= {"on_timeout", "when_killed", "resize_again", "resize_again_after"}

    assert {name for name in options if not re.search(rf"\b{name}=", CODE)} == set()


def test_the_page_names_each_metric() -> None:
    told = set(re.findall(r"`(batchlinux\.[\w.]+)`", PAGE))

    others = {_metrics.NODE_HOURS, _metrics.REPAIRS, _metrics.FAILURES}
    assert told == {*_metrics.TIMINGS.values(), *others}


def test_the_page_names_each_kind_of_failure() -> None:
    table = PAGE.partition("| `kind` |")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) == {*_metrics.FAILURE_KINDS.values(), "error"}
