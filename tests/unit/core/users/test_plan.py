"""Which nodes get a user now, which are waited for, and how many may fail."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.counts import allowed_of
from airflow_provider_batchlinux.core.nodes.actions import NodeChoice
from airflow_provider_batchlinux.core.parameters.kinds import count_or_share_of
from airflow_provider_batchlinux.core.users.plan import (
    UserPlan,
    is_growing,
    plan_of,
    refused_too_early,
)
from airflow_provider_batchlinux.core.users.user import UserOutcome, UserRecord
from tests.unit.core.snapshots import node, nodes, pool

ALL = NodeChoice()
STATES = (
    *("idle", "running", "starttaskfailed", "unusable", "offline"),
    *("creating", "starting", "waitingforstarttask", "rebooting", "reimaging", "upgradingos", "unknown"),
    *("preempted", "leavingpool", "deallocating", "deallocated"),
)


def names(some: tuple[Any, ...]) -> list[str]:
    return [each.node_id for each in some]


def parts(plan: UserPlan) -> tuple[list[str], list[str], list[str]]:
    return names(plan.due), names(plan.waiting), names(plan.skipped)


@pytest.mark.parametrize(
    ("state", "part"),
    [
        *[pytest.param(state, "due", id=state) for state in STATES[:5]],
        *[pytest.param(state, "waiting", id=state) for state in STATES[5:12]],
        *[pytest.param(state, "skipped", id=state) for state in STATES[12:]],
    ],
)
def test_a_node_is_called_for_waited_for_or_skipped_by_its_state(state: str, part: str) -> None:
    plan = plan_of([node(state)], ALL)

    assert names(getattr(plan, part)) == ["tvm-1"]
    assert sum(len(some) for some in parts(plan)) == 1


@pytest.mark.parametrize("state", ["creating", "reimaging"])
def test_a_new_machine_is_not_waited_for_to_take_a_user_off(state: str) -> None:
    assert parts(plan_of([node(state)], ALL, removing=True)) == ([], [], ["tvm-1"])


@pytest.mark.parametrize("state", ["starting", "rebooting", "waitingforstarttask"])
def test_a_user_may_come_back_with_a_booting_node_so_its_removal_waits(state: str) -> None:
    assert parts(plan_of([node(state)], ALL, removing=True)) == ([], ["tvm-1"], [])


def test_a_state_that_the_provider_does_not_know_is_left_to_the_service() -> None:
    assert parts(plan_of([node("brandnew")], ALL)) == (["tvm-1"], [], [])


def test_chosen_states_are_called_for_as_they_are_and_nothing_is_waited_for() -> None:
    plan = plan_of(nodes(idle=1, starting=1, preempted=1), NodeChoice(states=["Idle", "start_ing"]))

    assert parts(plan) == (["idle-0", "starting-0"], [], ["preempted-0"])


def test_chosen_nodes_are_meant_and_no_others() -> None:
    plan = plan_of(nodes(idle=2, starting=1), NodeChoice(["IDLE-1", "starting-0", "gone-0"]))

    assert parts(plan) == (["idle-1"], ["starting-0"], [])
    assert plan.missing == ("gone-0",)
    assert plan.size == 2


def test_nodes_that_are_done_are_left_out() -> None:
    assert parts(plan_of(nodes(idle=2), ALL, done=["IDLE-0"])) == (["idle-1"], [], [])


def test_a_node_that_a_listing_shows_twice_is_called_for_once() -> None:
    assert names(plan_of([node("starting"), node("idle")], ALL).due) == ["tvm-1"]


@given(st.lists(st.sampled_from(STATES)), st.booleans())
def test_every_node_is_in_one_part(states: list[str], removing: bool) -> None:
    listed = [node(state, f"tvm-{number}") for number, state in enumerate(states)]

    plan = plan_of(listed, ALL, removing=removing)

    assert sorted(chain(*parts(plan))) == sorted(each.node_id for each in listed)


@pytest.mark.parametrize(
    ("found", "grows"),
    [
        pytest.param(pool(2), False, id="steady"),
        pytest.param(pool(2, allocation_state="resizing", current_dedicated=1), True, id="nodes to come"),
        pytest.param(pool(2, allocation_state="resizing"), False, id="all here"),
        pytest.param(pool(2, current_dedicated=1), False, id="came short"),
        pytest.param(None, False, id="no pool"),
    ],
)
def test_a_pool_grows_while_it_resizes_and_lacks_nodes(found: Any, grows: bool) -> None:
    assert is_growing(found) is grows


@pytest.mark.parametrize(
    ("changes", "early"),
    [
        pytest.param({"code": "NodeBeingRebooted"}, True, id="booting"),
        pytest.param({"code": "NodeNotReady"}, True, id="not ready in time"),
        pytest.param({"code": "NodeStateUnusable"}, False, id="unusable"),
        pytest.param({"code": None}, False, id="no answer"),
        pytest.param({"code": "NodeBeingRebooted", "outcome": UserOutcome.ADDED}, False, id="no failure"),
    ],
)
def test_a_refusal_for_a_state_that_passes_is_worth_waiting(changes: dict[str, Any], early: bool) -> None:
    record = replace(UserRecord.of(node("idle"), "etl", UserOutcome.FAILED), **changes)

    assert refused_too_early(record) is early


@pytest.mark.parametrize(
    ("limit", "of_nodes", "allowed"),
    [
        pytest.param(0, 10, 0, id="none"),
        pytest.param(3, 10, 3, id="a number"),
        pytest.param("5%", 100, 5, id="a share"),
        pytest.param("5%", 39, 1, id="a share, rounded down"),
        pytest.param(" 2.5 % ", 40, 1, id="a broken share"),
        pytest.param("29%", 100, 29, id="a share that floats get wrong"),
        pytest.param("100%", 7, 7, id="all"),
    ],
)
def test_at_most_this_number_of_nodes_may_fail(limit: int | str, of_nodes: int, allowed: int) -> None:
    assert count_or_share_of(limit) == (limit.strip() if isinstance(limit, str) else limit)
    assert allowed_of(limit, of_nodes) == allowed
