"""An account at a glance: one table of pools, from their REST bodies to what each user sees."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.core.images.catalog import SupportedImage
from airflow_provider_batchlinux.core.overview.pools import (
    SORTS,
    Facts,
    PoolOverview,
    PoolQuery,
    Reader,
    Standing,
    holders_in,
    overview_of,
    seen_by,
)
from airflow_provider_batchlinux.core.overview.summary import cells, summary_of
from airflow_provider_batchlinux.core.pool_metadata import Holder, PoolMarks, rest_metadata
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, with_entry
from airflow_provider_batchlinux.core.vm_sizes.prices import NodePrices

NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
US = "here"
LIVE, OVER = Holder("etl", "live", US), Holder("etl", "over", US)
OTHER = Holder("other", "live", US)
ABROAD = Holder("etl", "live", "elsewhere")
STATES = {LIVE: "running", OVER: "failed", OTHER: "queued"}
AGENT = "batch.node.ubuntu 24.04"
IMAGE = SupportedImage(
    "canonical", "ubuntu", "server", "24.04", AGENT, "linux", True, frozenset(), NOW + timedelta(days=9)
)
FACTS = Facts(NOW, US, STATES, [IMAGE], {"standard_d2s_v5": NodePrices("", "", "EUR", 0.1, None)})


def marks(*holders: Holder, **changes: Any) -> PoolMarks:
    creator = holders[0]
    owner = {
        "dag_id": creator.dag_id, "run_id": creator.run_id, "map_index": "-1", "task_id": "create",
        "installation": creator.installation,
    }  # fmt: skip
    return PoolMarks(owner=owner, holders=holders, **changes)


def user(name: str, until: timedelta, **changes: Any) -> LedgerEntry:
    return LedgerEntry(name, NOW + until, **{"by": {"dag_id": "etl", "run_id": "live"}, **changes})


def body(found: PoolMarks | None = None, *users: LedgerEntry, **changes: Any) -> dict[str, Any]:
    metadata = found.to_metadata() if found else {}
    for entry in users:
        metadata = with_entry(metadata, entry)
    return {
        "id": "nightly",
        "state": "active",
        "allocationState": "steady",
        "allocationStateTransitionTime": "2026-06-01T10:00:00Z",
        "creationTime": "2026-05-31T12:00:00Z",
        "currentDedicatedNodes": 3,
        "targetDedicatedNodes": 3,
        "vmSize": "STANDARD_D2S_V5",
        "virtualMachineConfiguration": {
            "imageReference": {"publisher": "canonical", "offer": "ubuntu", "sku": "server"},
            "nodeAgentSKUId": AGENT,
        },
        "metadata": rest_metadata(metadata),
        **changes,
    }


def shown(*arguments: Any, counts: dict[str, int] | None = None, **changes: Any) -> PoolOverview:
    return overview_of(body(*arguments, **changes), counts or {"idle": 3}, FACTS)


HOUR = timedelta(hours=1)
STANDINGS = [
    pytest.param(marks(LIVE), {}, "live", "Run 'live' of Dag 'etl' uses it.", id="its run runs"),
    pytest.param(marks(OVER), {}, "left behind", "run 'over' of Dag 'etl' has ended", id="its run is over"),
    pytest.param(marks(Holder("etl", "gone", US)), {}, "left behind", "has ended", id="its run is gone"),
    pytest.param(marks(OVER, LIVE), {}, "live", "'live'", id="another run reuses it"),
    pytest.param(marks(OVER, ABROAD), {}, "live", "'live'", id="an Airflow that is not known here"),
    pytest.param(marks(OVER, expires_at=NOW + HOUR), {}, "over", "after its end", id="not expired"),
    pytest.param(marks(LIVE, expires_at=NOW - HOUR), {}, "left behind", "expired at", id="expired"),
    pytest.param(marks(OVER, kept_until=NOW + HOUR), {}, "over", "kept until its end", id="kept"),
    pytest.param(marks(OVER, has_more_holders=True), {}, "over", "Not all", id="more runs"),
    pytest.param(marks(ABROAD), {}, "foreign", "did not create it", id="another Airflow"),
    pytest.param(None, {}, "foreign", "did not create it", id="no marks"),
    pytest.param(marks(LIVE), {"state": "deleting"}, "deleting", "being deleted", id="deleting"),
]


@pytest.mark.parametrize(("found", "changes", "standing", "verdict"), STANDINGS)
def test_a_pool_is_shown_as_the_sweeper_judges_it(
    found: PoolMarks | None, changes: dict[str, Any], standing: str, verdict: str
) -> None:
    pool = shown(found, **changes)

    assert pool.standing.value == standing
    assert verdict in pool.verdict
    assert json.loads(json.dumps(pool.to_dict()))["standing"] == standing


def test_errors_are_shown_with_their_remedy_unless_they_are_history() -> None:
    error = [{"code": "AccountCoreQuotaReached", "message": "The quota is reached."}]

    [problem] = shown(targetDedicatedNodes=5, resizeErrors=error).problems
    assert "Remedy: ask for a higher dedicated core quota" in problem
    assert shown(resizeErrors=error).problems == ()
    assert shown(targetDedicatedNodes=5, resizeErrors=[{"code": "ResizeStopped"}]).problems == ()
    run = {"error": {"code": "FormulaEvaluationFailed", "message": "Line 1"}}
    assert "FormulaEvaluationFailed" in shown(enableAutoScale=True, autoScaleRun=run).problems[0]


def test_broken_nodes_and_users_whose_time_is_over_need_attention() -> None:
    late, owed = user("late", -HOUR), user("owed", HOUR, revoked_at=NOW)
    assert [one.state for one in shown(marks(LIVE), user("nora", HOUR), late).users] == ["overdue", "active"]
    assert shown(marks(LIVE), late).is_in_trouble
    assert shown(marks(LIVE), owed).users == ()  # no node owes it
    assert shown(marks(LIVE), counts={"idle": 2, "starttaskfailed": 1}).is_in_trouble
    assert not shown(marks(LIVE), user("nora", HOUR)).is_in_trouble


def test_node_hours_count_from_the_last_resize_without_machines_that_are_stopped() -> None:
    assert shown(marks(LIVE)).node_hours == 6.0
    assert shown(marks(LIVE), counts={"idle": 1, "deallocated": 2}).node_hours == 2.0
    assert shown(marks(LIVE), allocationState="resizing").node_hours is None


def test_a_price_is_shown_only_if_all_nodes_have_one() -> None:
    assert (shown().price_per_hour, shown().currency) == (0.3, "EUR")
    assert shown().cost == pytest.approx((shown().node_hours or 0) * 0.3 / shown().snapshot.current, abs=0.01)
    assert shown(currentLowPriorityNodes=1).price_per_hour is None
    assert shown(currentLowPriorityNodes=1).cost is None
    assert shown(vmSize="standard_d4s_v5").price_per_hour is None


def test_the_end_of_an_image_is_told_only_if_the_images_are_known() -> None:
    ends, unknown = shown(), overview_of(body(), {}, Facts(NOW, US, {}))

    assert ends.image_ends
    assert ends.image is not None
    assert ends.image.end_of_support == NOW + timedelta(days=9)
    assert not unknown.image_ends


class TestWhoSeesWhat:
    def test_a_pool_of_a_dag_is_seen_by_those_who_may_read_the_dag(self) -> None:
        assert seen_by(Reader({"etl"}, reads_connection=False), shown(marks(LIVE))) is not None
        assert seen_by(Reader({"other"}, reads_connection=False), shown(marks(LIVE))) is None

    @pytest.mark.parametrize("found", [None, marks(ABROAD)])
    def test_a_pool_of_no_dag_here_is_seen_by_those_who_may_read_the_connection(self, found: Any) -> None:
        assert seen_by(Reader({"etl"}, reads_connection=False), shown(found)) is None
        assert seen_by(Reader((), reads_connection=True), shown(found)) is not None

    def test_nothing_of_an_unreadable_dag_is_shown_with_a_shared_pool(self) -> None:
        pool = shown(
            marks(LIVE, OTHER), user("nora", HOUR, by={"dag_id": "other", "run_id": "live"}, key="k")
        )

        seen = seen_by(Reader({"etl"}, reads_connection=False), pool)

        assert "other" in repr(pool.to_dict())
        assert seen is not None
        assert "'other'" not in repr(seen.to_dict())
        assert [one.username for one in seen.users] == ["nora"]
        assert seen.users[0].key is None


def named(pool_id: str, found: PoolMarks | None = None, **changes: Any) -> PoolOverview:
    return shown(found, id=pool_id, **changes)


POOLS = [
    named("b", marks(LIVE)),
    named("a", marks(OVER)),
    named("c", None, counts={"unusable": 1, "idle": 9}),
    named("d", marks(OVER, expires_at=NOW + HOUR), allocationState="resizing"),
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (PoolQuery(), "cabd"),
        (PoolQuery(sort="pool"), "abcd"),
        (PoolQuery(sort="nodes"), "cabd"),
        (PoolQuery(sort="end"), "dabc"),
        (PoolQuery(sort="<script>"), "cabd"),
        (PoolQuery(show="left behind"), "a"),
        (PoolQuery(show="trouble"), "c"),
        (PoolQuery(show="foreign"), "c"),
        (PoolQuery(text="ETL"), "abd"),
        (PoolQuery(text="ubuntu"), "cabd"),
        (PoolQuery(text="nothing"), ""),
    ],
)
def test_pools_are_filtered_and_sorted(query: PoolQuery, expected: str) -> None:
    assert "".join(pool.pool_id for pool in query.select(POOLS)) == expected


def test_every_order_sorts_every_pool() -> None:
    assert all(len(PoolQuery(sort=sort).select(POOLS)) == len(POOLS) for sort in SORTS)


def test_an_account_is_summed_up() -> None:
    total = summary_of(POOLS)

    assert (total.pools, total.left_behind, total.in_trouble) == (4, 1, 1)
    assert total.nodes == {"idle": 18, "unusable": 1}
    assert total.node_hours_per_day == 24 * 19
    assert total.price_per_hour == pytest.approx(1.2)


def test_a_heat_map_shows_every_state_in_a_limited_number_of_cells() -> None:
    assert cells({"unusable": 1, "idle": 4}, 60) == [("idle", 4), ("broken", 1)]
    assert cells({"idle": 5000, "unusable": 1}, 60) == [("idle", 60), ("broken", 1)]
    assert cells({}, 60) == []


def test_the_runs_of_all_pools_are_asked_for_together() -> None:
    assert holders_in([body(marks(OVER, LIVE)), body(None), body(marks(LIVE))]) == {LIVE, OVER}


def test_every_standing_is_shown_by_a_case_above() -> None:
    assert {case.values[2] for case in STANDINGS} == {standing.value for standing in Standing}
