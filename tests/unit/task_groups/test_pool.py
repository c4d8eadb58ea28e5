"""A pool as one block of a Dag: what waits for its nodes, what its deletion waits for, and what clears it."""

from __future__ import annotations

import inspect
from typing import Any

import pendulum
import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TaskGroup

from airflow_provider_batchlinux.operators.node_users import (
    BatchLinuxAddNodeUsersOperator,
    BatchLinuxRemoveNodeUsersOperator,
)
from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from airflow_provider_batchlinux.task_groups import _parameters
from airflow_provider_batchlinux.task_groups.pool import BatchLinuxPool
from tests.airflow_harness import dag_serializer, run_dag
from tests.batch_account import eventually

PARTS: dict[str, Any] = {"image": "ubuntu 24.04", "vm_size": "standard_d2s_v5", "dedicated_nodes": 1}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl etl"
PACE: dict[str, Any] = {"poll_interval": 0.05, "poke_interval": 0.05}


def new_dag(dag_id: str = "block") -> DAG:
    return DAG(dag_id, schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"))


def command(task_id: str, pool: BatchLinuxPool, **options: Any) -> BatchLinuxTaskOperator:
    return BatchLinuxTaskOperator(
        task_id=task_id, pool_id=pool.pool_id, **{"command": "true", "poll_interval": 0.05, **options}
    )


def upstream_of(dag: DAG, task_id: str) -> set[str]:
    return set(dag.get_task(task_id).upstream_task_ids)


def states(run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


def test_only_what_uses_the_pool_waits_for_its_nodes_and_the_deletion_waits_for_that():
    with new_dag() as dag, BatchLinuxPool("nodes", **PARTS) as pool:
        extract = EmptyOperator(task_id="extract")
        transform = command("transform", pool)
        load = EmptyOperator(task_id="load")
        mapped = BatchLinuxTaskOperator.partial(task_id="mapped", pool_id=pool.pool_id).expand(command=["a"])
        extract >> transform >> load

    assert upstream_of(dag, "nodes.extract") == set()
    assert upstream_of(dag, "nodes.transform") == {"nodes.extract", "nodes.wait"}
    assert upstream_of(dag, mapped.task_id) == {"nodes.wait"}
    assert upstream_of(dag, "nodes.delete") == {"nodes.create", "nodes.wait", "nodes.load", "nodes.mapped"}
    assert upstream_of(dag, "nodes.end") == {"nodes.load", "nodes.mapped"}
    assert upstream_of(dag, "nodes.wait") == {"nodes.create"}


def test_a_pool_in_another_group_beside_its_users_is_deleted_after_them():
    with new_dag() as dag, TaskGroup("outer"), BatchLinuxPool("nodes", **PARTS) as pool:
        add = BatchLinuxAddNodeUsersOperator(
            task_id="add", pool_id=pool.pool_id, username="etl", ssh_public_key=KEY, expires_in=3600
        ).as_setup()
        remove = BatchLinuxRemoveNodeUsersOperator(
            task_id="remove", pool_id=pool.pool_id, username="etl"
        ).as_teardown(setups=add)
        add >> command("work", pool) >> remove

    assert "outer.nodes.remove" in upstream_of(dag, "outer.nodes.delete")
    assert upstream_of(dag, "outer.nodes.work") == {"outer.nodes.add", "outer.nodes.wait"}
    assert upstream_of(dag, "outer.nodes.end") == {"outer.nodes.work"}, "The teardown hides a failure of it."


def test_clearing_a_task_inside_brings_back_pool_and_wait():
    with new_dag() as dag:
        with BatchLinuxPool("nodes", **PARTS) as pool:
            command("work", pool)
        after = EmptyOperator(task_id="after")
        pool >> after
    stored = dag_serializer().from_dict(dag_serializer().to_dict(dag))

    cleared = stored.partial_subset(["nodes.work"], include_upstream=False, include_downstream=False)

    assert set(cleared.task_ids) == {"nodes.create", "nodes.wait", "nodes.work", "nodes.delete"}
    assert upstream_of(dag, "after") == {"nodes.end"}, "What follows the group does not wait for a teardown."


def test_a_task_that_is_made_after_the_block_cannot_use_the_pool():
    with new_dag():
        with BatchLinuxPool("nodes", **PARTS) as pool:
            pass
        with pytest.raises(RuntimeError, match="Create the task inside the block"):
            command("late", pool)


def test_a_parameter_that_does_not_exist_is_refused():
    with new_dag(), pytest.raises(TypeError, match="no parameter dedicated_node"):
        BatchLinuxPool("nodes", dedicated_node=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("kind", "operator", "left_out"),
    [
        (_parameters.CreateParameters, BatchLinuxCreatePoolOperator, set()),
        (_parameters.WaitParameters, BatchLinuxNodesIdleSensor, {"pool_id", "requested_at"}),
        (_parameters.DeleteParameters, BatchLinuxDeletePoolOperator, {"pool_id"}),
    ],
    ids=["create", "wait", "delete"],
)
def test_the_group_takes_every_parameter_of_its_operators(kind: Any, operator: Any, left_out: set[str]):
    expected = {
        item.name
        for base in operator.__mro__
        if "__init__" in vars(base) and base.__module__.startswith("airflow_provider_batchlinux.")
        for item in inspect.signature(vars(base)["__init__"]).parameters.values()
        if item.kind is item.KEYWORD_ONLY and item.name not in left_out
    }
    renamed = _parameters.NAMES_OF_DELETE if kind is _parameters.DeleteParameters else {}
    found = {renamed.get(name, name) for name in kind.__annotations__}

    assert found == expected


FORBIDDEN = {"status": 403, "code": "Forbidden", "times": None}


@pytest.mark.parametrize(
    ("work", "fault", "expected"),
    [
        ("true", None, {"work": "success", "end": "success", "delete": "success"}),
        ("exit 3", None, {"work": "failed", "end": "upstream_failed", "delete": "success"}),
        ("true", FORBIDDEN, {"work": "success", "end": "success", "delete": "failed"}),
        (None, None, {"end": "success", "delete": "success"}),
    ],
    ids=["all succeed", "the work fails", "the deletion fails", "nothing uses the pool"],
)
def test_a_run_succeeds_if_the_work_and_the_deletion_do(account, work, fault, expected):
    with new_dag() as dag, BatchLinuxPool("nodes", **PARTS, **PACE) as pool:
        if work is not None:
            command("work", pool, command=work)
    if fault is not None:
        account.control.inject("DELETE", "/pools/", **fault)

    run = run_dag(dag)

    found = states(run)
    assert {name: found[f"nodes.{name}"] for name in expected} == expected
    assert str(run.state) == ("success" if set(expected.values()) == {"success"} else "failed")
    eventually(lambda: len(account.pools()) == (0 if fault is None else 1))


@pytest.mark.parametrize(
    ("if_exists", "expected"),
    [
        ("fail", {"create": "failed", "work": "upstream_failed", "end": "upstream_failed"}),
        ("ignore", {"create": "success", "work": "success", "end": "success"}),
    ],
)
def test_a_pool_of_another_client_is_used_if_the_block_says_so_and_is_never_deleted(
    account, if_exists, expected
):
    account.idle_pool()
    with (
        new_dag() as dag,
        BatchLinuxPool("nodes", pool_id="etl", if_exists=if_exists, **PARTS, **PACE) as pool,
    ):
        command("work", pool)

    run = run_dag(dag)

    found = states(run)
    assert {name: found[f"nodes.{name}"] for name in expected} == expected
    assert account.pools() == ["etl"]
