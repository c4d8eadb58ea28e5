"""Who can reach SSH on a pool's nodes: closed, open to some, or to the whole Internet."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.operators.node_ssh import BatchLinuxRunOnNodesOperator
from airflow_provider_batchlinux.operators.node_users import (
    BatchLinuxAddNodeUsersOperator,
    BatchLinuxAuditNodeUsersOperator,
)
from airflow_provider_batchlinux.operators.node_users_lease import BatchLinuxLeaseNodeUsersOperator
from airflow_provider_batchlinux.specs import EndpointSpec, NetworkSpec
from tests.airflow_harness import TaskRun, run_task
from tests.batch_account import BatchAccount
from tests.conftest import set_connection
from tests.unit.operators.pool.test_pool_create import create

NAT = {
    "name": "door",
    "protocol": "tcp",
    "backendPort": 22,
    "frontendPortRangeStart": 40000,
    "frontendPortRangeEnd": 40099,
}
RAW = {
    "id": "etl",
    "vmSize": "standard_d2s_v5",
    "virtualMachineConfiguration": {"imageReference": "ubuntu 24.04"},
    "networkConfiguration": {"endpointConfiguration": {"inboundNATPools": [NAT]}},
}
OPEN: dict[str, dict[str, Any]] = {
    "all of version 4": {"ssh_from": ["0.0.0.0/0"]},
    "all of version 6": {"ssh_from": ["203.0.113.0/24", "::/0"]},
    "rendered": {"ssh_from": "{{ ['0.0.0.0/0'] }}"},
    "an endpoint without rules": {"network": NetworkSpec(endpoints=[EndpointSpec("door", 22, 40000, 40099)])},
    "a body": {"body": RAW, "image": None, "vm_size": None},
}
WARNING = "Pool 'etl': SSH is open to the whole Internet"


def nat_pools(account: BatchAccount) -> list[dict[str, Any]]:
    body = account.hook.run(lambda client: client.find_pool_body("etl")) or {}
    network: dict[str, Any] = body.get("networkConfiguration") or {}
    found: list[dict[str, Any]] = (network.get("endpointConfiguration") or {}).get("inboundNATPools") or []
    return found


def audit() -> TaskRun:
    return run_task(BatchLinuxAuditNodeUsersOperator(task_id="audit"))


@pytest.mark.parametrize("options", OPEN.values(), ids=OPEN)
def test_a_pool_that_is_open_to_all_warns_or_is_refused_before_any_request(
    account: BatchAccount, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    set_connection(monkeypatch, account.service, forbid_open_ssh=True)
    by_connection = run_task(create(pool_id="etl", **options))
    set_connection(monkeypatch, account.service)
    monkeypatch.setenv("AIRFLOW__BATCH_LINUX__FORBID_OPEN_SSH", "True")
    by_option = run_task(create(pool_id="etl", **options))
    monkeypatch.delenv("AIRFLOW__BATCH_LINUX__FORBID_OPEN_SSH")

    for run in (by_connection, by_option):
        assert "SSH is open to the whole Internet: endpoint" in run.message
        assert "forbid_open_ssh refuses that" in run.message
    assert account.requests() == []
    run = run_task(create(pool_id="etl", **options))
    assert run.state == "success", run.message
    assert WARNING in run.log
    [pool] = audit().result["open_pools"]
    assert pool["pool_id"] == "etl"


@pytest.mark.parametrize(
    ("ssh_from", "rules"),
    [
        (None, None),
        ([], [("deny", "*")]),
        ("[]", [("deny", "*")]),
        (["203.0.113.0/24"], [("allow", "203.0.113.0/24"), ("deny", "*")]),
    ],
)
def test_a_pool_is_closed_by_default_or_by_a_rule_or_open_to_some(
    account: BatchAccount, monkeypatch: pytest.MonkeyPatch, ssh_from: Any, rules: Any
) -> None:
    set_connection(monkeypatch, account.service, forbid_open_ssh="yes")

    run = run_task(create(pool_id="etl", ssh_from=ssh_from))

    assert run.state == "success", run.message
    assert "open to the whole Internet" not in run.log
    made = [
        [(rule["access"], rule["sourceAddressPrefix"]) for rule in pool["networkSecurityGroupRules"]]
        for pool in nat_pools(account)
    ]
    assert made == ([] if rules is None else [rules])
    assert audit().result["open_pools"] == []


def test_who_adds_a_user_to_an_open_pool_or_a_closed_one_is_told_or_refused(
    account: BatchAccount, public_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add: dict[str, Any] = {
        "task_id": "add",
        "username": "nora",
        "ssh_public_key": public_key,
        "expires_in": 600,
    }
    assert run_task(create(pool_id="open", ssh_from=["0.0.0.0/0"], dedicated_nodes=1)).state == "success"
    assert run_task(create(pool_id="shut", ssh_from=[], dedicated_nodes=1)).state == "success"
    for pool_id in ("open", "shut"):
        account.wait_for_nodes({"idle": 1}, pool_id=pool_id)

    told = run_task(BatchLinuxAddNodeUsersOperator(pool_id="open", **add))
    lease = BatchLinuxLeaseNodeUsersOperator(
        pool_id="open", task_id="lease", username="ann", ssh_public_key=public_key, expires_in=600,
        address="private",
    )  # fmt: skip
    leased = run_task(lease)
    closed = run_task(BatchLinuxAddNodeUsersOperator(pool_id="shut", **add))
    refused = run_task(BatchLinuxAddNodeUsersOperator(pool_id="shut", address="public", **add))

    assert "Pool 'open': SSH is open to the whole Internet" in told.log
    assert leased.state == "deferred"
    assert "Pool 'open': SSH is open to the whole Internet" in leased.log
    assert "Pool 'shut' denies SSH to all networks (ssh_from=[])" in closed.log
    assert closed.state == "success", closed.message
    assert "Pool 'shut' denies SSH to all networks" in refused.message

    set_connection(monkeypatch, account.service, forbid_open_ssh=True)
    on_node = BatchLinuxRunOnNodesOperator(task_id="look", pool_id="open", command="true")
    before = len(account.requests())
    for operator in (BatchLinuxAddNodeUsersOperator(pool_id="open", **add), lease, on_node):
        forbidden = run_task(operator)
        assert "forbid_open_ssh refuses users on such a pool" in forbidden.message
    assert not [line for line in account.requests()[before:] if "/users" in line]
