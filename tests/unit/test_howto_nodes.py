"""What the how-to on waiting for nodes shows is so."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from airflow_provider_batchlinux import _metrics
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import ExecutionApi, run_task
from tests.batch_account import BatchAccount
from tests.source_code import ROOT

PAGE = (ROOT / "docs" / "howto" / "wait-for-nodes.md").read_text(encoding="utf-8")
CODE = "from datetime" + PAGE.partition("```python\nfrom datetime")[2].partition("```")[0]
GROWING = (
    "from datetime"
    + PAGE.partition("```python\nfrom datetime")[2]
    .partition("```python\nfrom datetime")[2]
    .partition("```")[0]
)
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
    named = set(re.findall(r"`(batchlinux\.[\w.]+)`", PAGE))

    others = {_metrics.NODE_HOURS, _metrics.REPAIRS, _metrics.FAILURES}
    assert named == {*_metrics.TIMINGS.values(), *others}


def test_the_page_names_each_kind_of_failure() -> None:
    table = PAGE.partition("| `kind` |")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) == {*_metrics.FAILURE_KINDS.values(), "error"}


@pytest.mark.parametrize("nodes", [pytest.param(1, id="grows"), pytest.param(8, id="has its size")])
def test_the_sensor_of_the_page_takes_the_instant_of_the_resize(
    account: BatchAccount, tmp_path: Path, nodes: int
) -> None:
    file = tmp_path / "shown.py"
    file.write_text(GROWING)
    account.make_pool(spot=nodes, until={"idle": nodes})
    shown = runpy.run_path(str(file))
    grown = run_task(shown["grow"])

    run = run_task(shown["grown"], api=ExecutionApi(xcoms=dict(grown.xcoms)))

    assert run.state in {"success", "deferred"}, run.message
    assert run.rendered["requested_at"] == (grown.result["requested_at"] or "")
    assert bool(run.rendered["requested_at"]) is (nodes < 8)
