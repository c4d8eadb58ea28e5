"""What the how-to on access to nodes shows is so."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.operators.node_users import BatchLinuxAuditNodeUsersOperator
from tests.airflow_harness import TaskRun, run_task
from tests.batch_account import BatchAccount, eventually
from tests.source_code import ROOT

PAGE = (ROOT / "docs" / "howto" / "give-access-to-nodes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def shown(name: str, folder: Path) -> Any:
    """Make the task that the page gives a name."""
    [code] = [block for block in BLOCKS if re.search(rf"^    {name} = ", block, re.MULTILINE)]
    file = folder / "shown.py"
    file.write_text(code)
    return runpy.run_path(str(file))[name]


def done(name: str, folder: Path) -> TaskRun:
    run = run_task(shown(name, folder))
    assert run.state == "success", run.message
    return run


@pytest.fixture
def research(account: BatchAccount) -> BatchAccount:
    account.idle_pool(2, pool_id="research", ssh=True)
    return account


@pytest.mark.usefixtures("research")
def test_the_diagnosis_looks_at_all_nodes_and_airflows_operator_at_one(tmp_path: Path) -> None:
    everywhere = done("everywhere", tmp_path).result

    assert [node["outcome"] for node in everywhere["nodes"]] == ["succeeded"] * 2
    assert done("anywhere", tmp_path).result
    audit = run_task(BatchLinuxAuditNodeUsersOperator(task_id="audit", pool_ids=["research"]))
    assert audit.result["users"] == []


def test_the_start_task_of_the_page_fails_and_its_node_is_idle_all_the_same(
    account: BatchAccount, tmp_path: Path
) -> None:
    [code] = [block for block in BLOCKS if "wait_for_success=False" in block]
    (tmp_path / "shown.py").write_text(code)

    assert run_task(runpy.run_path(str(tmp_path / "shown.py"))["create"]).state == "success"
    account.wait_for_nodes({"idle": 1}, pool_id="debug")

    def has_failed() -> bool:
        [node] = account.nodes("debug")
        return node.start_task is not None and node.start_task.result == "failure"

    eventually(has_failed)
