"""What recordings show of the moments between a request and its effect, on a clock that stands still."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_batchlinux.emulator import RunningEmulator
from tests.emulator.conftest import Account

POOL = "/pools/linux"
ONE = {"autoScaleFormula": "$TargetDedicatedNodes=1"}
TWO = {"autoScaleFormula": "$TargetDedicatedNodes=2"}


@pytest.fixture
def slow(shared_slow_emulator: RunningEmulator) -> Account:
    """Give an empty account in which nothing goes on before its clock is moved."""
    shared_slow_emulator.control.reset()
    return Account(shared_slow_emulator)


def settle(account: Account) -> None:
    """Let a resize end that has nothing to do."""
    account.emulator.control.advance(2)
    assert account.send("GET", POOL)["allocationState"] == "steady"


def test_a_pool_shows_the_run_of_a_formula_a_second_after_it_was_enabled(slow: Account) -> None:
    slow.create_pool(nodes=0)
    settle(slow)
    slow.send("POST", f"{POOL}/enableautoscale", ONE)
    before = slow.send("GET", POOL)
    slow.emulator.control.advance(1)
    after = slow.send("GET", POOL)

    assert (before["allocationState"], "autoScaleRun" in before) == ("resizing", False)
    assert after["autoScaleRun"]["results"].startswith("$TargetDedicatedNodes=1;")


def test_evaluating_and_enabling_go_on_during_a_resize_and_change_a_pool_only_by_a_new_one(
    slow: Account,
) -> None:
    slow.create_pool(nodes=0)
    settle(slow)
    found: list[tuple[str, Any, str]] = []

    def act(action: str, body: dict[str, str] | None = None) -> None:
        slow.send("POST", f"{POOL}/{action}", body)
        pool = slow.send("GET", POOL)
        found.append((action, pool["targetDedicatedNodes"], pool["eTag"]))

    act("enableautoscale", ONE)
    act("evaluateautoscale", TWO)
    slow.emulator.control.advance(30)
    act("enableautoscale", ONE)
    slow.emulator.control.advance(30.5)
    act("enableautoscale", TWO)
    act("disableautoscale")

    etags = [etag for *_, etag in found]
    assert [target for _, target, _ in found] == [1, 1, 1, 2, 2]
    assert etags[0] == etags[1] == etags[2] != etags[3] == etags[4]


def test_extensions_are_created_with_their_node(slow: Account) -> None:
    extension = {"name": "zz", "publisher": "p", "type": "t"}
    reference = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
    machine = {"imageReference": reference, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
    slow.create_pool(virtualMachineConfiguration={**machine, "extensions": [extension]})
    while not slow.nodes():
        slow.emulator.control.advance(1)
    (node,) = slow.nodes()
    shown = slow.send("GET", f"{POOL}/nodes/{node['id']}/extensions")["value"]

    assert node["state"] == "creating"
    assert [(each["provisioningState"], each["instanceView"]) for each in shown] == [("Creating", {})] * 2
    assert [each["vmExtension"]["name"] for each in shown] == ["zz", "batchNodeExtension"]
