"""The count of what the nodes of a pool use is a lower bound, and as near as looks at them permit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.pool_metadata import USAGE_KEY, PoolMarks
from airflow_provider_batchlinux.core.pools.usage import PoolUsage, Usage, usage_by_dag, usage_by_day
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot

START = datetime(2026, 11, 1, tzinfo=timezone.utc)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Life:
    """A node's machine: from when to when, and what the node is afterwards; ``None`` for gone."""

    begin: int
    end: int
    dedicated: bool = True
    after: str | None = None

    def seen(self, now: int) -> NodeSnapshot | None:
        if now < self.begin or (now >= self.end and self.after is None):
            return None
        state, since = ("idle", self.begin) if now < self.end else (str(self.after), self.end)
        return NodeSnapshot(
            f"node-{self.begin}", state, self.dedicated, None, None, None, (),
            allocated=at(self.begin), last_boot=at(self.begin), state_since=at(since),
        )  # fmt: skip


def counted(lives: list[Life], looks: list[int]) -> Usage:
    usage = Usage()
    for now in looks:
        usage = usage.seen([node for life in lives if (node := life.seen(now)) is not None], at(now))
    return usage


DAY = 24 * 3600
LIVES = st.builds(
    lambda begin, length, dedicated, after: Life(begin, begin + length, dedicated, after),
    st.integers(0, 900),
    st.integers(1, 900),
    st.booleans(),
    st.sampled_from([None, "preempted", "deallocated"]),
)


@settings(max_examples=100, deadline=None)
@given(lives=st.lists(LIVES, max_size=6), looks=st.lists(st.integers(0, 2000), unique=True, max_size=8))
def test_no_sequence_of_looks_counts_more_than_was_used_or_less_than_was_seen(lives, looks):
    usage = counted(lives, sorted(looks))

    for dedicated, seconds in ((True, usage.dedicated_seconds), (False, usage.spot_seconds)):
        mine = [life for life in lives if life.dedicated is dedicated]
        until = max(looks, default=0)
        used = sum(max(0, min(life.end, until) - life.begin) for life in mine)
        lasts = [
            max((look for look in looks if life.begin <= look < life.end), default=life.begin)
            for life in mine
        ]
        seen = sum(last - life.begin for last, life in zip(lasts, mine, strict=True))
        assert seen <= seconds <= used
    assert usage.preemptions <= sum(life.after == "preempted" for life in lives)


def test_looks_at_every_change_count_all_that_was_used():
    lives = [
        Life(0, 100),
        Life(50, 400, dedicated=False, after="preempted"),
        Life(60, 300, after="deallocated"),
    ]

    usage = counted(lives, [99, 299, 399, 500, 900])

    assert (usage.dedicated_seconds, usage.spot_seconds, usage.preemptions) == (99 + 240, 350, 1)


def test_a_node_that_was_started_again_counts_from_its_start():
    node = Life(0, 5000).seen(1000)
    assert node is not None
    started = NodeSnapshot(**{**node.__dict__, "last_boot": at(900)})

    assert Usage(until=at(500)).seen([started], at(1000)).dedicated_seconds == 100


