"""A pool when the process that works on it is killed before the service has answered."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.account import Account
from tests.e2e.polling import until
from tests.e2e.rest import AirflowApi
from tests.e2e.standalone import Standalone

HELD = 30.0
"""Seconds for which the service holds an answer back: longer than it takes to see that the work is done."""

STEPS = ["removenodes", "resize"]


def test_a_worker_killed_between_a_create_and_its_answer_leaves_one_pool(api: AirflowApi, account: Account):
    before = set(account.pools())
    account.control.inject("POST", "/pools$", hold=HELD)
    run = api.trigger("create_with_a_retry")
    [made] = until(lambda: set(account.pools()) - before, "the pool to be made", limit=90)

    os.kill(run.task("create_pool")["pid"], signal.SIGKILL)
    again = run.wait_for("create_pool", "success")

    assert again["try_number"] == 2
    assert run.result("create_pool")["created"] is False
    assert run.result("create_pool")["pool_id"] == made
    assert set(account.pools()) - before == {made}
    assert run.wait() == "success"
    assert set(account.pools()) == before


def test_a_create_that_is_ended_before_its_answer_on_its_last_try_leaves_no_pool(
    api: AirflowApi, account: Account
):
    before = set(account.pools())
    account.control.inject("POST", "/pools$", hold=HELD)
    run = api.trigger("create_without_a_retry")
    until(lambda: set(account.pools()) - before, "the pool to be made", limit=90)

    run.mark_failed("create_pool")

    until(lambda: set(account.pools()) == before, "the pool to be gone", limit=60)
    assert run.wait() == "failed"


@pytest.mark.parametrize("step", STEPS)
def test_a_repair_whose_triggerer_is_killed_is_finished_and_no_step_is_repeated(
    airflow: Standalone, api: AirflowApi, account: Account, pool_of_two: Callable[[str], str], step: str
):
    pool_id = pool_of_two(f"repaired-{step}")
    lost = account.nodes(pool_id)[0]
    account.control.set_node(pool_id, lost, "unknown")
    account.control.inject("POST", f"/{pool_id}/{step}$", hold=HELD)
    run = api.trigger("wait_with_repair", pool_id=pool_id)
    run.wait_for("nodes_idle", "deferred")
    account.control.set_node(pool_id, lost, "unusable")
    until(lambda: step in account.asked_of(pool_id), f"the repair to come to {step!r}", limit=120)

    airflow.kill_triggerer()
    assert run.task("nodes_idle")["state"] == "deferred"
    airflow.start("triggerer")

    assert run.wait() == "success"
    assert account.asked_of(pool_id) == STEPS
    assert account.counts(pool_id) == {"idle": 2}
    assert lost not in account.nodes(pool_id)
    assert run.result("nodes_idle")["repairs"] == 1
    assert run.task("nodes_idle")["try_number"] == 1


@pytest.fixture
def pool_of_two(account: Account) -> Iterator[Callable[[str], str]]:
    """Return a function that creates a pool of two nodes; the pools are deleted with the test."""
    made: list[str] = []

    def make(pool_id: str) -> str:
        made.append(pool_id)
        account.make_pool(pool_id, nodes=2)
        return pool_id

    yield make
    for pool_id in made:
        account.delete_pool(pool_id)
