"""The verbs of pools and nodes that no operator of the main job needs, over the real SDK."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.exceptions import BatchRequestError
from tests.batch_account import BatchAccount
from tests.unit.client.sessions import run

Scenario = Callable[[BatchLinuxClient], Awaitable[Any]]
FORMULA = "$TargetDedicatedNodes = 3;"


def result_of(account: BatchAccount, scenario: Scenario) -> Any:
    return run(account.hook.settings(), scenario)


def node_states(account: BatchAccount) -> dict[str, int]:
    return account.hook.node_counts("etl")


def first_node(account: BatchAccount) -> str:
    return account.hook.list_nodes("etl")[0].node_id


def test_a_pool_is_resized(account: BatchAccount) -> None:
    account.make_pool(dedicated=1, until={"idle": 1})

    result_of(account, lambda client: client.resize_pool("etl", {"targetDedicatedNodes": 2}))

    account.wait_for_nodes({"idle": 2})


def test_a_resize_is_stopped_where_it_is(slow_account: BatchAccount) -> None:
    slow_account.make_pool(dedicated=2)

    result_of(slow_account, lambda client: client.stop_resize("etl"))

    found = slow_account.hook.find_pool("etl")
    assert found is not None
    assert found.allocation_state == "stopping"


def test_autoscale_is_enabled_and_disabled(account: BatchAccount) -> None:
    account.make_pool()

    async def work(client: BatchLinuxClient) -> Any:
        await client.enable_autoscale("etl", {"autoScaleFormula": FORMULA})
        enabled = await client.find_pool("etl")
        await client.disable_autoscale("etl")
        return enabled, await client.find_pool("etl")

    enabled, disabled = result_of(account, work)

    assert (enabled.autoscale, disabled.autoscale) == (True, False)


def test_what_a_body_names_is_changed_and_the_rest_of_a_pool_stays(account: BatchAccount) -> None:
    account.make_pool(dedicated=1)

    async def scenario(client: BatchLinuxClient) -> Any:
        await client.update_pool("etl", {"metadata": [{"name": "team", "value": "etl"}]})
        return await client.find_pool_body("etl", ["metadata", "targetDedicatedNodes"])

    found = result_of(account, scenario)

    assert found["metadata"] == [{"name": "team", "value": "etl"}]
    assert found["targetDedicatedNodes"] == 1


def test_pools_are_listed_with_the_wanted_properties(account: BatchAccount) -> None:
    account.make_pool("a")
    account.make_pool("b")

    assert result_of(account, lambda client: client.list_pools(["id"])) == [{"id": "a"}, {"id": "b"}]


def test_a_filter_chooses_among_the_pools(account: BatchAccount) -> None:
    account.make_pool("a")
    account.make_pool("b")

    assert result_of(account, lambda client: client.list_pools(["id"], where="id eq 'b'")) == [{"id": "b"}]


def test_the_nodes_of_all_pools_are_counted_at_once(account: BatchAccount) -> None:
    account.make_pool("a", dedicated=1, until={"idle": 1})
    account.make_pool("b", spot=2, until={"idle": 2})

    counts = result_of(account, lambda client: client.all_node_counts())

    assert counts == {"a": {"idle": 1}, "b": {"idle": 2}}


def test_a_filter_chooses_among_the_nodes(account: BatchAccount) -> None:
    account.make_pool(dedicated=1, until={"idle": 1})

    nodes = result_of(account, lambda client: client.list_nodes("etl", where="state ne 'idle'"))

    assert nodes == []


def test_a_node_is_removed(account: BatchAccount) -> None:
    account.make_pool(dedicated=2, until={"idle": 2})
    node_id = first_node(account)

    result_of(account, lambda client: client.remove_nodes("etl", {"nodeList": [node_id]}))

    account.wait_for_nodes({"idle": 1})
    assert result_of(account, lambda client: client.find_node_body("etl", node_id, ["id"])) is None


@pytest.mark.parametrize("action", ["reboot_node", "reimage_node"])
def test_a_node_starts_again(slow_account: BatchAccount, action: str) -> None:
    slow_account.make_pool(dedicated=1)
    slow_account.control.advance(60)
    slow_account.wait_for_nodes({"idle": 1})
    node_id = first_node(slow_account)

    result_of(slow_account, lambda client: getattr(client, action)("etl", node_id))

    assert node_states(slow_account) == {"rebooting" if action == "reboot_node" else "reimaging": 1}


def test_a_node_is_given_back_and_started_again(account: BatchAccount) -> None:
    account.make_pool(dedicated=1, until={"idle": 1})
    node_id = first_node(account)

    result_of(account, lambda client: client.deallocate_node("etl", node_id))
    account.wait_for_nodes({"deallocated": 1})
    result_of(account, lambda client: client.start_node("etl", node_id))

    account.wait_for_nodes({"idle": 1})


def test_a_refused_action_carries_the_code(account: BatchAccount) -> None:
    account.make_pool()

    with pytest.raises(BatchRequestError) as refusal:
        result_of(account, lambda client: client.stop_resize("etl"))

    assert refusal.value.code == "OperationInvalidForCurrentState"
