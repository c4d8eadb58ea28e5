"""When something is to be done on a node for a leased user: one table."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.users.lease import applied_state, served_nodes, service_expiry
from airflow_provider_batchlinux.core.users.user import UserOutcome, UserRecord

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NODE = NodeSnapshot("n1", "idle", True, None, None, None, (), allocated=NOW - DAY, last_boot=NOW - HOUR)


def served(outcome: UserOutcome, node: NodeSnapshot, *, end: datetime, at: datetime) -> bool:
    given = applied_state(NODE, UserRecord.of(NODE, "ann", outcome), end, NOW)
    return served_nodes([node], {"n1": given}, at) == ["n1"]


@pytest.mark.parametrize("outcome", [UserOutcome.ADDED, UserOutcome.UPDATED])
@pytest.mark.parametrize(
    ("node", "holds"),
    [
        pytest.param(NODE, True, id="as it was"),
        pytest.param(replace(NODE, state="running"), True, id="in another state"),
        pytest.param(replace(NODE, last_boot=NOW), False, id="booted since"),
        pytest.param(replace(NODE, allocated=NOW), False, id="another machine under its id"),
        pytest.param(replace(NODE, node_id="n2"), False, id="another node"),
    ],
)
def test_a_node_is_served_until_its_machine_is_new(outcome, node, holds):
    assert served(outcome, node, end=NOW + HOUR, at=NOW + HOUR / 2) is holds


@pytest.mark.parametrize(
    ("end", "after", "holds"),
    [
        pytest.param(NOW + HOUR, HOUR, True, id="short lease: the service knows its end"),
        pytest.param(NOW + 2 * DAY, 2 * DAY - HOUR, True, id="two days: the service knows its end"),
        pytest.param(NOW + 9 * DAY, DAY - HOUR, True, id="long lease, more than a day left"),
        pytest.param(NOW + 9 * DAY, DAY, False, id="long lease, a day left"),
    ],
)
def test_a_long_lease_is_renewed_a_day_before_the_service_ends_the_user(end, after, holds):
    assert served(UserOutcome.ADDED, NODE, end=end, at=NOW + after) is holds


@pytest.mark.parametrize(
    ("node", "after", "holds"),
    [
        pytest.param(NODE, timedelta(minutes=4), True, id="soon after"),
        pytest.param(NODE, timedelta(minutes=5), False, id="five minutes later"),
        pytest.param(replace(NODE, state="running"), timedelta(), False, id="in another state"),
    ],
)
def test_a_node_that_refused_is_asked_again_later_or_when_it_changes(node, after, holds):
    assert served(UserOutcome.FAILED, node, end=NOW + DAY, at=NOW + after) is holds


def test_the_service_keeps_a_user_two_days_at_most_and_never_beyond_the_lease():
    assert service_expiry(NOW + HOUR, NOW) == NOW + HOUR
    assert service_expiry(NOW + 30 * DAY, NOW) == NOW + 2 * DAY
