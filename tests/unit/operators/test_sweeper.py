"""The operator that deletes the pools that were left behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import asyncssh
import pytest

from airflow_provider_batchlinux.client.pools.metadata import change_metadata
from airflow_provider_batchlinux.client.users.ledger import enter
from airflow_provider_batchlinux.core.pool_metadata import METADATA_PREFIX, PoolMarks, metadata_of
from airflow_provider_batchlinux.core.pools.repair import RepairHistory, with_history
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, entries_in
from airflow_provider_batchlinux.exceptions import BatchRequestError
from airflow_provider_batchlinux.operators.node_users import BatchLinuxAddNodeUsersOperator
from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
)
from airflow_provider_batchlinux.operators.sweeper import BatchLinuxSweepPoolsOperator
from tests.airflow_harness import RUN_ID, ExecutionApi, TaskRun, run_task
from tests.batch_account import BatchAccount, eventually
from tests.unit.commands import Loop, defer, job_of, job_operator, operator
from tests.unit.logins import lets_in


def create(pool_id: str, **options: Any) -> None:
    run = run_task(
        BatchLinuxCreatePoolOperator(
            task_id=options.pop("task_id", "create"),
            pool_id=pool_id,
            image="ubuntu 24.04",
            vm_size="standard_d2s_v5",
            **options,
        )
    )
    assert run.state == "success", run.message


def sweep(*, run_lives: bool = False, **options: Any) -> TaskRun:
    api = ExecutionApi(live_runs=(RUN_ID,) if run_lives else ())
    return run_task(sweeping(**options), api=api)


def sweeping(**options: Any) -> BatchLinuxSweepPoolsOperator:
    return BatchLinuxSweepPoolsOperator(task_id="sweep", **options)


def keep(account: BatchAccount, pool_id: str) -> None:
    """Mark a pool as an earlier release did after a failure, to be kept without an end."""
    kept = {f"{METADATA_PREFIX}kept": "2026-11-22T09:00:00Z"}
    account.hook.run(lambda client: change_metadata(client, pool_id, lambda marks: {**marks, **kept}))


def earlier_run(account: BatchAccount, pool_id: str, run_id: str) -> None:
    """Let a pool have been made by another Dag run."""

    def change(metadata: Mapping[str, str]) -> dict[str, str]:
        marks = PoolMarks.read(metadata)
        return replace(marks, owner={**marks.owner, "run_id": run_id}, holders=None).update(metadata)

    account.hook.run(lambda client: change_metadata(client, pool_id, change))


def names(run: TaskRun) -> list[str]:
    return [pool["pool_id"] for pool in run.result["pools"]]


def test_dry_run_deletes_nothing(account: BatchAccount) -> None:
    create("left", dedicated_nodes=2)
    account.wait_for_nodes({"idle": 2}, pool_id="left")

    run = sweep()

    assert names(run) == ["left"]
    assert (run.result["deleted"], run.result["node_hours_saved_per_day"]) == (0, 0)
    assert run.result["node_hours_per_day"] == 48
    assert "Dry run: 1 pool could be deleted, saving 48 node-hours per day." in run.log
    assert account.pools() == ["left"]


@pytest.mark.parametrize("delete", [True, "true", "True "])
def test_a_pool_whose_run_is_over_is_deleted(account: BatchAccount, delete: Any) -> None:
    create("left", dedicated_nodes=2)
    account.wait_for_nodes({"idle": 2}, pool_id="left")

    run = sweep(delete=delete)

    assert (run.result["deleted"], run.result["nodes"], run.result["node_hours_saved_per_day"]) == (1, 2, 48)
    assert account.pools() == []


def test_a_pool_whose_run_goes_on_stays(account: BatchAccount) -> None:
    create("used")

    assert names(sweep(run_lives=True, delete=True)) == []
    assert account.pools() == ["used"]


def test_a_pool_with_an_end_stays_until_then(account: BatchAccount) -> None:
    create("wanted", expires_in=timedelta(hours=1))

    assert names(sweep(delete=True)) == []


def test_a_pool_that_several_tasks_of_one_run_have_taken_goes_with_it(account: BatchAccount) -> None:
    create("shared")
    create("shared", task_id="other")

    assert names(sweep(run_lives=True, delete=True)) == []
    assert names(sweep(delete=True)) == ["shared"]
    assert account.pools() == []


@pytest.mark.parametrize("how", ["reuse", "ignore", "update"])
def test_a_pool_that_several_runs_have_taken_goes_with_the_last_of_them(
    account: BatchAccount, how: Any
) -> None:
    create("shared")
    earlier_run(account, "shared", "yesterday")
    create("shared", task_id="other", if_exists=how, dedicated_nodes=0 if how == "reuse" else 1)

    for alive in (RUN_ID, "yesterday"):
        assert names(run_task(sweeping(), api=ExecutionApi(live_runs=(alive,)))) == []
    run = sweep()

    assert names(run) == ["shared"]
    assert "as has 1 earlier run" in run.result["pools"][0]["reason"]


def test_a_pool_that_is_kept_after_a_failure_is_told_and_left_alone(account: BatchAccount) -> None:
    create("kept", dedicated_nodes=1)
    account.wait_for_nodes({"idle": 1}, pool_id="kept")
    keep(account, "kept")

    run = sweep(delete=True)

    assert names(run) == []
    assert [(pool["pool_id"], pool["nodes"]) for pool in run.result["kept"]] == [("kept", 1)]
    assert "Pool 'kept' with 1 node has been kept since" in run.log
    assert account.pools() == ["kept"]


def test_a_pool_that_is_kept_goes_at_its_own_end(account: BatchAccount) -> None:
    create("kept", expires_in=1e-3)
    keep(account, "kept")

    run = sweep(delete=True)

    assert names(run) == ["kept"]
    assert run.result["kept"] == []
    assert account.pools() == []


def test_pools_whose_run_is_over_can_be_left_alone(account: BatchAccount) -> None:
    create("left")

    assert names(sweep(ended_runs=False)) == []


def test_pools_of_others_are_not_looked_at(account: BatchAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    account.make_pool("foreign")
    create("ours")
    monkeypatch.setenv("AIRFLOW__BATCH_LINUX__INSTALLATION_ID", "prod")

    assert names(sweep(delete=True)) == []
    assert account.pools() == ["foreign", "ours"]


def test_a_pool_that_changes_meanwhile_is_left_alone(account: BatchAccount) -> None:
    create("left")
    account.control.inject(method="DELETE", status=412, code="ConditionNotMet")

    run = sweep(delete=True)

    assert run.result["deleted"] == 0
    assert "Pool 'left' changed in the meantime and is kept." in run.log


def test_one_that_cannot_be_deleted_does_not_keep_the_others(account: BatchAccount) -> None:
    create("a")
    create("b", task_id="other")
    account.control.inject(method="DELETE", path="/pools/a", status=403, code="AuthorizationFailure")

    run = sweep(delete=True)

    assert isinstance(run.error, BatchRequestError)
    assert "1 of 2 pools could not be deleted: pool 'a': Could not delete pool 'a'" in run.message
    assert names(run) == ["a", "b"]
    assert run.result["deleted"] == 1
    assert [pool["pool_id"] for pool in run.result["refused"]] == ["a"]
    assert "AuthorizationFailure" in run.result["refused"][0]["error"]
    assert account.pools() == ["a"]


@pytest.mark.usefixtures("account")
def test_a_wrong_word_for_delete_is_refused() -> None:
    assert "delete='perhaps' is not true or false" in sweep(delete="perhaps").message


class TestAbandonedRepairs:
    @pytest.mark.parametrize(("left", "now"), [((1, 0), 3), ((2, 0), 1)], ids=["shrunk", "resized since"])
    def test_a_create_gives_a_pool_of_fixed_size_its_nodes_back(
        self, account: BatchAccount, left: tuple[int, int], now: int
    ) -> None:
        create("ours", dedicated_nodes=3)
        account.wait_for_nodes({"idle": 3}, pool_id="ours")
        body = {"targetDedicatedNodes": 1, "targetLowPriorityNodes": 0}
        account.hook.run(lambda client: client.resize_pool("ours", body))
        account.wait_for_nodes({"idle": 1}, pool_id="ours")
        history = RepairHistory(grow_to=(3, 0), reduced_to=left, heartbeat_at=1)
        account.hook.run(
            lambda client: change_metadata(client, "ours", lambda marks: with_history(marks, history))
        )

        create("ours", dedicated_nodes=3)

        pool = account.hook.find_pool("ours")
        assert pool is not None
        assert pool.target == now


class TestIdlePools:
    def idle(self, **options: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = sweep(run_lives=True, **options).result["idle"]
        return found

    def pool(self, account: BatchAccount, state: str = "idle") -> None:
        create("used", dedicated_nodes=2)
        account.wait_for_nodes({"idle": 2}, pool_id="used")
        if state != "idle":
            account.put_node(state, pool_id="used")

    @pytest.mark.parametrize("state", ["idle", "unusable", "offline"])
    def test_a_pool_on_which_nothing_goes_on_is_warned_of_and_stays(
        self, account: BatchAccount, state: str
    ) -> None:
        self.pool(account, state)

        run = sweep(run_lives=True, delete=True, idle_after=0.001)

        assert run.result["idle"] == [{"pool_id": "used", "nodes": 2}]
        assert "Pool 'used': 2 nodes idle for" in run.log
        assert account.pools() == ["used"]

    def test_one_on_which_a_node_works_is_not(self, account: BatchAccount) -> None:
        self.pool(account, "running")

        assert self.idle(idle_after=0.001) == []

    def test_one_on_which_something_went_on_lately_is_not(self, account: BatchAccount) -> None:
        self.pool(account)

        assert self.idle(idle_after=timedelta(hours=1)) == self.idle() == []

    def test_one_without_nodes_or_to_be_deleted_is_not(self, account: BatchAccount) -> None:
        create("empty")
        self.pool(account)

        assert sweep(idle_after=0.001).result["idle"] == []

    def test_one_that_is_deleted_during_the_sweep_is_not(self, account: BatchAccount) -> None:
        self.pool(account)
        account.control.inject("GET", "/pools/used/nodes", times=None, status=404, code="PoolNotFound")

        assert self.idle(idle_after=0.001) == []

    def test_where_it_cannot_be_told_nothing_is_deleted_yet(self, account: BatchAccount) -> None:
        create("left")
        create("used", dedicated_nodes=1)
        account.wait_for_nodes({"idle": 1}, pool_id="used")
        earlier_run(account, "left", "earlier")
        account.control.inject("GET", "/pools/used/nodes", times=None, status=403, code="OperationForbidden")

        run = sweep(run_lives=True, delete=True, idle_after=0.001)

        assert run.state == "failed"
        assert account.pools() == ["left", "used"]

    def test_no_request_is_made_if_it_is_turned_off(self, account: BatchAccount) -> None:
        self.pool(account)
        account.control.clear_requests()

        run = sweep(run_lives=True, idle_after=None)

        assert "idle" not in run.result
        assert account.requests() == ["GET /pools", "GET /pools/used/nodes", "GET /jobs"]


class TestJobs:
    """Jobs whose workers died: the maker of a job was the one to delete it."""

    def left(self, account: BatchAccount, loop: Loop) -> dict[str, str]:
        """Leave a job of each kind behind, and give their ids."""
        account.idle_pool(3)
        jobs = {
            policy: job_of(defer(loop.command, task_id=policy, delete_job=policy))
            for policy in ("always", "never")
        }
        body = account.hook.run(lambda client: client.find_job(jobs["always"])) or {}
        empty = {"id": "without-task", "poolInfo": {"poolId": "etl"}, "metadata": body["metadata"]}
        account.hook.run(lambda client: client.create_job(empty))
        many = run_task(job_operator(tasks=["true", loop.command], task_id="many", deferrable=True))
        return {**jobs, "empty": "without-task", "many": job_of(many)}

    def test_those_of_a_run_that_is_over_hold_no_quota_after_a_sweep(
        self, account: BatchAccount, loop: Loop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account.control.set_quota(active_jobs=4)
        jobs = self.left(account, loop)

        assert sweep(run_lives=True, delete=True).result["jobs"] == []
        assert sweep(ended_runs=False, delete=True).result["jobs"] == []
        with monkeypatch.context() as patch:
            patch.setenv("AIRFLOW__BATCH_LINUX__INSTALLATION_ID", "theirs")
            assert sweep(delete=True).result["jobs"] == []
        dry = sweep()
        assert sorted(account.jobs()) == sorted(jobs.values())
        run = sweep(delete=True)

        actions = {job["job_id"]: job["action"] for job in run.result["jobs"]}
        ended = {jobs["never"]: "end", jobs["many"]: "end"}
        assert actions == {jobs["always"]: "delete", jobs["empty"]: "delete", **ended}
        assert dry.result["jobs"] == run.result["jobs"]
        assert (dry.result["jobs_removed"], run.result["jobs_removed"]) == (0, 4)
        assert "4 jobs of ended commands" in dry.log
        eventually(lambda: set(account.jobs()) == set(ended) and not loop.runs())
        loop.go.touch()
        assert run_task(operator("true", task_id="next")).state == "success"

    def test_those_of_a_live_run_go_with_their_pool_unless_it_is_kept(
        self, account: BatchAccount, loop: Loop
    ) -> None:
        create("left", dedicated_nodes=1, expires_in=1e-3)
        account.wait_for_nodes({"idle": 1}, pool_id="left")
        job = job_of(defer(loop.command, pool_id="left"))
        account.control.inject(method="DELETE", path="/pools/left", status=412, code="ConditionNotMet")

        kept = sweep(run_lives=True, delete=True)
        left = account.jobs()
        gone = sweep(run_lives=True, delete=True)

        assert (kept.result["deleted"], kept.result["jobs_removed"], left) == (0, 0, [job])
        assert (gone.result["deleted"], gone.result["jobs_removed"]) == (1, 1)
        assert "because pool 'left' is deleted" in gone.result["jobs"][0]["reason"]

    def test_one_that_cannot_be_removed_fails_the_task_by_name(
        self, account: BatchAccount, loop: Loop
    ) -> None:
        jobs = self.left(account, loop)
        account.control.inject(method="DELETE", path=f"/jobs/{jobs['always']}", status=403, code="Denied")

        run = sweep(delete=True)

        assert f"1 of 4 jobs could not be deleted:\n  job '{jobs['always']}':" in run.shown
        assert [item["job_id"] for item in run.result["refused"]] == [jobs["always"]]
        assert run.result["jobs_removed"] == 3


class TestUsers:
    """Users whose time is over: the task that was to remove them died."""

    def overdue(self, account: BatchAccount, pool_id: str, username: str, **by: str) -> None:
        entry = LedgerEntry(username, datetime.now(timezone.utc) - timedelta(hours=1), by)
        account.hook.run(lambda client: enter(client, pool_id, entry, take_over=True))

    def ledger(self, account: BatchAccount, pool_id: str) -> set[str]:
        body = account.hook.run(lambda client: client.find_pool_body(pool_id, ["id", "metadata"])) or {}
        return {name for name, entry in entries_in(metadata_of(body)).items() if not entry.is_settled}

    @pytest.fixture
    def users(self, account: BatchAccount, key: asyncssh.SSHKey, public_key: str) -> BatchAccount:
        """Give a pool of ours and one of nobody, with users of ours, of others, and of people."""
        create("ours", dedicated_nodes=1, ssh_from=["10.0.0.0/8"])
        account.wait_for_nodes({"idle": 1}, pool_id="ours")
        account.make_pool("nobodys")
        add = BatchLinuxAddNodeUsersOperator(
            task_id="add", pool_id="ours", username="nora", ssh_public_key=public_key, expires_in=3600
        )
        assert run_task(add).state == "success"
        assert len(lets_in(account, "nora", pool_id="ours", client_keys=[key])) == 1
        self.overdue(account, "ours", "nora", dag_id="etl", run_id="r", installation="tests")
        self.overdue(account, "ours", "person", user="pat", host="laptop")
        self.overdue(account, "ours", "theirs", dag_id="etl", run_id="r", installation="theirs")
        self.overdue(account, "nobodys", "mine", dag_id="etl", run_id="r", installation="tests")
        self.overdue(account, "nobodys", "person", user="pat", host="laptop")
        return account

    def test_ours_are_removed_and_those_of_others_stay(
        self, users: BatchAccount, key: asyncssh.SSHKey
    ) -> None:
        dry = sweep(run_lives=True)
        assert self.ledger(users, "ours") == {"nora", "person", "theirs"}
        run = sweep(run_lives=True, delete=True)

        planned = {(user["pool_id"], user["username"]) for user in run.result["users"]}
        assert planned == {("ours", "nora"), ("ours", "person"), ("nobodys", "mine")}
        assert dry.result["users"] == run.result["users"]
        assert (dry.result["users_removed"], run.result["users_removed"]) == (0, 3)
        assert "3 users whose access is over" in dry.log
        assert "its time was over at" in run.result["users"][0]["reason"]
        assert lets_in(users, "nora", pool_id="ours", client_keys=[key]) == set()
        assert (self.ledger(users, "ours"), self.ledger(users, "nobodys")) == ({"theirs"}, {"person"})

    def test_what_a_node_owes_is_told_and_paid_by_the_next_sweep(
        self, users: BatchAccount, key: asyncssh.SSHKey
    ) -> None:
        node_id = users.put_node("deallocated", pool_id="ours")

        owing = sweep(run_lives=True, delete=True)
        assert {(owed["username"], owed["node_id"]) for owed in owing.result["owed"]} == {
            ("nora", node_id),
            ("person", node_id),
        }
        users.put_node("idle", pool_id="ours")
        paid = sweep(run_lives=True, delete=True)

        assert {user["reason"] for user in paid.result["users"]} == {"revoked, and nodes owe the removal"}
        assert paid.result["owed"] == []
        assert lets_in(users, "nora", pool_id="ours", client_keys=[key]) == set()

    def test_a_refusal_for_one_does_not_keep_the_others(self, users: BatchAccount) -> None:
        users.control.inject(method="PATCH", path="/pools/nobodys", times=None, status=403, code="Denied")

        run = sweep(run_lives=True, delete=True)

        assert "1 of 3 users could not be deleted:\n  user 'mine':" in run.shown
        assert [(item["pool_id"], item["username"]) for item in run.result["refused"]] == [
            ("nobodys", "mine")
        ]
        assert run.result["users_removed"] == 2
