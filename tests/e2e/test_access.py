"""Access of people to nodes ends when it says it does: a complete Airflow, and logins by the system's SSH."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.users.ledger import enter, read_ledger
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
from airflow_provider_batchlinux.exceptions import BatchRequestError
from tests.demo.login import log_in
from tests.e2e.account import Account
from tests.e2e.polling import until
from tests.e2e.rest import AirflowApi, Run

POOL = "access"
NODES = 2

AWAY_LIMIT = 60.0
"""Seconds for a node to go away or to come back, ten times faster than at Azure."""

LOOK_LIMIT = 300.0
"""Seconds until a lease, or a triggerer that has just built an API of its own, has looked again."""


@pytest.fixture(scope="module", autouse=True)
def pool(account: Account) -> Iterator[None]:
    """Create a pool whose nodes let people in from outside."""
    account.make_pool(POOL, nodes=NODES, ssh=True)
    yield
    account.delete_pool(POOL)


class People:
    """Who can log in, and what the pool's ledger has of them."""

    def __init__(self, account: Account, key: Path) -> None:
        self._account = account
        self._key = key

    def inside(self, username: str) -> set[str]:
        """Log in to each node that can be reached, with the system's SSH; return the nodes that let in."""
        nodes = self._account.ask(lambda client: client.list_nodes(POOL))
        return {
            node.node_id
            for node in nodes
            if node.ssh is not None and log_in(node.ssh, username, self._key) is not None
        }

    def ledger(self) -> dict[str, Any]:
        """Return the users that nodes may have."""
        return self._account.ask(lambda client: read_ledger(client, POOL)) or {}

    def put_away(self, node_id: str) -> None:
        """Deallocate a node."""
        self._account.ask(lambda client: client.deallocate_node(POOL, node_id))
        self.wait_for(node_id, "deallocated")

    def bring_back(self, node_id: str) -> None:
        """Start a node that was deallocated."""
        self._account.ask(lambda client: client.start_node(POOL, node_id))
        self.wait_for(node_id, "idle")

    def wait_for(self, node_id: str, state: str) -> None:
        """Wait until a node is in a state."""
        until(lambda: self.state_of(node_id) == state, f"node {node_id!r} to be {state}", limit=AWAY_LIMIT)

    def state_of(self, node_id: str) -> str:
        """Return the state of a node."""
        nodes = self._account.ask(lambda client: client.list_nodes(POOL))
        return next(node.state for node in nodes if node.node_id == node_id)

    def keep_rebooting(self, node_id: str, username: str) -> None:
        """Reboot a node again and again, until a removal of the user has begun while it reboots."""

        def has_begun() -> bool:
            if has_ended(self, username):
                return True
            if self.state_of(node_id) == "idle":
                self._account.ask(lambda client: client.reboot_node(POOL, node_id))
            return False

        until(has_begun, f"the removal of {username!r} to begin", limit=LOOK_LIMIT)
        assert self.state_of(node_id) in ("rebooting", "starting", "waitingforstarttask")


@pytest.fixture
def people(account: Account, key_pair: tuple[Path, str]) -> People:
    return People(account, key_pair[0])


def start(api: AirflowApi, people: People, dag_id: str, username: str, **params: Any) -> Run:
    """Start a run that gives access, and wait until all nodes let the user in."""
    run = api.trigger(dag_id, pool_id=POOL, username=username, **params)
    until(lambda: len(people.inside(username)) == NODES, f"{username!r} to be let in", limit=LOOK_LIMIT)
    return run


def has_ended(people: People, username: str) -> bool:
    return bool(people.ledger()[username].is_revoked)


def audit(api: AirflowApi) -> dict[str, Any]:
    run = api.trigger("access_audited", pool_id=POOL)
    assert run.wait() == "success"
    found: dict[str, Any] = run.result("audit")
    return found


@pytest.mark.parametrize("away", ["deallocated", "rebooting"])
def test_a_removal_while_a_node_is_away_ends_the_lease_and_holds_after_its_return(
    api: AirflowApi, account: Account, people: People, tmp_path: Path, away: str
):
    run = start(api, people, "access_leased_and_removed", f"r-{away}", until=str(tmp_path / "end"))
    node_id, other = account.nodes(POOL)
    if away == "deallocated":
        people.put_away(node_id)
    (tmp_path / "end").touch()
    if away == "rebooting":
        people.keep_rebooting(node_id, f"r-{away}")

    assert run.wait_for("remove", "success", limit=LOOK_LIMIT)
    outcomes = {record["node_id"]: record["outcome"] for record in run.result("remove")}
    # A node that reboots is waited for; in the time between, the lease may have removed the user.
    assert outcomes[other] in ("removed", "absent")
    assert outcomes[node_id] in (("owed",) if away == "deallocated" else ("removed", "absent"))
    if away == "deallocated":
        assert run.task("lease")["state"] == "deferred"
        people.bring_back(node_id)
    assert run.wait() == "success"
    assert run.result("lease")["ended"] == "revoked"
    assert people.inside(f"r-{away}") == set()
    assert f"r-{away}" not in people.ledger()


