"""What is done about broken nodes, decided from one observation and what was done before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.parameters.reader import read_spec_object
from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX, REPAIRS_KEY
from airflow_provider_batchlinux.core.pools.repair import (
    RepairHistory,
    RepairPlan,
    RepairSpec,
    history_in,
    plan_repair,
    switched_off_formula,
    with_history,
)
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot, ServiceError
from tests.unit.core.snapshots import node, pool

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
REBOOTS = RepairSpec(reboots=2)
REPLACES = RepairSpec(replace_unusable=True, unusable_grace=600)
NEW = RepairHistory()


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def failed(name: str = "f", since: float = 10) -> NodeSnapshot:
    return node("starttaskfailed", name, state_since=ago(since))


def lost(name: str = "u", since: float = 601) -> NodeSnapshot:
    return node("unusable", name, state_since=ago(since))


def ids(nodes: Sequence[NodeSnapshot]) -> list[str]:
    return [each.node_id for each in nodes]


def planned(
    spec: RepairSpec,
    nodes: Sequence[NodeSnapshot],
    found: PoolSnapshot | None = None,
    history: RepairHistory = NEW,
    now: datetime = NOW,
) -> RepairPlan:
    return plan_repair(spec, history, found or pool(3), nodes, now)


class TestReboots:
    @pytest.mark.parametrize("allowed", [1, 2, 5])
    def test_a_node_is_rebooted_as_often_as_was_said_and_not_once_more(self, allowed: int) -> None:
        history, reboots = NEW, 0
        for round_number in range(allowed + 3):
            broken = failed(since=1000 - 10 * round_number)
            plan = planned(RepairSpec(reboots=allowed, max_repairs=100), [broken], history=history)
            history, reboots = plan.history, reboots + len(plan.reboot)

        assert reboots == allowed
        assert plan.healing == ()

    def test_each_node_has_its_own_reboots(self) -> None:
        first = planned(RepairSpec(reboots=1), [failed("a")])
        second = planned(RepairSpec(reboots=1), [failed("a", 5), failed("b", 5)], history=first.history)

        assert ids(second.reboot) == ["b"]
        assert ids(second.healing) == ["b"]

    def test_nothing_is_rebooted_unasked(self) -> None:
        plan = planned(RepairSpec(), [failed(), lost()])

        assert plan == RepairPlan(NEW)

    def test_what_another_wait_has_claimed_is_waited_for(self) -> None:
        first = planned(REBOOTS, [failed()])
        second = planned(REBOOTS, [failed()], history=first.history)

        assert (second.reboot, ids(second.healing), second.history) == ((), ["f"], first.history)

    def test_what_another_wait_has_claimed_and_not_done_is_taken_over_and_counted_once(self) -> None:
        first = planned(RepairSpec(reboots=1), [failed()])
        later = planned(
            RepairSpec(reboots=1), [failed()], history=first.history, now=NOW + timedelta(minutes=6)
        )

        assert ids(later.reboot) == ["f"]
        assert later.history.total == 1


class TestReplacement:
    def test_a_node_that_is_unusable_for_a_while_is_left_to_the_service(self) -> None:
        plan = planned(REPLACES, [lost(since=600)])

        assert (plan.remove, ids(plan.healing)) == ((), ["u"])

    def test_a_node_that_stays_unusable_is_removed_and_the_size_remembered(self) -> None:
        plan = planned(REPLACES, [lost()], pool(2, 1))

        assert ids(plan.remove) == ["u"]
        assert (plan.history.grow_to, plan.history.total, plan.unfinished) == ((2, 1), 1, True)

    def test_a_failed_start_task_hides_no_unusable_node(self) -> None:
        plan = planned(replace(REPLACES, reboots=1), [failed(), lost()])

        assert ids(plan.reboot) == ["f"]
        assert ids(plan.remove) == ["u"]

    def test_at_most_100_nodes_are_removed_at_once(self) -> None:
        each = [lost(str(number)) for number in range(150)]
        plan = planned(replace(REPLACES, max_repairs=200), each, pool(150))

        assert len(plan.remove) == plan.history.total == 100
        assert len(plan.healing) == 150

    @pytest.mark.parametrize("allocation", ["resizing", "stopping"])
    def test_nothing_is_removed_while_the_pool_resizes(self, allocation: str) -> None:
        plan = planned(REPLACES, [lost()], pool(allocation_state=allocation))

        assert (plan.remove, plan.history, plan.unfinished) == ((), NEW, True)
        assert ids(plan.healing) == ["u"]

    def test_under_a_formula_an_unusable_node_is_reported_and_not_removed(self) -> None:
        plan = planned(REPLACES, [lost("a"), lost("b", since=10)], pool(autoscale=True))

        assert (plan.remove, ids(plan.healing), plan.unfinished) == ((), ["b"], False)
        assert plan.report is not None
        assert plan.report.startswith("Unusable nodes 'a' are not replaced, because an autoscale formula")

    def test_under_a_formula_a_failed_start_task_is_rebooted(self) -> None:
        plan = planned(REBOOTS, [failed()], pool(autoscale=True))

        assert (ids(plan.reboot), plan.report) == (["f"], None)

    @pytest.mark.parametrize(
        ("history", "found", "expected"),
        [
            pytest.param({"grow_to": (3, 0)}, pool(2), {"resize_to": (3, 0)}, id="grow back"),
            pytest.param(
                {"grow_to": (3, 0)}, pool(2, allocation_state="resizing"), {}, id="not while it resizes"
            ),
        ],
    )
    def test_a_pool_gets_its_size_back(
        self, history: dict[str, Any], found: PoolSnapshot, expected: dict[str, Any]
    ) -> None:
        before = RepairHistory(heartbeat_at=int(NOW.timestamp()), **history)

        assert planned(REPLACES, [], found, before) == RepairPlan(before, unfinished=True, **expected)

    @pytest.mark.parametrize(
        ("history", "found"),
        [
            pytest.param({"grow_to": (3, 0)}, pool(3), id="it asks for its nodes again"),
            pytest.param({"grow_to": (3, 0)}, pool(2, autoscale=True), id="a formula decides by now"),
        ],
    )
    def test_what_is_as_it_was_is_forgotten(self, history: dict[str, Any], found: PoolSnapshot) -> None:
        plan = planned(REPLACES, [], found, RepairHistory(total=1, heartbeat_at=5, **history))

        assert plan == RepairPlan(RepairHistory(1), is_new=True)


class TestCircuitBreaker:
    def test_more_repairs_than_allowed_are_given_up(self) -> None:
        plan = planned(RepairSpec(reboots=9, max_repairs=2), [failed("a"), failed("b"), failed("c")])

        assert plan.give_up is not None
        assert "had 0 repairs, and 3 more are due; max_repairs is 2" in plan.give_up
        assert (plan.reboot, plan.resize_to, plan.healing) == ((), None, ())

    def test_as_many_as_allowed_are_done(self) -> None:
        assert len(planned(RepairSpec(reboots=9, max_repairs=2), [failed("a"), failed("b")]).reboot) == 2

    def test_a_pool_that_is_whole_is_not_given_up(self) -> None:
        assert planned(RepairSpec(reboots=9, max_repairs=2), [], history=RepairHistory(9)).give_up is None

    @pytest.mark.parametrize(
        ("found", "expected"),
        [
            pytest.param(pool(3), {"resize_to": (0, 0)}, id="steady"),
            pytest.param(pool(3, allocation_state="resizing"), {"unfinished": True}, id="waits for steady"),
            pytest.param(pool(3, autoscale=True), {}, id="a formula decides"),
        ],
    )
    def test_a_pool_is_paid_no_longer_where_that_is_asked(
        self, found: PoolSnapshot, expected: dict[str, Any]
    ) -> None:
        spec = RepairSpec(reboots=1, max_repairs=1, when_exhausted="resize_to_zero")
        plan = planned(spec, [failed("a"), failed("b")], found)

        is_over = "unfinished" not in expected
        done = replace(plan, give_up=None, healing=(), history=NEW, is_new=False, is_exhausted=False)
        assert done == RepairPlan(NEW, **expected)
        assert (plan.give_up is not None, ids(plan.healing)) == (is_over, [] if is_over else ["a", "b"])

    def test_a_pool_that_was_given_up_is_not_grown_back_later(self) -> None:
        history = RepairHistory(5, grow_to=(3, 0))
        plan = planned(RepairSpec(reboots=1, max_repairs=5), [failed()], history=history)

        assert plan.history == RepairHistory(5)
        assert plan.resize_to is None


HISTORIES = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 9)), max_size=12)


@given(HISTORIES, st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_a_history_comes_back_from_the_metadata_and_leaves_other_marks_alone(
    events: list[tuple[str, int]], grow_to: tuple[int, int] | None
) -> None:
    history = RepairHistory(grow_to=grow_to)
    for name, since in events:
        history = history.with_claims([failed(name, since)], NOW)
    metadata = with_history({"team": "etl"}, history)

    assert history_in(metadata) == history
    assert metadata["team"] == "etl"
    assert with_history(metadata, NEW) == {"team": "etl"}


def test_a_spec_is_read_from_what_templates_render() -> None:
    plain = {"reboots": "2", "replace_unusable": " True", "unusable_grace": "600", "logs_conn_id": "None"}

    assert read_spec_object(RepairSpec, "repair", plain) == RepairSpec(2, True, 600)


@pytest.mark.parametrize("marks", ['{"nodes": {"a": [1, 2, 3, 4]}}', '{"total": "many"}', '{"nodes": []}'])
def test_a_mark_of_another_version_reads_as_no_history(marks: str) -> None:
    assert history_in({"airflow_batchlinux_repairs": marks}) == NEW


def test_a_mark_that_is_not_ours_reads_as_no_history() -> None:
    assert history_in({"airflow_batchlinux_repairs": "[1"}) == NEW


def test_a_node_that_came_up_meanwhile_is_not_rebooted_more_often_than_was_said() -> None:
    first = planned(RepairSpec(reboots=1), [failed("a")])
    second = planned(RepairSpec(reboots=1), [failed("b")], history=first.history)
    third = planned(RepairSpec(reboots=1), [failed("a", since=1)], history=second.history)

    assert (third.reboot, third.history.total) == ((), 2)


def test_the_marks_do_not_grow_for_ever_and_all_repairs_count() -> None:
    history = NEW
    for number in range(150):
        history = history.with_claims([failed(str(number))], NOW + timedelta(seconds=number))

    assert (history.total, len(history.nodes)) == (150, 100)
    assert (history.times(failed("149")), history.times(failed("49"))) == (1, 0)


class TestAskingAgain:
    SPEC = RepairSpec(resize_again=2, resize_again_after=300)

    def short(self, *codes: str, since: float = 301, **options: Any) -> PoolSnapshot:
        errors = tuple(ServiceError(code, "no") for code in codes or ("AllocationTimedOut",))
        found = pool(3, current_dedicated=1, resize_errors=errors, **options)
        return replace(found, allocation_state_since=ago(since))

    @pytest.mark.parametrize("code", ["AllocationTimedOut", "BatchOutOfCapacity", "AccountCoreQuotaReached"])
    def test_nodes_that_a_pool_did_not_get_are_asked_for_again(self, code: str) -> None:
        plan = planned(self.SPEC, [], self.short(code))

        assert (plan.resize_to, plan.is_new) == ((3, 0), True)
        expected = f"Allocated 1 of 3 nodes ({code}: no); retry 1 of 2 has been requested."
        assert plan.asks_again == expected

    def test_not_before_a_while(self) -> None:
        plan = planned(self.SPEC, [], self.short(since=299))

        assert (plan.resize_to, plan.is_over, plan.is_new) == (None, False, False)

    def test_as_often_as_was_said_and_not_once_more(self) -> None:
        history, asked = NEW, 0
        for number in range(5):
            plan = planned(self.SPEC, [], self.short(since=600 - number), history=history)
            history, asked = plan.history, asked + (plan.resize_to is not None)

        assert (asked, plan.asks_again) == (2, None)

    def test_what_another_wait_has_requested_is_waited_for_and_after_a_while_taken_over(self) -> None:
        first = planned(RepairSpec(resize_again=1), [], self.short())
        second = planned(RepairSpec(resize_again=1), [], self.short(), history=first.history)
        later = NOW + timedelta(minutes=6)
        third = planned(RepairSpec(resize_again=1), [], self.short(), history=first.history, now=later)

        assert (second.resize_to, second.is_over, second.is_new) == (None, False, False)
        assert (third.resize_to, third.history.resize and third.history.resize.times) == ((3, 0), 1)

    @pytest.mark.parametrize(
        "found",
        [
            pytest.param({"codes": ["UnsupportedVMSize"]}, id="it lasts"),
            pytest.param({"codes": ["AllocationTimedOut", "UnsupportedVMSize"]}, id="one of them lasts"),
            pytest.param({"codes": ["ResizeStopped"]}, id="a user stopped it"),
            pytest.param({"autoscale": True}, id="a formula resizes automatically"),
            pytest.param({"allocation_state": "resizing"}, id="it still gets nodes"),
        ],
    )
    def test_nothing_is_asked_again_where_that_does_not_help(self, found: dict[str, Any]) -> None:
        options = dict(found)
        plan = planned(self.SPEC, [], self.short(*options.pop("codes", []), **options))

        assert plan == RepairPlan(NEW)

    def test_a_pool_that_has_its_nodes_may_be_asked_as_often_the_next_time(self) -> None:
        asked = planned(self.SPEC, [], self.short()).history

        assert planned(self.SPEC, [], pool(3, current_dedicated=3), history=asked).history == NEW

    def test_broken_nodes_come_first(self) -> None:
        spec = replace(self.SPEC, replace_unusable=True, unusable_grace=600)
        plan = planned(spec, [lost()], self.short())

        assert (ids(plan.remove), plan.resize_to) == (["u"], None)


class TestHeartbeats:
    REDUCED = RepairHistory(grow_to=(3, 0))

    def test_a_repair_in_progress_has_a_heartbeat_every_few_minutes(self) -> None:
        found = pool(2, allocation_state="resizing")
        first = planned(REPLACES, [], found, self.REDUCED)
        soon = planned(REPLACES, [], found, first.history, now=NOW + timedelta(minutes=5))
        later = planned(REPLACES, [], found, first.history, now=NOW + timedelta(minutes=6))

        assert (first.is_new, soon.is_new, later.is_new) == (True, False, True)
        assert not first.history.is_abandoned(NOW + timedelta(minutes=15))
        assert first.history.is_abandoned(NOW + timedelta(minutes=16))

    def test_a_repair_without_a_heartbeat_is_abandoned(self) -> None:
        assert self.REDUCED.is_abandoned(NOW)

    def test_a_repair_with_nothing_to_restore_is_not_abandoned(self) -> None:
        assert RepairHistory(3, grow_to=(3, 0)).is_abandoned(NOW)
        assert not RepairHistory(3).is_abandoned(NOW)


@pytest.mark.parametrize(
    ("plain", "problem"),
    [
        pytest.param(
            {"replace_unusable": "perhaps"}, "replace_unusable='perhaps' is not true or false", id="no bool"
        ),
        pytest.param({"reboots": "two"}, "repair.reboots='two' is not a whole number", id="no number"),
        pytest.param({"reboot": 1}, "repair.reboot is no field of it; did you mean 'reboots'", id="name"),
        pytest.param({"reboots": -1}, "repair.reboots=-1 is not a whole number from 0 up", id="below zero"),
        pytest.param({"max_repairs": 0}, "repair.max_repairs=0 is not a whole number from 1 up", id="none"),
        pytest.param({"when_exhausted": "cry"}, "repair.when_exhausted='cry' is not one of", id="choice"),
        pytest.param({"resize_again": -1}, "repair.resize_again=-1 is not a whole number", id="resizes"),
        pytest.param(
            {"resize_again_after": 0},
            "repair.resize_again_after=0 is not a duration above zero",
            id="no pause",
        ),
        pytest.param(
            {"unusable_grace": 0}, "repair.unusable_grace=0 is not a duration above zero", id="no grace"
        ),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(plain: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_spec_object(RepairSpec, "repair", plain)


class TestOtherReleases:
    def test_the_history_of_an_earlier_release_is_read(self) -> None:
        stored = {"total": 2, "nodes": {"ab": [1, 5, 6]}, "grow_to": [3, 0], "left": [2, 0]}

        history = history_in({REPAIRS_KEY: json.dumps(stored)})

        assert (history.total, history.grow_to, history.reduced_to) == (2, (3, 0), (2, 0))
        assert history_in(with_history({}, history)) == history

    def test_the_history_of_a_later_release_is_refused_by_name(self) -> None:
        with pytest.raises(
            ValueError, match="has version 3, and this release of the provider reads versions"
        ):
            history_in({REPAIRS_KEY: '{"version": 3}'})

    @pytest.mark.parametrize("stored", ["", "{", "[]", "{}", '{"autoScaleFormula": "$a=1;"}'])
    def test_a_formula_that_an_earlier_release_switched_off_is_known(self, stored: str) -> None:
        found = switched_off_formula({f"{METADATA_PREFIX}repair_autoscale": stored})

        assert found == ("$a=1;" if "a=1" in stored else None)
