"""What a Dag author may call ready, as one table, and what holds for every policy."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.pools.readiness.policy import ReadinessPolicy
from airflow_provider_batchlinux.core.pools.readiness.verdict import Outcome, PoolObservation, Verdict, judge
from airflow_provider_batchlinux.core.service_errors import ResizeErrorKind, kind_of
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot, PoolSnapshot, ServiceError
from tests.unit.core.snapshots import node, nodes, pool

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
READY, WAITING, FAILED = Outcome.READY, Outcome.WAITING, Outcome.FAILED
QUOTA = ServiceError("AccountCoreQuotaReached", "Quota reached.")
TIMED_OUT = ServiceError("AllocationTimedout", "No nodes in time.")
STATES = [
    "idle",
    "running",
    "starting",
    "preempted",
    "offline",
    "unknown",
    "unusable",
    "starttaskfailed",
    "odd",
]


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def judged(
    found: PoolSnapshot, each: tuple[NodeSnapshot, ...], policy: ReadinessPolicy, **more: Any
) -> Verdict:
    return judge(PoolObservation.exact("etl", found, each), policy, now=NOW, **more)


@pytest.mark.parametrize(
    ("policy", "found", "counts", "outcome"),
    [
        pytest.param({"ready": 2}, pool(4), {"idle": 2, "starting": 2}, READY, id="at least two, two idle"),
        pytest.param(
            {"ready": "2"}, pool(4), {"idle": 1, "starting": 3}, WAITING, id="at least two, one idle"
        ),
        pytest.param({"ready": 2}, pool(4), {"idle": 2, "unusable": 2}, READY, id="two broken, two suffice"),
        pytest.param({"ready": 2}, pool(4), {"idle": 1, "unusable": 3}, FAILED, id="too few can come"),
        pytest.param({"ready": 5}, pool(4), {"idle": 4}, FAILED, id="more than the pool asks for"),
        pytest.param(
            {"ready": 5}, pool(4, autoscale=True), {"idle": 4}, WAITING, id="the formula may grow it"
        ),
        pytest.param({"ready": "75%"}, pool(4), {"idle": 3, "starting": 1}, READY, id="three of four"),
        pytest.param({"ready": "80%"}, pool(4), {"idle": 3, "starting": 1}, WAITING, id="shares round up"),
        pytest.param({"ready": "7%"}, pool(100), {"idle": 7}, READY, id="shares are exact"),
        pytest.param({"ready": "1%"}, pool(2), {"starting": 2}, WAITING, id="a share is one node at least"),
        pytest.param({"ready": "50%"}, pool(2, 2), {"spot_idle": 2}, READY, id="spot nodes count in a share"),
        pytest.param({"max_failed_nodes": 1}, pool(3), {"idle": 2, "unusable": 1}, READY, id="one left out"),
        pytest.param(
            {"max_failed_nodes": 1}, pool(3), {"idle": 1, "unusable": 2}, FAILED, id="two are too many"
        ),
        pytest.param(
            {"max_failed_nodes": 1},
            pool(3),
            {"idle": 1, "starting": 1, "unusable": 1},
            WAITING,
            id="the rest",
        ),
        pytest.param({"max_failed_nodes": 5}, pool(2), {"unusable": 2}, FAILED, id="no node is left"),
        pytest.param(
            {"ready": 2, "max_failed_nodes": 0}, pool(4), {"idle": 3, "unusable": 1}, FAILED, id="no budget"
        ),
        pytest.param({"spot_optional": True}, pool(2, 2), {"idle": 2}, READY, id="spot nodes missing"),
        pytest.param(
            {"spot_optional": True}, pool(2, 2), {"idle": 2, "spot_preempted": 2}, READY, id="spot preempted"
        ),
        pytest.param(
            {"spot_optional": True}, pool(2, 2), {"idle": 2, "spot_unusable": 2}, READY, id="spot broken"
        ),
        pytest.param(
            {"spot_optional": True}, pool(2, 2), {"idle": 1, "spot_idle": 2}, WAITING, id="dedicated missing"
        ),
        pytest.param({"spot_optional": True}, pool(0, 2), {}, WAITING, id="spot only, none there"),
        pytest.param({"spot_optional": True}, pool(0, 2), {"spot_preempted": 2}, WAITING, id="all preempted"),
        pytest.param(
            {"spot_optional": True},
            pool(0, 2),
            {"spot_idle": 1, "spot_preempted": 1},
            READY,
            id="one of two spot",
        ),
        pytest.param(
            {}, pool(0, 2), {"spot_idle": 1, "spot_preempted": 1}, WAITING, id="spot is not optional"
        ),
        pytest.param({}, pool(2), {"idle": 1, "upgradingos": 1}, WAITING, id="upgradingos"),
        pytest.param({}, pool(2), {"idle": 1, "deallocated": 1}, WAITING, id="deallocated"),
        pytest.param({}, pool(2), {"idle": 1, "deallocating": 1}, WAITING, id="deallocating"),
        pytest.param({"ready": 1}, pool(0), {}, FAILED, id="no node asked for"),
        pytest.param({"ready": 1}, pool(0, autoscale=True), {}, WAITING, id="autoscale asks for none yet"),
    ],
)
def test_the_table_of_policies(
    policy: dict[str, Any], found: PoolSnapshot, counts: dict[str, int], outcome: Outcome
) -> None:
    assert judged(found, nodes(**counts), ReadinessPolicy(**policy)).outcome is outcome


@pytest.mark.parametrize(
    ("state", "words"),
    [
        pytest.param("offline", "enable scheduling", id="offline"),
        pytest.param("deallocated", "start them", id="deallocated"),
        pytest.param("deallocating", "on purpose", id="deallocating"),
        pytest.param("upgradingos", "being upgraded", id="upgradingos"),
        pytest.param("unknown", "lost contact", id="unknown"),
    ],
)
def test_a_permanent_state_is_explained(state: str, words: str) -> None:
    assert words in judged(pool(), nodes(**{"idle": 1, state: 1}), ReadinessPolicy()).reason


@pytest.mark.parametrize(
    ("found", "words"),
    [
        pytest.param(pool(0, autoscale=True), "has not asked for nodes yet", id="not evaluated"),
        pytest.param(pool(0, autoscale=True, evaluated=True), "asks for no nodes at present", id="evaluated"),
        pytest.param(
            pool(
                0, autoscale=True, evaluated=True, autoscale_error=ServiceError("BadFormula", "No such name.")
            ),
            "failed at its last evaluation: BadFormula: No such name.",
            id="an error at zero",
        ),
        pytest.param(
            pool(2, autoscale=True, autoscale_error=ServiceError("BadFormula", "No such name.")),
            "failed at its last evaluation: BadFormula: No such name.",
            id="an error with nodes",
        ),
    ],
)
def test_an_autoscale_pool_says_what_its_formula_does(found: PoolSnapshot, words: str) -> None:
    verdict = judged(found, (), ReadinessPolicy())

    assert verdict.outcome is WAITING
    assert words in verdict.reason


class TestResizeErrors:
    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            pytest.param(ServiceError("ResizeStopped", ""), "harmless", id="stopped"),
            pytest.param(ServiceError("AllocationTimedOut", ""), "passes", id="timed out, in any spelling"),
            pytest.param(ServiceError("BatchOutOfCapacity", ""), "passes", id="capacity"),
            pytest.param(
                ServiceError(
                    "AllocationFailed", "", (("Reason", "The server encountered an internal error."),)
                ),
                "passes",
                id="an internal error",
            ),
            pytest.param(
                ServiceError("AllocationFailed", "", (("Reason", "subnet has delegation"),)),
                "lasts",
                id="subnet",
            ),
            pytest.param(ServiceError("AccountCoreQuotaReached", ""), "lasts", id="quota"),
            pytest.param(ServiceError("UnsupportedVMSize", ""), "lasts", id="size"),
            pytest.param(ServiceError("NeverHeardOf", ""), "lasts", id="an unknown code"),
        ],
    )
    def test_codes_tell_what_passes(self, error: ServiceError, kind: str) -> None:
        assert kind_of(error) is ResizeErrorKind(kind)

    @pytest.mark.parametrize(
        ("errors", "age", "policy", "outcome"),
        [
            pytest.param([QUOTA], 60, {}, FAILED, id="lasting"),
            pytest.param([QUOTA], 60, {"requested_at": ago(30)}, WAITING, id="older than our request"),
            pytest.param([QUOTA], 60, {"requested_at": ago(60)}, WAITING, id="as old as our request"),
            pytest.param([QUOTA], 60, {"requested_at": ago(90)}, FAILED, id="newer than our request"),
            pytest.param([TIMED_OUT], 60, {}, FAILED, id="passing, no patience"),
            pytest.param([TIMED_OUT], 60, {"resize_error_limit": 90}, WAITING, id="passing, with patience"),
            pytest.param([TIMED_OUT], 60, {"resize_error_limit": 30}, FAILED, id="patience is over"),
            pytest.param([TIMED_OUT, QUOTA], 60, {"resize_error_limit": 90}, FAILED, id="one lasts"),
            pytest.param([QUOTA], 60, {"ready": 1}, WAITING, id="enough nodes are booting"),
        ],
    )
    def test_an_error_counts_by_its_code_and_its_age(
        self, errors: list[ServiceError], age: float, policy: dict[str, Any], outcome: Outcome
    ) -> None:
        found = pool(2, current_dedicated=1, resize_errors=tuple(errors), allocation_state_since=ago(age))

        assert judged(found, nodes(starting=1), ReadinessPolicy(**policy)).outcome is outcome

    def test_a_spot_quota_is_nothing_to_those_who_can_do_without(self) -> None:
        found = pool(1, 2, current_spot=0, resize_errors=(ServiceError("AccountSpotCoreQuotaReached", ""),))

        assert judged(found, nodes(starting=1), ReadinessPolicy(spot_optional=True)).outcome is WAITING
        assert judged(found, nodes(starting=1), ReadinessPolicy()).outcome is FAILED


class TestLimits:
    @pytest.mark.parametrize(
        ("age", "current", "outcome"),
        [
            pytest.param(61, 1, FAILED, id="over"),
            pytest.param(60, 1, WAITING, id="not yet over"),
            pytest.param(61, 2, WAITING, id="all that are needed have come"),
        ],
    )
    def test_an_allocation_has_a_limit_of_its_own(self, age: float, current: int, outcome: Outcome) -> None:
        found = pool(
            2, current_dedicated=current, allocation_state="resizing", allocation_state_since=ago(age)
        )

        verdict = judged(found, (), ReadinessPolicy(allocation_limit=60))

        assert verdict.outcome is outcome
        assert ("allocation_limit (60 s)" in verdict.reason) == verdict.is_late == (outcome is FAILED)

    @pytest.mark.parametrize(
        ("slow", "outcome"),
        [
            pytest.param(node("starting", allocated=ago(61)), FAILED, id="since its machine"),
            pytest.param(node("starting", allocated=ago(60)), WAITING, id="not yet over"),
            pytest.param(
                node("starting", allocated=ago(999), last_boot=ago(9)), WAITING, id="rebooted since"
            ),
            pytest.param(
                node("rebooting", allocated=ago(999), state_since=ago(9)), WAITING, id="reboots now"
            ),
            pytest.param(node("waitingforstarttask", last_boot=ago(61)), FAILED, id="a long start task"),
            pytest.param(
                node("starting", allocated=ago(999), last_boot=ago(999), state_since=ago(9)),
                WAITING,
                id="rebooted, and its last boot is not reported yet",
            ),
            pytest.param(
                node("starting", allocated=ago(999), state_since=ago(999), accepts_tasks=False),
                WAITING,
                id="started after a deallocation, with the times of its previous life",
            ),
            pytest.param(
                node("starting", allocated=ago(999), state_since=ago(61)), FAILED, id="starting for too long"
            ),
            pytest.param(node("preempted", allocated=ago(999)), WAITING, id="preempted"),
            pytest.param(node("starting"), WAITING, id="nothing known of it"),
        ],
    )
    def test_a_boot_has_a_limit_of_its_own(self, slow: NodeSnapshot, outcome: Outcome) -> None:
        verdict = judged(pool(), (*nodes(idle=1), slow), ReadinessPolicy(boot_limit=60))

        assert verdict.outcome is outcome
        assert (f"still {slow.state} after boot_limit" in verdict.reason) == (outcome is FAILED)
        assert verdict.is_late == (outcome is FAILED)

    def test_a_node_that_boots_too_long_may_be_left_out(self) -> None:
        policy = ReadinessPolicy(boot_limit=60, max_failed_nodes=1)

        verdict = judged(pool(), (*nodes(idle=1), node("starting", allocated=ago(61))), policy)

        assert verdict.outcome is READY
        assert "Left out: 1 starting." in verdict.reason

    def test_counts_alone_ask_for_the_exact_list_once_a_boot_may_be_over(self) -> None:
        counted = PoolObservation("etl", pool(allocation_state_since=ago(61)), {"starting": 2})

        assert judge(counted, ReadinessPolicy(boot_limit=60), now=NOW).outcome is FAILED
        assert judge(counted, ReadinessPolicy(boot_limit=61), now=NOW).outcome is WAITING


def test_a_node_under_repair_is_waited_for() -> None:
    broken, other = node("starttaskfailed", "ill"), node("unusable", "other")
    counted = PoolObservation("etl", pool(), {"idle": 1, "starttaskfailed": 1})

    assert judged(pool(), (*nodes(idle=1), broken), ReadinessPolicy(), healing=[broken]).outcome is WAITING
    assert judged(pool(), (*nodes(idle=1), broken), ReadinessPolicy(), healing=[other]).outcome is FAILED
    assert judge(counted, ReadinessPolicy(), healing=[broken]).outcome is WAITING
    assert judge(counted, ReadinessPolicy(), healing=[other]).outcome is FAILED


@pytest.mark.parametrize(
    ("besides", "policy", "outcome"),
    [
        pytest.param((2, 0), ReadinessPolicy(spot_optional=True), READY, id="all dedicated ones"),
        pytest.param((1, 1), ReadinessPolicy(spot_optional=True), WAITING, id="a dedicated one is missing"),
        pytest.param((1, 1), ReadinessPolicy(ready=2), READY, id="enough of both"),
        pytest.param((2, 0), ReadinessPolicy(), WAITING, id="not all"),
    ],
)
def test_nodes_that_are_ready_count_though_they_are_not_in_the_list(
    besides: tuple[int, int], policy: ReadinessPolicy, outcome: Outcome
) -> None:
    seen = PoolObservation.exact("etl", pool(2, 1), nodes(spot_preempted=1))

    assert judge(replace(seen, ready_besides=besides), policy, now=NOW).outcome is outcome


def test_a_node_that_a_listing_shows_twice_counts_once() -> None:
    twice = (node("idle", "one"), node("idle", "ONE"))

    assert judged(pool(), twice, ReadinessPolicy()).outcome is WAITING


PLAIN = st.fixed_dictionaries(
    {},
    optional={
        "ready": st.one_of(st.just("all"), st.integers(1, 6), st.integers(1, 100).map("{}%".format)),
        "running_is_ready": st.booleans(),
        "spot_optional": st.booleans(),
        "max_failed_nodes": st.integers(0, 3),
    },
)
EACH = st.lists(st.tuples(st.sampled_from(STATES), st.booleans()), min_size=1, max_size=8)
MOMENTS = st.datetimes(datetime(2000, 1, 1), timezones=st.just(timezone.utc))
TARGETS = st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(any)


def made(each: list[tuple[str, bool]]) -> tuple[NodeSnapshot, ...]:
    return tuple(node(state, str(at), dedicated=kind) for at, (state, kind) in enumerate(each))


@given(PLAIN, EACH, TARGETS, st.integers(0, 7))
def test_one_more_idle_node_never_makes_a_ready_pool_wait(
    plain: dict[str, Any], each: list[tuple[str, bool]], target: tuple[int, int], at: int
) -> None:
    policy, present = ReadinessPolicy.from_plain(plain), made(each)
    better = list(present)
    better[at % len(better)] = replace(better[at % len(better)], state="idle")

    if judged(pool(*target), present, policy).outcome is READY:
        assert judged(pool(*target), tuple(better), policy).outcome is READY
        assert judged(pool(*target), (*present, node("idle", "new")), policy).outcome is READY


@given(PLAIN, EACH, TARGETS)
def test_no_policy_is_content_without_a_node_that_works(
    plain: dict[str, Any], each: list[tuple[str, bool]], target: tuple[int, int]
) -> None:
    useless = [(state, kind) for state, kind in each if state not in ("idle", "running")]

    assert judged(pool(*target), made(useless), ReadinessPolicy.from_plain(plain)).outcome is not READY


@pytest.mark.parametrize(
    ("plain", "problem"),
    [
        pytest.param({"ready": "most"}, "ready='most' is not 'all'", id="a word"),
        pytest.param({"ready": 0}, "ready=0 is not 'all'", id="zero"),
        pytest.param({"ready": True}, "ready=True is not 'all'", id="a bool"),
        pytest.param({"ready": "0%"}, "ready='0%' is not 'all'", id="no share"),
        pytest.param({"ready": "101%"}, "ready='101%' is not 'all'", id="more than the whole"),
        pytest.param({"max_failed_nodes": -1}, "max_failed_nodes=-1 is not a whole number", id="below zero"),
        pytest.param({"boot_limit": 0}, "boot_limit=0 is not a duration above zero", id="no time"),
        pytest.param({"requested_at": "soon"}, "requested_at='soon' is not an instant", id="no instant"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(plain: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ReadinessPolicy.from_plain(plain)