def test_what_ends_while_a_node_is_deallocated_is_owed_and_paid_after_its_start(
    api: AirflowApi, account: Account, people: People
):
    expiring = start(api, people, "access_leased", "expiring", seconds=90)
    killed = start(api, people, "access_leased", "killed")
    start(api, people, "access_added", "overdue", seconds=90)
    start(api, people, "access_added", "staying")
    node_id, _ = account.nodes(POOL)
    people.put_away(node_id)

    killed.mark_failed("lease")
    for name in ("expiring", "killed"):
        until(partial(has_ended, people, name), f"{name!r} to end", limit=LOOK_LIMIT)
    until(lambda: audit(api)["overdue"] == 3, "all to be over", limit=LOOK_LIMIT)
    assert [people.inside(name) for name in ("expiring", "killed", "overdue")] == [set(), set(), set()]
    assert {name for name, entry in people.ledger().items() if entry.owed.covers(node_id)} == {
        "expiring",
        "killed",
        "overdue",
    }
    assert expiring.task("lease")["state"] == "deferred"

    people.bring_back(node_id)

    assert expiring.wait() == "success"
    assert expiring.result("lease")["ended"] == "expired"
    assert audit(api)["owed"] == []
    assert [people.inside(name) for name in ("expiring", "killed", "overdue")] == [set(), set(), set()]
    assert set(people.ledger()) == {"staying"}
    # The node has kept its users over the deallocation, and lets those in who are wanted.
    assert len(people.inside("staying")) == NODES


def test_an_add_that_is_ended_while_its_request_is_at_the_service_leaves_no_login(
    api: AirflowApi, account: Account, people: People
):
    account.control.clear_requests()
    account.control.inject("POST", f"/pools/{POOL}/nodes/.*/users$", delay=20)
    run = api.trigger("access_added", pool_id=POOL, username="late")
    until(lambda: "late" in people.ledger(), "the user to be in the ledger", limit=LOOK_LIMIT)
    until(lambda: run.task("add")["pid"], "the worker", limit=LOOK_LIMIT)

    os.kill(run.task("add")["pid"], signal.SIGTERM)

    assert run.wait() == "failed"

    def is_carried_out() -> bool:
        asked = [one for one in account.control.requests() if one["path"].endswith("/users")]
        return any(one["method"] == "POST" and one["status"] == 201 for one in asked)

    until(is_carried_out, "the request to be carried out", limit=LOOK_LIMIT)
    # Either the task has waited for its request and removed the user, or the ledger has not forgotten it.
    left = people.ledger().get("late")
    assert left.is_revoked if left is not None else people.inside("late") == set()
    audit(api)
    assert people.inside("late") == set()


def test_a_slow_removal_leaves_alone_the_user_of_another_run_that_takes_the_name(
    api: AirflowApi, account: Account, people: People, tmp_path: Path
):
    first = start(api, people, "access_added_and_removed", "shared", until=str(tmp_path / "end"))
    account.control.inject("DELETE", f"/pools/{POOL}/nodes/.*/users/shared$", delay=15)
    (tmp_path / "end").touch()
    until(lambda: people.ledger()["shared"].is_revoked, "the removal to begin", limit=LOOK_LIMIT)

    second = api.trigger("access_leased", pool_id=POOL, username="shared")

    # Either it has asked all nodes before, or it says that it left one alone.
    left_alone = "the node was not asked"
    assert first.wait() == "success" or left_alone in first.log("remove")
    until(lambda: len(people.inside("shared")) == NODES, "the second user to be let in", limit=LOOK_LIMIT)
    assert people.ledger()["shared"].by["run_id"] == second.run_id
    second.mark_failed("lease")
    until(lambda: not people.inside("shared"), "the second user to be gone", limit=LOOK_LIMIT)


def test_a_lease_that_fails_after_its_end_is_not_begun_again_by_its_retry(
    api: AirflowApi, account: Account, people: People
):
    run = start(api, people, "access_leased_and_retried", "retried", seconds=60)
    node_id, _ = account.nodes(POOL)
    people.put_away(node_id)

    until(lambda: run.task("lease")["state"] == "up_for_retry", "the first try to fail", limit=LOOK_LIMIT)
    assert people.ledger()["retried"].owed.covers(node_id)
    people.bring_back(node_id)

    assert run.wait() == "success"
    assert run.task("lease")["try_number"] == 2
    assert run.result("lease")["ended"] == "expired"
    assert "what is left of it is removed" in run.log("lease", try_number=2)
    assert people.inside("retried") == set()


def test_a_machine_whose_clock_is_ahead_ends_no_access_and_takes_no_name(
    api: AirflowApi, account: Account, people: People
):
    first = start(api, people, "access_added", "punctual", seconds=500)

    run = api.trigger("access_by_a_wrong_clock", pool_id=POOL, username="punctual")

    assert run.wait() == "failed"
    assert run.states() == {"audit": ["success"], "remove": ["failed"], "take": ["failed"]}
    [audited] = [user for user in run.result("audit")["users"] if user["username"] == "punctual"]
    assert not audited["overdue"]
    for task_id in ("remove", "take"):
        assert first.run_id in run.log(task_id), "The holder is named."
    assert len(people.inside("punctual")) == NODES
    assert not has_ended(people, "punctual")


def test_a_user_for_whom_the_ledger_has_no_room_is_put_on_no_node_and_fits_after_an_audit(
    api: AirflowApi, account: Account, people: People
):
    async def fill(client: BatchLinuxClient) -> None:
        end = client.clock.now() - timedelta(hours=1)
        for number in range(1000):
            entry = LedgerEntry(f"former{number:03}", end, {"dag_id": "former", "run_id": "manual__2026"})
            await enter(client, POOL, entry)

    with pytest.raises(BatchRequestError, match="is full"):
        account.ask(fill)
    refused = api.trigger("access_added", pool_id=POOL, username="surplus")

    assert refused.wait() == "failed"
    assert "The ledger of users of pool 'access' is full" in refused.log("add")
    assert people.inside("surplus") == set()
    assert "surplus" not in people.ledger()
    assert audit(api)["revoked"] > 50
    start(api, people, "access_added", "surplus")
