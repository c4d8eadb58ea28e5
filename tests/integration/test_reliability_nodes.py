"""Nodes that change while a task waits for them: they recover, are excluded, or end the wait."""

from __future__ import annotations

from typing import Any

import pytest

from tests.batch_account import BatchAccount, eventually
from tests.faults import meanwhile
from tests.integration.scenarios import WAITS, Call, once_waiting

FAILING = "echo looking for jq; echo jq is missing >&2; exit 3"
FAILING_ON_SPOT = f"[ $AZ_BATCH_NODE_IS_DEDICATED = true ] || {{ {FAILING}; }}"


def ids_of(account: BatchAccount) -> list[str]:
    """List the ids of the pool's nodes."""
    return sorted(node.node_id for node in account.nodes())


@pytest.mark.parametrize("call", WAITS)
def test_a_node_that_leaves_during_a_poll_is_not_called_ready(account: BatchAccount, call: Call) -> None:
    account.idle_pool(2)
    node_id = ids_of(account)[0]
    account.control.clear_requests()
    # The counts said two idle nodes; the answer to the exact question comes late enough to be another one.
    account.control.inject("GET", "/pools/etl/nodes$", delay=0.3)

    def go_and_come_back() -> None:
        eventually(lambda: "GET /nodecounts" in account.requests())
        account.control.set_node("etl", node_id, "preempted")
        eventually(lambda: account.requests().count("GET /nodecounts") >= 2)
        account.control.set_node("etl", node_id, "creating")

    with meanwhile(go_and_come_back):
        run = call()

    assert run.result["nodes"] == {"idle": 2}
    assert account.requests().count("GET /nodecounts") >= 2


@pytest.mark.parametrize("call", WAITS)
def test_a_node_that_is_removed_while_it_is_looked_at_is_not_counted(
    account: BatchAccount, call: Call
) -> None:
    account.idle_pool(2)
    node_id = ids_of(account)[0]
    account.control.clear_requests()
    account.control.inject("GET", "/pools/etl/nodes$", delay=0.3)

    def remove() -> None:
        eventually(lambda: "GET /nodecounts" in account.requests())
        account.hook.run(lambda client: client.remove_nodes("etl", {"nodeList": [node_id]}))

    with meanwhile(remove):
        run = call()

    assert run.result["nodes"] == {"idle": 1}, run.message
    assert node_id not in ids_of(account)


@pytest.mark.parametrize("call", WAITS)
@pytest.mark.parametrize(
    ("status", "code"),
    [
        pytest.param(404, "NodeNotFound", id="node gone"),
        pytest.param(409, "NodeNotReady", id="node down"),
        pytest.param(404, "PoolNotFound", id="pool gone"),
    ],
)
def test_a_failed_node_that_leaves_before_its_output_is_read_still_names_the_cause(
    account: BatchAccount, call: Call, status: int, code: str
) -> None:
    account.make_pool(dedicated=1, start_task=FAILING, until={"starttaskfailed": 1})
    account.control.inject(path="/files/", times=None, status=status, code=code)

    run = call()

    assert type(run.error).__name__ == "PoolNotReadyError"
    assert "start task failed with exit code 3" in run.message


@pytest.mark.parametrize("call", WAITS)
def test_a_spot_node_that_is_preempted_is_waited_for_under_its_id(account: BatchAccount, call: Call) -> None:
    account.make_pool(spot=2, until={"idle": 2})
    before = ids_of(account)
    node_id = account.put_node("preempted")

    with once_waiting(account, lambda: account.control.set_node("etl", node_id, "creating")):
        run = call()

    assert run.result["nodes"] == {"idle": 2}
    assert ids_of(account) == before


@pytest.mark.parametrize("call", WAITS)
def test_a_preempted_node_delays_no_wait_for_which_spot_nodes_are_optional(
    account: BatchAccount, call: Call
) -> None:
    account.make_pool(dedicated=1, spot=1, until={"idle": 2})
    spot = next(node for node in account.nodes() if not node.dedicated)
    account.control.set_node("etl", spot.node_id, "preempted")

    run = call(spot_optional=True)

    assert run.result["nodes"] == {"idle": 1, "preempted": 1}


REPAIR: dict[str, Any] = {"replace_unusable": True, "unusable_grace": 1200}


@pytest.mark.parametrize("call", WAITS)
def test_an_unusable_node_that_the_service_brings_back_is_left_alone(
    account: BatchAccount, call: Call
) -> None:
    account.idle_pool(2)
    before = ids_of(account)
    node_id = account.put_node("unusable")

    with once_waiting(account, lambda: account.control.set_node("etl", node_id, "idle")):
        run = call(repair=REPAIR)

    assert run.state == "success", run.message
    assert run.result["nodes"] == {"idle": 2}
    assert ids_of(account) == before
    assert not [asked for asked in account.requests() if "removenodes" in asked or "reboot" in asked]


@pytest.mark.parametrize("call", WAITS)
def test_an_unusable_node_ends_a_wait_that_is_to_repair_nothing(account: BatchAccount, call: Call) -> None:
    account.idle_pool(2)
    node_id = account.put_node("unusable", errors=[{"code": "DiskFull", "message": "No space is left."}])

    run = call()

    assert type(run.error).__name__ == "PoolNotReadyError"
    assert f"node {node_id!r}: unusable: DiskFull: No space is left." in run.message


@pytest.mark.parametrize("call", WAITS)
def test_one_failed_start_task_ends_the_wait_with_its_output(account: BatchAccount, call: Call) -> None:
    account.make_pool(
        dedicated=2, spot=1, start_task=FAILING_ON_SPOT, until={"idle": 2, "starttaskfailed": 1}
    )

    run = call()

    assert type(run.error).__name__ == "PoolNotReadyError"
    assert "start task failed with exit code 3" in run.message
    assert "jq is missing" in run.message


@pytest.mark.parametrize("call", WAITS)
def test_one_failed_start_task_may_be_left_out(account: BatchAccount, call: Call) -> None:
    account.make_pool(
        dedicated=2, spot=1, start_task=FAILING_ON_SPOT, until={"idle": 2, "starttaskfailed": 1}
    )

    run = call(max_failed_nodes=1)

    assert run.state == "success", run.message
    assert run.result["nodes"] == {"idle": 2, "starttaskfailed": 1}
