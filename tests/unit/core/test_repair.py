"""What is done about broken nodes, decided from one observation and what was done before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.pool_state import NodeSnapshot, PoolSnapshot
from airflow_provider_batchlinux.core.repair import RepairPlan, RepairSpec, plan_repair
from airflow_provider_batchlinux.core.repair_marks import RepairHistory, history_in, with_history
from tests.unit.core.snapshots import node, pool

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
REBOOTS = RepairSpec(reboots=2)
REPLACES = RepairSpec(replace_unusable=True, unusable_grace=600)
FORMULA = {"autoScaleFormula": "$TargetDedicatedNodes=3;", "autoScaleEvaluationInterval": "PT5M"}
NEW = RepairHistory()


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def failed(name: str = "f", since: float = 10) -> NodeSnapshot:
    return node("starttaskfailed", name, state_since=ago(since))


def lost(name: str = "u", since: float = 601) -> NodeSnapshot:
    return node("unusable", name, state_since=ago(since))


def planned(
    spec: RepairSpec,
    nodes: Sequence[NodeSnapshot],
    found: PoolSnapshot | None = None,
    history: RepairHistory = NEW,
    now: datetime = NOW,
    **more: Any,
) -> RepairPlan:
    return plan_repair(spec, history, found or pool(3), nodes, now, **more)


class TestReboots:
    @pytest.mark.parametrize("allowed", [1, 2, 5])
    def test_a_node_is_rebooted_as_often_as_was_said_and_not_once_more(self, allowed: int) -> None:
        history, reboots = NEW, 0
        for round_number in range(allowed + 3):
            broken = failed(since=1000 - 10 * round_number)
            plan = planned(RepairSpec(reboots=allowed, max_repairs=100), [broken], history=history)
            history, reboots = plan.history, reboots + len(plan.reboot)

        assert reboots == allowed
        assert plan.healing == frozenset()

    def test_each_node_has_its_own_reboots(self) -> None:
        first = planned(RepairSpec(reboots=1), [failed("a")])
        second = planned(RepairSpec(reboots=1), [failed("a", 5), failed("b", 5)], history=first.history)

        assert [each.node_id for each in second.reboot] == ["b"]
        assert second.healing == {"b"}

    def test_nothing_is_rebooted_unasked(self) -> None:
        plan = planned(RepairSpec(), [failed(), lost()])

        assert plan == RepairPlan(NEW)

    def test_what_somebody_has_taken_on_is_waited_for(self) -> None:
        first = planned(REBOOTS, [failed()])
        second = planned(REBOOTS, [failed()], history=first.history)

        assert (second.reboot, second.healing, second.history) == ((), frozenset("f"), first.history)

    def test_what_somebody_has_taken_on_and_not_done_is_taken_over_and_counted_once(self) -> None:
        first = planned(RepairSpec(reboots=1), [failed()])
        later = planned(
            RepairSpec(reboots=1), [failed()], history=first.history, now=NOW + timedelta(minutes=6)
        )

        assert [each.node_id for each in later.reboot] == ["f"]
        assert later.history.total == 1


class TestReplacement:
    def test_a_node_that_is_unusable_for_a_while_is_left_to_the_service(self) -> None:
        plan = planned(REPLACES, [lost(since=600)])

        assert (plan.remove, plan.healing) == ((), frozenset("u"))

    def test_a_node_that_stays_unusable_is_removed_and_the_size_remembered(self) -> None:
        plan = planned(REPLACES, [lost()], pool(2, 1))

        assert [each.node_id for each in plan.remove] == ["u"]
        assert (plan.history.grow_to, plan.history.total, plan.unfinished) == ((2, 1), 1, True)

    def test_a_failed_start_task_hides_no_unusable_node(self) -> None:
        plan = planned(replace(REPLACES, reboots=1), [failed(), lost()])

        assert [each.node_id for each in plan.reboot] == ["f"]
        assert [each.node_id for each in plan.remove] == ["u"]

    def test_at_most_100_nodes_are_removed_at_once(self) -> None:
        each = [lost(str(number)) for number in range(150)]
        plan = planned(replace(REPLACES, max_repairs=200), each, pool(150))

        assert len(plan.remove) == plan.history.total == 100
        assert len(plan.healing) == 150

    @pytest.mark.parametrize("allocation", ["resizing", "stopping"])
    def test_nothing_is_removed_while_the_pool_resizes(self, allocation: str) -> None:
        plan = planned(REPLACES, [lost()], pool(allocation_state=allocation))

        assert (plan.remove, plan.history, plan.healing, plan.unfinished) == ((), NEW, frozenset("u"), True)

    def test_autoscale_is_off_before_nodes_are_removed(self) -> None:
        plan = planned(REPLACES, [lost()], pool(autoscale=True), autoscale=FORMULA)

        assert (plan.disable_autoscale, plan.remove, plan.history.autoscale) == (True, (), FORMULA)

    @pytest.mark.parametrize(
        ("history", "found", "expected"),
        [
            pytest.param({"grow_to": (3, 0)}, pool(2), {"resize_to": (3, 0)}, id="grow back"),
            pytest.param(
                {"grow_to": (3, 0)}, pool(2, allocation_state="resizing"), {}, id="not while it resizes"
            ),
            pytest.param(
                {"grow_to": (3, 0), "autoscale": FORMULA},
                pool(2),
                {"enable_autoscale": FORMULA},
                id="the formula",
            ),
        ],
    )
    def test_a_pool_gets_its_size_back(
        self, history: dict[str, Any], found: PoolSnapshot, expected: dict[str, Any]
    ) -> None:
        before = RepairHistory(**history)

        assert planned(REPLACES, [], found, before) == RepairPlan(before, unfinished=True, **expected)

    @pytest.mark.parametrize(
        ("history", "found"),
        [
            pytest.param({"grow_to": (3, 0)}, pool(3), id="it asks for its nodes again"),
            pytest.param(
                {"grow_to": (3, 0), "autoscale": FORMULA}, pool(2, autoscale=True), id="formula is on"
            ),
        ],
    )
    def test_what_is_as_it_was_is_forgotten(self, history: dict[str, Any], found: PoolSnapshot) -> None:
        assert planned(REPLACES, [], found, RepairHistory(total=1, **history)) == RepairPlan(RepairHistory(1))


class TestCircuitBreaker:
    def test_more_repairs_than_allowed_are_given_up(self) -> None:
        plan = planned(RepairSpec(reboots=9, max_repairs=2), [failed("a"), failed("b"), failed("c")])

        assert plan.give_up is not None
        assert "had 0 repairs, and 3 more are due; max_repairs is 2" in plan.give_up
        assert (plan.reboot, plan.resize_to, plan.healing) == ((), None, frozenset())

    def test_as_many_as_allowed_are_done(self) -> None:
        assert len(planned(RepairSpec(reboots=9, max_repairs=2), [failed("a"), failed("b")]).reboot) == 2

    def test_a_pool_that_is_whole_is_not_given_up(self) -> None:
        assert planned(RepairSpec(reboots=9, max_repairs=2), [], history=RepairHistory(9)).give_up is None

    @pytest.mark.parametrize(
        ("found", "expected"),
        [
            pytest.param(pool(3), {"resize_to": (0, 0)}, id="steady"),
            pytest.param(pool(3, allocation_state="resizing"), {"unfinished": True}, id="waits for steady"),
            pytest.param(
                pool(3, autoscale=True),
                {"disable_autoscale": True, "unfinished": True},
                id="the formula first",
            ),
        ],
    )
    def test_a_pool_is_paid_no_longer_where_that_is_asked(
        self, found: PoolSnapshot, expected: dict[str, Any]
    ) -> None:
        spec = RepairSpec(reboots=1, max_repairs=1, when_exhausted="resize_to_zero")
        plan = planned(spec, [failed("a"), failed("b")], found)

        assert replace(plan, give_up=None) == RepairPlan(NEW, **expected)
        assert (plan.give_up is not None) == ("resize_to" in expected)

    def test_a_pool_that_was_given_up_is_not_grown_back_later(self) -> None:
        history = RepairHistory(5, grow_to=(3, 0), autoscale=FORMULA)
        plan = planned(RepairSpec(reboots=1, max_repairs=5), [failed()], history=history)

        assert plan.history == RepairHistory(5)
        assert (plan.resize_to, plan.enable_autoscale) == (None, FORMULA)


HISTORIES = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 9)), max_size=12)


@given(
    HISTORIES, st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)), st.sampled_from([None, FORMULA])
)
def test_a_history_comes_back_from_the_metadata_and_leaves_other_marks_alone(
    events: list[tuple[str, int]], grow_to: tuple[int, int] | None, autoscale: dict[str, str] | None
) -> None:
    history = RepairHistory(grow_to=grow_to, autoscale=autoscale)
    for name, since in events:
        history = history.with_claims([failed(name, since)], [node("idle", each) for each in "abcdef"], NOW)
    metadata = with_history({"team": "etl"}, history)

    assert history_in(metadata) == history
    assert metadata["team"] == "etl"
    assert with_history(metadata, NEW) == {"team": "etl"}


def test_a_mark_that_is_not_ours_reads_as_no_history() -> None:
    assert history_in({"airflow_batchlinux_repairs": "[1", "airflow_batchlinux_repair_autoscale": "2"}) == NEW


def test_nodes_that_left_are_forgotten_and_their_repairs_still_count() -> None:
    first = planned(REBOOTS, [failed("a")])
    second = planned(REBOOTS, [failed("b")], history=first.history)

    assert (second.history.total, len(second.history.nodes)) == (2, 1)


@pytest.mark.parametrize(
    ("plain", "problem"),
    [
        pytest.param({"reboot": 1}, "repair.reboot is no field of it; did you mean 'reboots'", id="name"),
        pytest.param({"reboots": -1}, "repair.reboots=-1 is not a whole number from 0 up", id="below zero"),
        pytest.param({"max_repairs": 0}, "repair.max_repairs=0 is not a whole number from 1 up", id="none"),
        pytest.param({"when_exhausted": "cry"}, "repair.when_exhausted='cry' is not one of", id="choice"),
        pytest.param({"unusable_grace": 0}, "repair.unusable_grace=0 is not a finite time", id="no grace"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(plain: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        RepairSpec.checked(plain)
