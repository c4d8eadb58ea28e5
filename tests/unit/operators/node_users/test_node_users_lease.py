"""The operator that leases a user, from the Dag's side: its arguments, its ways to end, what it tells."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_batchlinux.exceptions import BatchConflictError, NodeUsersError
from airflow_provider_batchlinux.operators.node_users import (
    BatchLinuxAddNodeUsersOperator,
    BatchLinuxRemoveNodeUsersOperator,
)
from tests.airflow_harness import (
    RUN_ID,
    ExecutionApi,
    TaskRun,
    make_trigger,
    resume_task,
    run_task,
    run_to_end,
    run_trigger,
)
from tests.batch_account import BatchAccount
from tests.unit.leases import inside, lease, ledger

PASSWORD = "correct horse battery staple"
SECOND = timedelta(seconds=1)


class TestBeginning:
    def test_the_user_is_on_the_nodes_before_the_task_leaves_the_worker(self, account, key, public_key):
        account.idle_pool(2, ssh=True)

        run = run_task(lease(public_key))

        assert run.state == "deferred"
        assert inside(account, client_keys=[key]) == 2

    def test_the_ledger_tells_who_until_when_and_by_which_key(self, account, key, public_key):
        account.idle_pool(1)
        before = datetime.now(timezone.utc)

        run_task(lease(public_key, is_admin=True))

        [entry] = ledger(account).values()
        assert entry["by"] == {
            "dag_id": "harness",
            "run_id": RUN_ID,
            "task_id": "lease",
            "map_index": "-1",
            "installation": "tests",
        }
        assert entry["key"] == key.get_fingerprint()
        assert entry["admin"] is True
        assert datetime.fromisoformat(entry["until"].replace("Z", "+00:00")) - before >= timedelta(hours=1)

    def test_airflow_gives_up_half_an_hour_after_the_last_node_may_owe_the_removal(self, account, public_key):
        account.idle_pool(1)

        deferral = run_task(lease(public_key, owed_limit=timedelta(hours=2))).deferral

        assert deferral is not None
        assert deferral.timeout is not None
        assert timedelta(hours=3, minutes=29) < deferral.timeout <= timedelta(hours=3, minutes=30)

    def test_the_password_comes_from_a_connection_and_is_told_nowhere(self, account, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_ANN", json.dumps({"conn_type": "generic", "password": PASSWORD}))
        account.idle_pool(1, ssh=True)

        run = run_task(lease(password_conn_id="ann"))

        assert inside(account, password=PASSWORD) == 1
        assert inside(account, password="guess") == 0
        assert PASSWORD not in run.everything_said

    def test_a_node_that_comes_later_gets_the_password_by_the_trigger(self, account, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_ANN", json.dumps({"conn_type": "generic", "password": PASSWORD}))
        account.make_pool(ssh=True)
        run = run_task(lease(password_conn_id="ann"))
        account.hook.run(lambda client: client.resize_pool("etl", {"targetDedicatedNodes": 1}))
        account.wait_for_nodes({"idle": 1})

        end_by_event(account, run, lambda: inside(account, password=PASSWORD) == 1)

    def test_a_pool_without_a_way_in_is_warned_of_with_the_remedy(self, account, public_key):
        account.idle_pool(1)

        assert "ssh_from=" in run_task(lease(public_key)).log
        assert "ssh_from=" not in run_task(lease(public_key, address="private")).log

    def test_a_pool_without_a_way_in_is_refused_where_one_is_wanted(self, account, public_key):
        account.idle_pool(1)

        run = run_task(lease(public_key, address="public"))

        assert isinstance(run.error, NodeUsersError)
        assert ledger(account) == {}


def end_by_event(account: BatchAccount, run: TaskRun, holds: Callable[[], bool]) -> None:
    """Run the lease's trigger until something holds, then let it go on without a word."""
    assert run.deferral is not None
    trigger = make_trigger(run.deferral)

    async def scenario() -> None:
        running = asyncio.ensure_future(anext(trigger.run()))
        while not await asyncio.to_thread(holds):
            assert not running.done(), running.result()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(scenario())


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            pytest.param({"username": "ann!"}, "username='ann!'", id="name"),
            pytest.param({"expires_in": None, "expires_at": "2030-01-01T00:00:00"}, "time zone", id="naive"),
            pytest.param(
                {"expires_in": None, "expires_at": "2020-01-01T00:00:00Z"}, "not after now", id="past"
            ),
            pytest.param({"expires_in": None}, "exactly one of expires_in", id="no end"),
            pytest.param({"until_task_ids": ["wrk"]}, "'wrk', which is not a task", id="no such task"),
            pytest.param({"until_task_ids": ["after"]}, "'after', which itself waits", id="downstream task"),
            pytest.param({"until_task_ids": ["lease"]}, "'lease', which itself waits", id="itself"),
            pytest.param({"ssh_public_key": None}, "a login is impossible", id="neither key nor password"),
            pytest.param(
                {"password_conn_id": "none"}, "password_conn_id='none' cannot be read", id="no conn"
            ),
        ],
    )
    def test_wrong_arguments_are_named_before_anything_is_done(self, account, public_key, options, message):
        account.idle_pool(1)

        run = run_task(lease(**{"public_key": public_key, **options}))

        assert isinstance(run.error, ValueError)
        assert message in run.message
        assert ledger(account) == {}

    def test_a_private_key_is_refused_and_told_nowhere(self, account, key):
        private = key.export_private_key().decode()
        account.idle_pool(1)

        with pytest.raises(ValueError, match="holds a private key"):
            lease(private)
        template = lease("{{ dag.doc_md }}")
        template.dag.doc_md = private
        run = run_task(template)

        assert "holds a private key" in run.message
        assert private.splitlines()[1] not in run.everything_said

    def test_the_user_of_another_dag_run_is_refused_unless_taken_over(self, account, public_key):
        account.idle_pool(1)
        other = lease(public_key)
        other.dag.dag_id = "other"
        run_task(other)

        run = run_task(lease(public_key))
        assert isinstance(run.error, BatchConflictError)
        assert "held by dag_id 'other'" in run.message

        assert run_task(lease(public_key, take_over=True)).state == "deferred"

    def test_the_password_of_a_user_of_the_same_run_is_not_lost(self, account, public_key):
        account.idle_pool(1)
        add = BatchLinuxAddNodeUsersOperator(
            task_id="add",
            pool_id="etl",
            username="ann",
            password=PASSWORD,
            expires_in=3600,
            address="private",
        )
        run_task(add)

        run = run_task(lease(public_key))

        assert isinstance(run.error, NodeUsersError)
        assert "a password, which the lease would take away" in run.message


