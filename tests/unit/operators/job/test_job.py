"""The operator that runs many commands as one job: what runs, what it tells, on the worker and deferred."""

from __future__ import annotations

import pytest

from airflow_provider_batchlinux.exceptions import TaskFailedError
from airflow_provider_batchlinux.specs import TaskSpec
from tests.airflow_harness import run_to_end
from tests.batch_account import BatchAccount, eventually
from tests.unit.commands import job_operator

either_way = pytest.mark.parametrize(
    "deferrable", [pytest.param(False, id="worker"), pytest.param(True, id="triggerer")]
)


@either_way
def test_a_command_runs_for_each_item_and_each_has_its_record(
    account: BatchAccount, deferrable: bool
) -> None:
    account.idle_pool(2)

    done = run_to_end(
        job_operator(
            command="echo {item.n} > r.json; test {item.text} = 'a b'",
            items=[{"n": number, "text": "a b"} for number in range(5)],
            result_file="r.json",
            deferrable=deferrable,
        )
    )

    assert done.state == "success", done.error
    assert (done.result["tasks"], done.result["succeeded"], done.result["failed"]) == (5, 5, 0)
    records = done.result["records"]
    assert [record["result"] for record in records] == [0, 1, 2, 3, 4]
    assert [record["id"][:5] for record in records] == ["00000", "00001", "00002", "00003", "00004"]
    assert {record["exit_code"] for record in records} == {0}
    assert {record["node_id"] for record in records} <= {node.node_id for node in account.nodes()}
    assert "5 commands: 5 succeeded." in done.log
    eventually(lambda: account.jobs() == [])


@either_way
def test_failures_are_named_with_the_end_of_their_stderr(account: BatchAccount, deferrable: bool) -> None:
    account.idle_pool(2)
    tasks = ["true", TaskSpec("echo no such table >&2; exit 3", id="load"), {"command": "true"}]

    done = run_to_end(job_operator(tasks=tasks, deferrable=deferrable))

    assert isinstance(done.error, TaskFailedError)
    assert done.error.exit_code == 3
    assert "1 of 3 commands did not succeed" in done.message
    assert "'load' in job " in done.message
    assert "no such table" in done.message
    assert f"{len(account.jobs())} jobs" == "1 jobs"  # for a retry
