"""A leased user in a complete Airflow is removed after its work or a kill, and not sooner."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.account import Account
from tests.e2e.conftest import NODES
from tests.e2e.polling import until
from tests.e2e.rest import AirflowApi, Run
from tests.e2e.standalone import Standalone

POOL = "leased"

KILL_LIMIT = 90.0
"""Seconds. The triggerer's first question for a task's state makes it build an API of its own: 5 s, or many
more where the processor is busy."""


@pytest.fixture(scope="module", autouse=True)
def pool(account: Account) -> Iterator[None]:
    """Create a pool on which no other test adds users."""
    account.make_pool(POOL, nodes=NODES)
    yield
    account.delete_pool(POOL)


def _start(api: AirflowApi, dag_id: str, username: str, *, seconds: int) -> Run:
    """Start a run, and wait until its lease lies with the triggerer."""
    run = api.trigger(dag_id, pool_id=POOL, username=username, seconds=seconds)
    until(lambda: "lease" in run.states(), "the run to have tasks", limit=60)
    run.wait_for("lease", "deferred")
    started = f"trigger {dag_id}/"
    until(lambda: started in run.log("lease"), "the trigger to start", limit=60)
    return run


def test_a_lease_ends_when_the_tasks_beside_it_are_over(api: AirflowApi, account: Account):
    run = _start(api, "lease_until_tasks", "beside", seconds=20)
    assert account.users(POOL) == {"beside": NODES}

    assert run.wait() == "success"

    assert run.result("lease") == {
        "pool_id": POOL,
        "username": "beside",
        "ended": "tasks over",
        "removed": NODES,
    }
    assert account.users(POOL) == {}


def test_a_teardown_that_removes_the_user_ends_its_lease(api: AirflowApi, account: Account):
    run = _start(api, "lease_until_removed", "removed", seconds=15)

    assert run.wait() == "success"

    assert run.result("lease")["ended"] == "revoked"
    assert account.users(POOL) == {}


def test_marking_a_lease_failed_takes_the_user_away(api: AirflowApi, account: Account):
    run = _start(api, "lease_until_tasks", "marked", seconds=5)
    assert "marked" in account.users(POOL)

    run.mark_failed("lease")

    until(lambda: "marked" not in account.users(POOL), "the user to be gone", limit=KILL_LIMIT)
    assert run.wait() == "failed"


def test_a_killed_triggerer_neither_ends_a_lease_nor_makes_it_endless(
    airflow: Standalone, api: AirflowApi, account: Account
):
    run = _start(api, "lease_until_tasks", "survivor", seconds=40)

    airflow.kill_triggerer()
    assert account.users(POOL) == {"survivor": NODES}
    airflow.start("triggerer")

    assert run.wait() == "success"
    assert run.result("lease")["ended"] == "tasks over"
    assert account.users(POOL) == {}