class TestEnding:
    def test_at_its_time_the_user_is_gone_from_nodes_and_ledger(self, account, key, public_key):
        account.idle_pool(2, ssh=True)

        run = run_to_end(lease(public_key, expires_in=SECOND))

        assert run.state == "success"
        assert run.result["ended"] == "expired"
        assert inside(account, client_keys=[key]) == 0
        assert ledger(account) == {}

    def test_on_a_worker_it_does_the_same(self, account, key, public_key):
        account.idle_pool(1, ssh=True)

        run = run_task(lease(public_key, expires_in=SECOND, deferrable=False))

        assert run.result["ended"] == "expired"
        assert inside(account, client_keys=[key]) == 0

    def test_it_ends_when_the_tasks_that_need_it_are_over(self, account, key, public_key, tasks_are):
        account.idle_pool(1, ssh=True)
        operator = lease(public_key, until_task_ids=["work"])
        tasks_are(work="up_for_retry", after=None)
        run = run_task(operator)
        assert inside(account, client_keys=[key]) == 1

        tasks_are(work="failed", after=None)
        assert run.deferral is not None
        run = resume_task(operator, run, run_trigger(run.deferral))

        assert run.result["ended"] == "tasks over"
        assert inside(account, client_keys=[key]) == 0

    def test_on_a_worker_it_asks_airflow_for_the_tasks(self, account, public_key):
        account.idle_pool(1)
        api = ExecutionApi(task_states={"work": "success"})

        run = run_task(lease(public_key, until_task_ids=["work"], deferrable=False), api=api)

        assert run.result["ended"] == "tasks over"

    def test_an_airflow_that_does_not_answer_does_not_end_it(self, account, public_key, monkeypatch):
        def get_task_states(**_asked: Any) -> None:
            msg = "no API server today"
            raise RuntimeError(msg)

        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(get_task_states))
        account.idle_pool(1)

        run = run_task(lease(public_key, until_task_ids=["work"]))

        assert run.state == "deferred"
        assert "no API server today" in run.log

    def test_removing_the_user_in_the_same_dag_run_ends_it(self, account, key, public_key):
        account.idle_pool(1, ssh=True)
        operator = lease(public_key)
        run = run_task(operator)

        remove = BatchLinuxRemoveNodeUsersOperator(task_id="remove", pool_id="etl", username="ann")
        assert run_task(remove).state == "success"
        assert run.deferral is not None
        run = resume_task(operator, run, run_trigger(run.deferral))

        assert run.result["ended"] == "revoked"
        assert inside(account, client_keys=[key]) == 0

    def test_a_pool_that_is_deleted_ends_it_with_success(self, account, public_key):
        account.idle_pool(1)
        operator = lease(public_key)
        run = run_task(operator)
        account.delete_pool()

        assert run.deferral is not None
        run = resume_task(operator, run, run_trigger(run.deferral))

        assert run.state == "success"
        assert run.result["ended"] == "pool gone"

    def test_an_error_without_a_retry_takes_the_user_away(self, account, key, public_key):
        account.idle_pool(1, ssh=True)
        operator = lease(public_key)
        run = run_task(operator)
        account.control.inject("GET", "/pools/etl", status=403, code="AuthorizationFailure", times=1)

        assert run.deferral is not None
        run = resume_task(operator, run, run_trigger(run.deferral))

        assert run.state == "failed"
        assert inside(account, client_keys=[key]) == 0
        assert ledger(account) == {}
