"""The operators of users on a pool whose nodes come, go, refuse and belong to others meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_batchlinux.client.users.ledger import enter, read_ledger
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
from airflow_provider_batchlinux.exceptions import BatchConflictError, NodeUsersError
from tests.airflow_harness import TaskRun, resume_task, run_task, run_trigger
from tests.batch_account import BatchAccount
from tests.unit.operators.node_users.test_node_users import PASSWORD, add, log_in, remove

QUICK: dict[str, Any] = {"poll_interval": 0.01}


def ledger_of(account: BatchAccount) -> dict[str, LedgerEntry]:
    return account.hook.run(lambda client: read_ledger(client, "etl")) or {}


def outcomes(run: TaskRun) -> dict[str, str]:
    assert run.state == "success", run.message
    return {record["node_id"]: record["outcome"] for record in run.result}


class TestChoice:
    def test_nodes_are_chosen_by_id_and_a_missing_one_is_reported(self, account, public_key):
        account.idle_pool(3)
        first = account.nodes()[0].node_id

        run = run_task(add(ssh_public_key=public_key, node_ids=[first, "tvm-nowhere"]))

        assert outcomes(run) == {first: "added", "tvm-nowhere": "gone"}
        assert "no nodes 'tvm-nowhere'" in run.log

    def test_nodes_are_chosen_by_an_expression_that_the_service_reads(self, account, public_key):
        account.idle_pool(3)
        broken = account.put_node("unusable")

        run = run_task(add(ssh_public_key=public_key, where="state eq 'idle'"))

        assert list(outcomes(run).values()) == ["added", "added"]
        assert broken not in outcomes(run)

    def test_nodes_of_other_states_than_the_chosen_are_skipped_and_reported(self, account, public_key):
        account.idle_pool(2)
        rebooting = account.put_node("unknown")

        run = run_task(add(ssh_public_key=public_key, states=["idle"]))

        assert outcomes(run).pop(rebooting) == "skipped"
        assert sorted(outcomes(run).values()) == ["added", "skipped"]

    def test_a_node_whose_start_task_failed_is_tried_and_the_refusal_told_with_its_code(
        self, account, public_key
    ):
        account.idle_pool(2)
        broken = account.put_node("starttaskfailed")

        run = run_task(add(ssh_public_key=public_key, states=["starttaskfailed"]))

        assert isinstance(run.error, NodeUsersError)
        assert run.error.codes == {broken: "OperationInvalidForCurrentState"}

    def test_a_node_without_a_machine_is_skipped_and_fails_nothing(self, account, public_key):
        account.idle_pool(2)
        away = account.put_node("preempted")

        assert outcomes(run_task(add(ssh_public_key=public_key))).pop(away) == "skipped"

    def test_a_user_on_no_node_at_all_is_a_failure(self, account, public_key):
        account.idle_pool(1)
        account.put_node("preempted")

        assert "so it is on none" in run_task(add(ssh_public_key=public_key)).message


class TestThreshold:
    @pytest.mark.parametrize(("allowed", "state"), [(1, "success"), ("34%", "success"), ("33%", "failed")])
    def test_as_many_nodes_may_fail_as_are_allowed(self, account, public_key, allowed, state):
        account.idle_pool(3)
        broken = account.put_node("unusable")

        run = run_task(add(ssh_public_key=public_key, max_failed_nodes=allowed))

        assert run.state == state
        assert broken in (run.log if state == "success" else run.message)

    def test_a_limit_that_is_none_is_refused_before_any_request(self, account, public_key):
        run = run_task(add(ssh_public_key=public_key, max_failed_nodes="some"))

        assert "max_failed_nodes='some'" in run.message
        assert account.requests() == []


class TestWaiting:
    def test_a_booting_node_gets_the_user_when_it_is_there_and_the_others_at_once(self, account, public_key):
        account.idle_pool(2)
        booting = account.put_node("unknown")
        task = add(ssh_public_key=public_key, deferrable=True, **QUICK)

        deferred = run_task(task)
        asked = [path for path in account.requests() if path.endswith("/users")]
        assert deferred.state == "deferred"
        assert len(asked) == 1
        account.control.set_node("etl", booting, "idle")
        run = resume_task(task, deferred, news_of(deferred))

        assert set(outcomes(run).values()) == {"added"}
        assert len(run.result) == 2

    def test_a_worker_that_waits_itself_does_the_same(self, account, public_key):
        account.make_pool(dedicated=3)

        run = run_task(add(ssh_public_key=public_key, **QUICK))

        assert list(outcomes(run).values()) == ["added"] * 3

    def test_a_node_that_is_not_there_in_time_fails_and_the_others_have_the_user(self, account, public_key):
        account.idle_pool(2)
        late = account.put_node("unknown")

        run = run_task(add(ssh_public_key=public_key, timeout=0.05, **QUICK))

        assert isinstance(run.error, NodeUsersError)
        assert run.error.codes == {late: "NodeNotReady"}
        assert ledger_of(account)["etl"].expires_at is not None

    def test_a_retry_after_a_time_out_finishes_from_the_ledger(self, account, public_key):
        account.idle_pool(2)
        late = account.put_node("unknown")
        task = add(ssh_public_key=public_key, timeout=0.05, **QUICK)
        run_task(task)
        account.control.set_node("etl", late, "idle")

        run = run_task(task, try_number=2)

        assert sorted(outcomes(run).values()) == ["added", "updated"]
        assert outcomes(run)[late] == "added"

    def test_without_waiting_a_booting_node_is_a_failure_and_not_skipped_in_silence(
        self, account, public_key
    ):
        account.idle_pool(2)
        booting = account.put_node("unknown")

        run = run_task(add(ssh_public_key=public_key, wait_for_nodes=False))

        assert isinstance(run.error, NodeUsersError)
        assert run.error.failed == [booting]

    def test_the_expiry_stays_as_it_was_reckoned_when_the_task_began(self, account, public_key):
        account.idle_pool(2)
        booting = account.put_node("unknown")
        task = add(ssh_public_key=public_key, deferrable=True, **QUICK)
        deferred = run_task(task)
        before = ledger_of(account)["etl"]

        account.control.set_node("etl", booting, "idle")
        resume_task(task, deferred, news_of(deferred))

        assert ledger_of(account)["etl"] == before

    def test_no_password_lies_in_the_database_while_the_task_is_deferred(self, account):
        account.idle_pool(2)
        account.put_node("unknown")

        run = run_task(add(password=PASSWORD, deferrable=True, **QUICK))

        assert run.state == "deferred"
        assert PASSWORD not in run.everything_said


class TestUpdating:
    @pytest.mark.parametrize(
        ("first", "second", "lost"),
        [
            pytest.param("key", "password", "the key SHA256:", id="a key"),
            pytest.param("both", "key", "a password", id="a password"),
        ],
    )
    def test_an_update_that_would_lose_something_by_omission_is_refused(
        self, account, key, public_key, first, second, lost
    ):
        given = {"key": {"ssh_public_key": public_key}, "password": {"password": PASSWORD}}
        given["both"] = {**given["key"], **given["password"]}
        account.idle_pool(1, ssh=True)
        [record] = run_task(add(**given[first])).result

        run = run_task(add(**given[second]))

        assert lost in run.message
        assert "recreate=True" in run.message
        assert PASSWORD not in run.everything_said
        assert log_in(record, client_keys=[key]) is not None

    def test_an_update_says_that_it_leaves_the_right_to_use_sudo(self, account, public_key):
        account.idle_pool(1)
        run_task(add(ssh_public_key=public_key))

        run = run_task(add(ssh_public_key=public_key, is_admin=True))

        assert [record["outcome"] for record in run.result] == ["updated"]
        assert "its right to use sudo is unchanged" in run.result[0]["note"]
        assert "recreate=True" in run.log

    def test_the_ledger_goes_on_saying_that_the_user_has_sudo(self, account, public_key):
        account.idle_pool(1)
        run_task(add(ssh_public_key=public_key, is_admin=True))

        run_task(add(ssh_public_key=public_key))
        assert ledger_of(account)["etl"].is_admin
        run_task(add(ssh_public_key=public_key, recreate=True))
        assert not ledger_of(account)["etl"].is_admin

    def test_a_user_is_recreated_with_other_rights_only_when_that_is_asked_for(self, account, public_key):
        account.idle_pool(1)
        run_task(add(ssh_public_key=public_key))

        [record] = run_task(add(ssh_public_key=public_key, is_admin=True, recreate=True)).result

        assert record["outcome"] == "updated"
        assert "removed and added again" in record["note"]
        methods = [r.split()[0] for r in account.requests() if "/users" in r]
        assert methods == ["POST", "POST", "DELETE", "POST"]

    def test_the_day_that_the_service_looks_at_is_explained_once(self, account, public_key):
        account.idle_pool(2)
        account.put_node("unknown")
        task = add(ssh_public_key=public_key, deferrable=True, **QUICK)

        deferred = run_task(task)
        resumed = resume_task(task, deferred, run_trigger_late(deferred))

        assert (deferred.log + resumed.log).count("by the day only") == 1


def news_of(run: TaskRun) -> Any:
    assert run.deferral is not None
    return run_trigger(run.deferral)


def run_trigger_late(run: TaskRun) -> Any:
    assert run.deferral is not None
    run.deferral.trigger_kwargs["deadline"] = 1.0
    return news_of(run)


class TestReachability:
    def test_a_pool_without_ssh_access_is_reported_before_users_are_added(self, account, public_key):
        account.idle_pool(1)

        run = run_task(add(ssh_public_key=public_key))

        assert "maps no port to SSH" in run.log
        assert "ssh_from=[...]" in run.log

    def test_it_fails_before_anything_is_done_where_people_come_from_outside(self, account, public_key):
        account.idle_pool(1)

        run = run_task(add(ssh_public_key=public_key, address="public"))

        assert "maps no port to SSH" in run.message
        assert not [path for path in account.requests() if path.endswith("/users")]
        assert ledger_of(account) == {}

    def test_nothing_is_said_where_people_are_inside(self, account, public_key):
        account.idle_pool(1)

        run = run_task(add(ssh_public_key=public_key, address="private"))

        assert "maps no port" not in run.log
        assert run.result[0]["port"] == 22

    def test_the_private_address_is_given_also_where_there_is_a_public_one(self, account, public_key):
        account.idle_pool(1, ssh=True)

        [record] = run_task(add(ssh_public_key=public_key, address="private")).result

        assert (record["public"], record["port"]) == (False, 22)


class TestLedger:
    def test_the_ledger_names_the_user_the_holder_and_the_key_but_no_secret(self, account, public_key):
        account.idle_pool(1)

        run_task(add(ssh_public_key=public_key, password=PASSWORD))

        entry = ledger_of(account)["etl"]
        assert entry.by["dag_id"] == "harness"
        assert entry.key is not None
        assert entry.key.startswith("SHA256:")
        assert entry.has_password
        assert PASSWORD not in repr(entry)

    def test_removing_from_the_whole_pool_strikes_the_user_from_the_ledger(self, account, public_key):
        account.idle_pool(2)
        run_task(add(ssh_public_key=public_key))

        assert set(outcomes(run_task(remove())).values()) == {"removed"}
        assert ledger_of(account) == {}

    def test_a_node_that_is_deallocated_with_the_user_owes_its_removal(self, account, public_key):
        account.idle_pool(2)
        run_task(add(ssh_public_key=public_key))
        account.put_node("deallocated")

        assert sorted(outcomes(run_task(remove())).values()) == ["owed", "removed"]
        assert ledger_of(account)["etl"].is_revoked

    def test_removing_from_some_nodes_leaves_the_user_in_the_ledger(self, account, public_key):
        account.idle_pool(2)
        run_task(add(ssh_public_key=public_key))

        run_task(remove(node_ids=[account.nodes()[0].node_id]))

        assert "etl" in ledger_of(account)

    def test_a_node_that_refuses_to_let_go_keeps_the_user_in_the_ledger(self, account, public_key):
        account.idle_pool(2)
        run_task(add(ssh_public_key=public_key))
        account.control.inject("DELETE", "/users/", code="NodeStateUnusable", status=409)

        assert run_task(remove(max_failed_nodes=1)).state == "success"
        assert "etl" in ledger_of(account)

    def test_a_booting_node_is_waited_for_since_the_user_may_come_back_with_it(self, account, public_key):
        account.idle_pool(2)
        run_task(add(ssh_public_key=public_key))
        booting = account.put_node("unknown")
        task = remove(deferrable=True, **QUICK)

        deferred = run_task(task)
        assert "etl" in ledger_of(account)
        account.control.set_node("etl", booting, "idle")
        run = resume_task(task, deferred, news_of(deferred))

        assert set(outcomes(run).values()) == {"removed"}
        assert ledger_of(account) == {}

    @pytest.mark.parametrize("make", [add, remove])
    def test_the_user_of_another_dag_run_is_left_to_it_unless_it_is_taken_over(
        self, account, public_key, make
    ):
        account.idle_pool(1)
        hold(account, "etl", run_id="another")
        given = {"ssh_public_key": public_key} if make is add else {}

        refused = run_task(make(**given))
        taken = run_task(make(**given, take_over=True))

        assert isinstance(refused.error, BatchConflictError)
        assert "run_id 'another'" in refused.message
        assert taken.state == "success"

    def test_a_user_whose_time_is_over_is_free_for_all(self, account, public_key):
        account.idle_pool(1)
        hold(account, "etl", run_id="another", ends_in=timedelta(seconds=-1))

        assert run_task(add(ssh_public_key=public_key)).state == "success"


def hold(
    account: BatchAccount,
    username: str,
    *,
    run_id: str,
    ends_in: timedelta = timedelta(hours=1),
    take_over: bool = False,
) -> None:
    """Let another Dag run hold a user."""
    now = account.control.now()
    entry = LedgerEntry(username, now + ends_in, {"dag_id": "harness", "run_id": run_id})
    account.hook.run(lambda client: enter(client, "etl", entry, now=now, take_over=take_over))