def test_each_day_has_its_part_and_the_last_days_are_kept():
    usage = counted([Life(0, 20 * DAY), Life(DAY // 2, 2 * DAY, dedicated=False)], [DAY + 60, 2 * DAY - 1])

    first, second = (at(0).date() + timedelta(days=n) for n in range(2))
    assert usage.days == {
        first.isoformat(): (DAY, DAY // 2),
        second.isoformat(): (DAY - 1, DAY - 1),
    }
    totals = usage.dedicated_seconds, usage.spot_seconds
    assert tuple(map(sum, zip(*usage.days.values(), strict=True))) == totals

    later = Usage.read(counted([Life(0, 20 * DAY)], [20 * DAY - 1]).update({}))
    assert len(later.days) == 8
    assert max(later.days) == (at(0).date() + timedelta(days=19)).isoformat()
    assert later.dedicated_seconds == 20 * DAY - 1


def test_a_day_of_a_dag_has_the_usage_of_all_its_pools():
    first, second = {"2026-01-01": (3600, 0)}, {"2026-01-01": (1800, 7200), "2026-01-02": (0, 1800)}
    pools = [
        PoolUsage("a", "etl", Usage(days=first)),
        PoolUsage("b", "etl", Usage(days=second)),
        PoolUsage("c", "ml", Usage(days=first)),
    ]

    assert [tuple(row.values()) for row in usage_by_day(pools)] == [
        ("2026-01-01", "etl", 1.5, 2.0),
        ("2026-01-01", "ml", 1.0, 0.0),
        ("2026-01-02", "etl", 0.0, 0.5),
    ]


def test_days_that_are_no_longer_among_the_last_are_left_out_everywhere():
    """Also if days between were not counted, or only another pool was looked at."""
    old, new = at(0), at(20 * DAY)
    day, today = (instant.date().isoformat() for instant in (old, new))
    usage = Usage(days={day: (3600, 0)}, until=old)
    later = Usage(days={today: (0, 3600)}, until=new)

    assert usage.seen([], new).days == {}
    assert usage.merged(later).days == later.merged(usage).days == later.days
    assert Usage.read(Usage(days={**usage.days, **later.days}, until=new).update({})).days == later.days
    rows = usage_by_day([PoolUsage("a", "etl", usage), PoolUsage("b", "ml", later)])
    assert [row["day"] for row in rows] == [today]


def test_a_look_that_is_not_later_adds_nothing():
    usage = Usage(10, 20, 1, at(100))

    assert usage.seen([Life(0, 500).seen(100)], at(100)) == usage  # type: ignore[list-item]


def test_the_metadata_keep_the_count():
    usage = Usage(10, 20, 1, at(100), {"2026-11-01": (10, 20)})

    assert Usage.read(usage.update({"mine": "1"})) == usage
    assert usage.update({"mine": "1"})["mine"] == "1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1, 2]",
        '["a", 1, 1, null]',
        "null",
        "[1, 2, 3",
        '[1, 2, 3, null, {"x": [1, 2]}]',
        "[1, 2, 3, null, [1]]",
    ],
)
def test_unreadable_metadata_count_from_the_beginning(text):
    assert Usage.read({USAGE_KEY: text}) == Usage()


def test_of_two_counts_of_one_pool_the_higher_holds():
    one = Usage(10, 50, 1, at(9), {"2026-11-01": (10, 50)})
    other = Usage(20, 40, 0, at(5), {"2026-11-01": (20, 40)})

    assert one.merged(other) == Usage(20, 50, 1, at(9), {"2026-11-01": (20, 50)})


@pytest.mark.parametrize(
    ("seconds", "deletes", "excess", "ends"),
    [
        (3600, True, None, False),
        (3601, False, "it has used 1 of 1 node-hours", False),
        (7200, True, "it has used 2 of 1 node-hours", True),
    ],
)
def test_a_pool_over_its_budget_ends_only_if_it_says_so(seconds, deletes, excess, ends):
    marks = PoolMarks(max_node_hours=1, delete_over_budget=deletes)
    pool = PoolUsage.read("etl", Usage(spot_seconds=seconds).update(marks.to_metadata()))

    assert (pool.excess, pool.must_end) == (excess, ends)


def test_the_pools_of_a_dag_are_added_up_and_the_largest_comes_first():
    pools = [PoolUsage(str(n), dag_id, Usage(seconds)) for n, (dag_id, seconds) in enumerate(
        [("a", 3600), ("b", 36000), ("a", 1800)]
    )]  # fmt: skip

    found = [(row["dag_id"], row["pools"], row["dedicated_node_hours"]) for row in usage_by_dag(pools)]

    assert found == [("b", 1, 10.0), ("a", 2, 1.5)]
