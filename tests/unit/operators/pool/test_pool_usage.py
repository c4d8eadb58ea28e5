"""What a pool uses: told at its end, watched by waits, leases and the sweeper."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux import _metrics
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.pools.usage import PoolUsage
from airflow_provider_batchlinux.exceptions import PoolNotReadyError
from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.operators.sweeper import BatchLinuxSweepPoolsOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from tests.airflow_harness import RUN_ID, ExecutionApi, TaskRun, run_task, run_to_end
from tests.batch_account import BatchAccount
from tests.delays import NODES_IDLE

HOUR = 3600


class Counters:
    """What is sent to Airflow's metrics."""

    def __init__(self) -> None:
        self.got: dict[tuple[str, str | None, str], int] = {}

    def incr(self, name: str, count: int = 1, *, tags: dict[str, str]) -> None:
        key = name, tags.get("kind"), tags["dag_id"]
        self.got[key] = self.got.get(key, 0) + count

    def timing(self, *args: object, **options: object) -> None:
        pass

    gauge = timing


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> Counters:
    made = Counters()
    monkeypatch.setattr(_metrics, "_stats", lambda: made)
    return made


def create(account: BatchAccount, **options: Any) -> None:
    run = run_task(
        BatchLinuxCreatePoolOperator(
            task_id="create", pool_id="etl", image="ubuntu 24.04", vm_size="standard_d2s_v5",
            dedicated_nodes=2, **options,
        )
    )  # fmt: skip
    assert run.state == "success", run.message
    account.control.advance(NODES_IDLE)


def delete(**options: Any) -> BatchLinuxDeletePoolOperator:
    return BatchLinuxDeletePoolOperator(task_id="delete", pool_id="etl", **options)


def wait() -> TaskRun:
    return run_task(BatchLinuxNodesIdleSensor(task_id="nodes", pool_id="etl", poke_interval=0.02))


def sweep(**options: Any) -> TaskRun:
    api = ExecutionApi(live_runs=(RUN_ID,))
    return run_task(BatchLinuxSweepPoolsOperator(task_id="sweep", idle_after=None, **options), api=api)


def recorded(account: BatchAccount) -> PoolUsage:
    body = account.hook.run(lambda client: client.find_pool_body("etl"))
    return PoolUsage.read("etl", metadata_of(body or {}))


def test_the_deletion_tells_what_the_pool_has_used(slow_account, counters):
    create(slow_account)
    slow_account.control.advance(HOUR)

    run = run_task(delete(wait=False))

    assert run.result["dedicated_node_hours"] == pytest.approx(2, abs=0.1)
    assert (run.result["spot_node_hours"], run.result["preemptions"]) == (0, 0)
    assert "Pool 'etl' has used at least 2" in run.log
    seconds = round(run.result["dedicated_node_hours"] * HOUR)
    name = "batchlinux.pool.used_node_seconds"
    assert counters.got[name, "dedicated", "harness"] == pytest.approx(seconds, abs=4)


def test_a_deferred_deletion_tells_it_too(account):
    account.idle_pool(1)

    run = run_to_end(delete(deferrable=True, poll_interval=0.02))

    assert run.result.keys() >= {
        "pool_id",
        "deleted",
        "dedicated_node_hours",
        "spot_node_hours",
        "preemptions",
    }


def test_nodes_that_have_left_since_a_wait_are_counted(slow_account):
    create(slow_account)
    slow_account.control.advance(HOUR)
    assert wait().state == "success"
    slow_account.hook.run(lambda client: client.resize_pool("etl", {"targetDedicatedNodes": 0}))
    slow_account.control.advance(HOUR)
    assert slow_account.nodes() == []

    run = run_task(delete(wait=False))

    assert run.result["dedicated_node_hours"] == pytest.approx(2, abs=0.1)


def test_nodes_that_cannot_be_listed_do_not_stop_the_deletion(slow_account):
    create(slow_account)
    slow_account.control.inject("GET", "/pools/etl/nodes", status=400, code="InvalidQueryParameterValue")

    run = run_task(delete(wait=False))

    assert run.result["deleted"] is True
    assert "What pool 'etl' has used lately is not known" in run.log


def by_sweep() -> TaskRun:
    return sweep(delete=True)


@pytest.mark.parametrize("look", [wait, by_sweep])
@pytest.mark.parametrize("deletes", [False, True])
def test_a_pool_over_its_budget_is_told_and_ended_where_it_says_so(slow_account, look, deletes):
    create(slow_account, max_node_hours="1.5", delete_over_budget=deletes)
    slow_account.control.advance(HOUR)

    run = look()

    assert "it has used 2" in run.log
    assert "of 1.5 node-hours" in run.log
    pool = slow_account.hook.find_pool("etl")
    assert (pool.state == "deleting") is deletes
    if look is wait:
        assert isinstance(run.error, PoolNotReadyError) is deletes


def test_a_pool_within_its_budget_stays_and_is_counted(slow_account):
    create(slow_account, max_node_hours=10, delete_over_budget=True)
    slow_account.control.advance(HOUR)

    run = sweep(delete=True)

    assert run.result["pools"] == []
    assert run.result["over_budget"] == []
    [row] = run.result["usage"]
    hours = [(day["dag_id"], day["dedicated_node_hours"]) for day in run.result["usage_by_day"]]
    assert {dag_id for dag_id, _ in hours} == {row["dag_id"]}
    assert sum(used for _, used in hours) == pytest.approx(row["dedicated_node_hours"], abs=0.01)
    assert (row["dag_id"], row["pools"]) == ("harness", 1)
    assert row["dedicated_node_hours"] == pytest.approx(2, abs=0.1)
    assert recorded(slow_account).usage.node_hours == pytest.approx(2, abs=0.1)


def test_a_dry_run_records_nothing(slow_account):
    create(slow_account, max_node_hours=1)
    slow_account.control.advance(HOUR)

    run = sweep()

    assert [pool["pool_id"] for pool in run.result["over_budget"]] == ["etl"]
    assert recorded(slow_account).usage.until is None


def test_a_limit_that_ends_nothing_and_an_end_without_a_limit_are_refused():
    assert (
        "max_node_hours=0 is not a number above 0"
        in run_task(
            BatchLinuxCreatePoolOperator(task_id="create", image="ubuntu", vm_size="x", max_node_hours=0)
        ).message
    )
    assert (
        "delete_over_budget is given without max_node_hours."
        in run_task(
            BatchLinuxCreatePoolOperator(
                task_id="create", image="ubuntu", vm_size="x", delete_over_budget=True
            )
        ).message
    )
