"""The maintenance Dag carries out each action of the page, and nothing else."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.core.overview.actions import ACTIONS
from airflow_provider_batchlinux.core.pool_metadata import Holder, PoolMarks, rest_metadata
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, entries_in, with_entry
from airflow_provider_batchlinux.task_groups.maintenance import maintenance_dag
from tests.airflow_harness import load_dag, run_dag
from tests.batch_account import BatchAccount, eventually
from tests.conftest import INSTALLATION

EXAMPLE = Path(__file__).parents[2] / "example_dags" / "example_pool_actions.py"
OTHER = {"dag_id": "etl", "run_id": "r", "task_id": "create", "installation": INSTALLATION}
USER = {"name": "nora", "sshPublicKey": "ssh-ed25519 AAAA"}


@pytest.fixture
def node(account: BatchAccount) -> str:
    """Make a pool of another Dag's run, with one node and a user on it; give the node's id."""
    account.idle_pool()
    [node] = account.nodes()
    until = datetime.now(timezone.utc) + timedelta(days=1)
    marks = PoolMarks(owner=OTHER, holders=(Holder.of(OTHER),)).to_metadata()
    metadata = with_entry(marks, LedgerEntry("nora", until, OTHER))
    account.hook.run(lambda client: client.update_pool("etl", {"metadata": rest_metadata(metadata)}))
    account.hook.run(lambda client: client.create_node_user("etl", node.node_id, USER))
    return node.node_id


def carry_out(action: str, **conf: Any) -> Any:
    conf = {"action": action, "conn_id": "azure_batch_linux_default", "pool_id": "etl", **conf}
    dag = load_dag(EXAMPLE)
    for task in dag.tasks:
        if hasattr(task, "poll_interval"):
            task.poll_interval = 0.05
    run = run_dag(dag, conf)
    done = {ti.task_id for ti in run.get_task_instances() if str(ti.state) != "skipped"} - {"choose"}
    return str(run.state), done


def test_each_action_is_carried_out(account: BatchAccount, node: str) -> None:
    def body() -> dict[str, Any]:
        found = account.hook.run(lambda client: client.find_pool_body("etl"))
        return dict(found or {})

    def metadata() -> dict[str, str]:
        return {item["name"]: item["value"] for item in body()["metadata"]}

    assert carry_out("extend", hours=3) == ("success", {"extend"})
    kept = PoolMarks.read(metadata()).kept_until
    assert kept is not None
    assert kept > datetime.now(timezone.utc) + timedelta(hours=2)
    assert carry_out("revoke", username="nora") == ("success", {"revoke"})
    assert "nora" not in entries_in(metadata())
    assert carry_out("reboot", node_id=node) == ("success", {"reboot"})
    assert f"POST /pools/etl/nodes/{node}/reboot" in account.requests()
    assert carry_out("resize_to_0") == ("success", {"disable_autoscale", "resize_to_0"})
    assert body().get("targetDedicatedNodes") == 0
    assert carry_out("delete") == ("success", {"delete"})
    eventually(lambda: account.pools() == [])


def test_an_action_without_its_parameters_does_nothing(account: BatchAccount, node: str) -> None:
    before = [request for request in account.requests() if not request.startswith("GET")]

    state, done = carry_out("reboot")

    assert state == "failed"
    assert [request for request in account.requests() if not request.startswith("GET")] == before
    assert done <= {"reboot", "delete", "disable_autoscale", "extend", "revoke", "resize_to_0"}


def test_only_the_actions_and_the_connections_of_the_dag_are_accepted() -> None:
    dag = maintenance_dag("mine", conn_ids=["one", "two"], max_active_runs=2)

    assert (dag.dag_id, dag.max_active_runs) == ("mine", 2)
    assert dag.schedule is None
    params = {name: dag.params.get_param(name).schema for name in dag.params}
    assert params["action"]["enum"] == list(ACTIONS)
    assert params["conn_id"]["enum"] == ["one", "two"]
    assert json.dumps(params)
