"""More commands than a benchmark has, through the operator and over the wire."""

from __future__ import annotations

from tests.airflow_harness import run_task
from tests.batch_account import BatchAccount
from tests.unit.commands import job_operator


def test_more_than_ten_thousand_items_are_taken(account: BatchAccount) -> None:
    account.idle_pool(20)

    done = run_task(job_operator(command="test {item} != 10000", items=list(range(10_001)), max_failed=1))

    assert done.state == "success", done.error
    counts = {name: done.result[name] for name in ("tasks", "succeeded", "failed", "not_run", "records")}
    assert counts == {"tasks": 10_001, "succeeded": 10_000, "failed": 1, "not_run": 0, "records": None}
    assert "The records of 10001 commands are too large for XCom" in done.log
