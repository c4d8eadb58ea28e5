"""The example Dags as a user runs them: through the REST API, with a person who logs in meanwhile."""

from __future__ import annotations

import shutil

import pytest

from tests.e2e.account import Account
from tests.e2e.conftest import WORKBENCH, Examples
from tests.e2e.rest import Run

NODE_PREFIX = "tvmps_"


def _assert_success(run: Run) -> None:
    states = run.states()

    assert all(state == "success" for states_of_task in states.values() for state in states_of_task), states


def test_the_pool_example_succeeds_in_all_its_tasks(examples: Examples):
    _assert_success(examples.pool)


def test_the_etl_example_succeeds_in_all_its_tasks(examples: Examples):
    _assert_success(examples.etl)


def test_the_example_of_python_functions_succeeds_in_all_its_tasks(examples: Examples):
    _assert_success(examples.functions)
    assert examples.functions.result("average") == pytest.approx(3.14, abs=0.02)
    assert "points are inside the circle" in examples.functions.log("linux.estimate", map_index=2)


def test_the_mapped_tasks_of_the_etl_example_run_on_more_than_one_node(examples: Examples):
    nodes = {examples.etl.result("linux.transform", map_index=index)["node_id"] for index in range(7)}

    assert len(nodes) > 1
    assert all(node.startswith(NODE_PREFIX) for node in nodes)


def test_the_totals_come_back_through_xcom(examples: Examples):
    totals = examples.etl.result("linux.load")

    assert (totals["days"], totals["flights"]) == (7, 6099)


@pytest.mark.skipif(shutil.which("ssh") is None, reason="this system has no ssh client")
def test_the_systems_ssh_client_logs_in_while_the_dag_runs(examples: Examples):
    assert examples.login is not None

    assert examples.login.typed.startswith("ssh ")
    assert examples.login.answer.startswith(NODE_PREFIX)


def test_the_log_of_a_command_shows_its_stdout(examples: Examples):
    log = examples.pool.log("work")

    assert "step 5 of 5" in log
    assert f"of run {examples.pool.run_id}" in log


def test_the_log_of_the_sensor_shows_nodes_by_state_from_worker_and_triggerer(examples: Examples):
    lines = [line for line in examples.pool.log("nodes_idle").splitlines() if "Spot nodes wanted" in line]

    assert "BatchLinuxNodesIdleSensor: Pool " in lines[0]
    assert "client.waits.loop: Pool " in lines[-1]
    assert "2 dedicated and 1 Spot nodes wanted; nodes: 3 idle; allocation steady" in lines[-1]


def test_the_log_of_the_users_task_shows_a_table(examples: Examples):
    log = examples.pool.log("add_users")
    rows = [line for line in log.splitlines() if line.startswith(NODE_PREFIX)]

    assert len(rows) == 3
    assert all("ssh -p " in row and "etl@127.0.0.1" in row for row in rows)


def test_the_image_and_the_pool_are_rendered_and_returned(examples: Examples):
    created = examples.pool.result("create_pool")

    assert created["node_agent_sku"] == "batch.node.ubuntu 24.04"
    assert examples.pool.rendered("nodes_idle")["pool_id"] == created["pool_id"]


def test_an_account_outside_azure_gives_no_link(examples: Examples):
    assert examples.pool.links("create_pool") == {"Pool in Airflow": None, "Pool in the Azure portal": None}


def test_the_examples_leave_nothing_behind(examples: Examples, account: Account):
    made = [examples.pool.result("create_pool")["pool_id"]]
    made += [run.result("linux.create")["pool_id"] for run in (examples.etl, examples.functions)]

    assert not set(made) & set(account.pools())
    assert not [job for job in account.jobs() if "example" in job]
    assert WORKBENCH in account.pools()
