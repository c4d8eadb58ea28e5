"""A lease from look to look, by whom the nodes let in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import asyncssh
import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy
from airflow_provider_batchlinux.client.users.lease import OWED_LIMIT, LeaseWait
from airflow_provider_batchlinux.client.users.ledger import enter, read_ledger
from airflow_provider_batchlinux.client.users.revoke import revoke
from airflow_provider_batchlinux.core.pool_metadata import PoolMarks, metadata_of
from airflow_provider_batchlinux.core.pools.usage import Usage
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, without_entry
from airflow_provider_batchlinux.core.users.user import NodeUser
from airflow_provider_batchlinux.exceptions import BatchUnreachableError, NodeUsersError
from tests.batch_account import BatchAccount, eventually
from tests.unit.client.sessions import FixedClock, run
from tests.unit.logins import lets_in

OURS = {"dag_id": "etl", "run_id": "today", "task_id": "lease", "map_index": "-1"}
THEIRS = {**OURS, "run_id": "yesterday"}


class Lease:
    """A lease with a clock of its own, and a client for each look as after a restart of its process."""

    def __init__(
        self,
        account: BatchAccount,
        public_key: str,
        lasts: timedelta = timedelta(hours=1),
        now: datetime | None = None,
    ) -> None:
        self.account = account
        self.now = now or datetime.now(timezone.utc)
        self.user = NodeUser("ann", self.now + lasts, ssh_public_key=public_key)
        self.work_is_over = False
        self.wait = LeaseWait(
            None, "etl", self.user, OURS, 8, self._work_is_over  # type: ignore[arg-type]  # given at each look
        )  # fmt: skip
        self.enter()

    async def _work_is_over(self) -> bool:
        return self.work_is_over

    def ask(self, scenario: Callable[[BatchLinuxClient], Awaitable[Any]]) -> Any:
        clock = FixedClock(lambda: self.now.timestamp())
        return run(self.account.hook.settings(), scenario, RetryPolicy(budget=0), clock)

    def enter(self, by: dict[str, str] = OURS) -> None:
        entry = LedgerEntry("ann", self.user.expires_at, by, self.user.fingerprint, is_lease=True)
        self.ask(lambda client: enter(client, "etl", entry, take_over=True))

    def look(self, later: timedelta = timedelta()) -> dict[str, Any] | None:
        async def scenario(client: BatchLinuxClient) -> dict[str, Any] | None:
            self.wait.client = client
            return await self.wait.poll()

        self.now += later
        found: dict[str, Any] | None = self.ask(scenario)
        return found

    def ledger(self) -> dict[str, LedgerEntry]:
        return dict(self.ask(lambda client: read_ledger(client, "etl")))

    @contextmanager
    def calls_for_users(self) -> Iterator[list[str]]:
        calls: list[str] = []
        self.account.control.clear_requests()
        yield calls
        calls.extend(line.split()[0] for line in self.account.requests() if "/users" in line)


@pytest.fixture
def lease(account: BatchAccount, public_key: str) -> Lease:
    account.idle_pool(2, ssh=True)
    return Lease(account, public_key)


def all_nodes(account: BatchAccount) -> set[str]:
    return {node.node_id for node in account.nodes()}


def inside(account: BatchAccount, key: asyncssh.SSHKey) -> set[str]:
    return lets_in(account, "ann", client_keys=[key])


def test_the_user_is_on_all_nodes_and_a_second_look_leaves_them_alone(account, key, lease):
    assert lease.look() is None
    assert len(inside(account, key)) == 2
    assert "user 'ann' is on 2 of 2 nodes until" in lease.wait.status

    with lease.calls_for_users() as calls:
        assert lease.look(timedelta(minutes=20)) is None
    assert calls == []


@pytest.mark.parametrize("deletes", [False, True])
def test_a_lease_counts_what_the_pool_uses_and_ends_it_over_its_budget(account, lease, deletes):
    budget = PoolMarks(max_node_hours=0.9, delete_over_budget=deletes)
    lease.ask(lambda client: change_metadata(client, "etl", budget.update))
    looks = [lease.look(timedelta(minutes=minutes)) for minutes in (0, 29, 2)]

    assert looks == [None, None, None]
    pool = account.hook.run(lambda client: client.find_pool_body("etl"))
    assert (pool is None) is deletes
    if pool is not None:
        assert Usage.read(metadata_of(pool)).node_hours == pytest.approx(31 / 30, abs=0.02)


def test_nodes_that_join_later_get_the_user(account, key, lease):
    lease.look()

    lease.ask(lambda client: client.resize_pool("etl", {"targetDedicatedNodes": 3}))
    account.wait_for_nodes({"idle": 3})
    with lease.calls_for_users() as calls:
        lease.look()

    assert len(inside(account, key)) == 3
    assert calls == ["POST"]


def test_a_node_that_was_reimaged_gets_the_user_again(account, key, lease):
    lease.look()
    node_id = account.nodes()[0].node_id

    lease.ask(lambda client: client.reimage_node("etl", node_id))
    account.wait_for_nodes({"idle": 2})
    assert node_id not in inside(account, key)
    lease.look()

    assert node_id in inside(account, key)


def test_a_spot_node_that_comes_back_gets_the_user_again(account, key, public_key):
    account.make_pool(spot=1, ssh=True, until={"idle": 1})
    lease = Lease(account, public_key)
    lease.look()
    [before] = account.nodes()

    account.control.preempt("etl")
    eventually(lambda: account.nodes()[0].last_boot not in (None, before.last_boot))
    account.wait_for_nodes({"idle": 1})
    assert inside(account, key) == set()
    lease.look()

    assert inside(account, key) == {before.node_id}


def test_a_starting_node_is_waited_for(account, key, lease):
    node_id = account.put_node("unknown")

    lease.look()
    assert inside(account, key) == all_nodes(account) - {node_id}
    assert "is on 1 of 2 nodes" in lease.wait.status
    assert "1 are 'unknown'" in lease.wait.status

    account.control.set_node("etl", node_id, "idle")
    lease.look()
    assert inside(account, key) == all_nodes(account)


def test_a_node_that_refuses_holds_up_no_other_and_is_asked_again_after_minutes(account, key, lease):
    node_id = account.nodes()[0].node_id
    account.control.inject("POST", f"{node_id}/users", code="OperationInvalidForCurrentState", status=409)

    lease.look()
    assert inside(account, key) == all_nodes(account) - {node_id}
    with lease.calls_for_users() as calls:
        lease.look(timedelta(minutes=4))
    assert calls == []

    lease.look(timedelta(minutes=1))
    assert inside(account, key) == all_nodes(account)


def test_a_long_lease_renews_the_day_that_the_service_knows(account, public_key):
    account.idle_pool(1, ssh=True)
    lease = Lease(account, public_key, lasts=timedelta(days=10))
    lease.look()

    with lease.calls_for_users() as early:
        lease.look(timedelta(hours=23))
    with lease.calls_for_users() as late:
        lease.look(timedelta(hours=1))

    assert early == []
    assert late == ["POST", "PUT"]


def test_at_its_end_the_user_is_taken_off_all_nodes_and_out_of_the_ledger(account, key, lease):
    lease.look()

    result = lease.look(timedelta(hours=1))

    assert result == {"pool_id": "etl", "username": "ann", "ended": "expired", "removed": 2}
    assert inside(account, key) == set()
    assert lease.ledger() == {}


def test_it_ends_when_those_who_need_the_user_are_done(account, key, lease):
    lease.look()
    lease.work_is_over = True

    result = lease.look()

    assert result is not None
    assert result["ended"] == "tasks over"
    assert inside(account, key) == set()


def test_a_user_that_was_revoked_does_not_come_back(account, key, lease):
    lease.look()
    lease.ask(lambda client: change_metadata(client, "etl", lambda marks: without_entry(marks, "ann")))

    result = lease.look()

    assert result is not None
    assert result["ended"] == "revoked"
    assert inside(account, key) == set()


def test_a_user_that_another_run_took_over_is_kept(account, key, lease):
    lease.look()
    lease.enter(THEIRS)

    result = lease.look()

    assert result == {"pool_id": "etl", "username": "ann", "ended": "taken over", "removed": 0}
    assert inside(account, key) == all_nodes(account)
    assert dict(lease.ledger()["ann"].by) == THEIRS


def test_a_pool_that_is_deleted_ends_it_quietly(account, lease):
    lease.look()
    account.delete_pool()

    result = lease.look()

    assert result is not None
    assert result["ended"] == "pool gone"


def test_a_node_that_cannot_let_the_user_go_now_is_asked_again(account, key, lease):
    lease.look()
    node_id = account.put_node("unusable")
    lease.work_is_over = True

    assert lease.look() is None
    assert f"still to be taken off 1 node: '{node_id}'" in lease.wait.status
    assert "ann" in lease.ledger()

    account.control.set_node("etl", node_id, "idle")
    result = lease.look()
    assert result is not None
    assert result["removed"] == 2
    assert inside(account, key) == set()
    assert lease.ledger() == {}


def test_a_node_that_never_lets_the_user_go_is_named_and_the_ledger_keeps_it(account, lease):
    lease.look()
    node_id = account.put_node("unusable")
    lease.work_is_over = True
    lease.look()

    with pytest.raises(NodeUsersError, match="It stays in the pool's ledger") as caught:
        lease.look(OWED_LIMIT + timedelta(seconds=1))

    assert caught.value.failed == [node_id]
    assert "ann" in lease.ledger()


def test_an_outage_of_the_service_does_not_end_it(account, lease):
    lease.look()
    account.control.inject("GET", "/pools/etl", status=503)

    assert lease.look() is None
    assert "get pool 'etl'" in lease.wait.status

    assert lease.look() is None
    assert "is on 2 of 2 nodes" in lease.wait.status


def test_an_outage_at_its_end_is_told_when_the_time_for_removal_is_over(account, lease):
    lease.work_is_over = True
    account.control.inject("GET", "/nodes", times=None, status=503)

    assert lease.look() is None
    with pytest.raises(BatchUnreachableError):
        lease.look(OWED_LIMIT + timedelta(seconds=1))


@pytest.mark.parametrize("looks", [0, 1], ids=["a new process", "one that has looked"])
def test_an_outage_ends_it_only_when_its_end_and_the_time_for_removal_are_over(account, public_key, looks):
    account.make_pool()
    lease = Lease(account, public_key, lasts=2 * OWED_LIMIT)
    for _ in range(looks):
        lease.look()
    account.control.inject("GET", "/pools/etl", times=None, status=503)

    assert lease.look(2 * OWED_LIMIT) is None
    with pytest.raises(BatchUnreachableError):
        lease.look(OWED_LIMIT)


def test_the_last_pause_ends_with_the_lease(lease):
    lease.look()
    lease.now += timedelta(minutes=59, seconds=50)

    assert lease.wait.pause(30.0) == pytest.approx(10.0)
    assert lease.wait.pause(5.0) == 5.0


def test_an_early_end_keeps_a_user_of_another_run(account, key, lease):
    lease.look()

    def end(by: dict[str, str]) -> Any:
        return lease.ask(lambda client: revoke(client, "etl", "ann", by, max_concurrency=4))

    assert end(THEIRS) is None
    assert inside(account, key) == all_nodes(account)

    assert len(end(OURS).records) == 2
    assert inside(account, key) == set()
    assert lease.ledger() == {}
    assert end(OURS) is None
