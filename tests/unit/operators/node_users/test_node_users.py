"""The operators that put a user on every node and take it away, by what the nodes then let in."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import asyncssh
import pendulum
import pytest

from airflow_provider_batchlinux.exceptions import BatchAuthenticationError, NodeUsersError
from airflow_provider_batchlinux.operators.node_users import (
    BatchLinuxAddNodeUsersOperator,
    BatchLinuxRemoveNodeUsersOperator,
)
from tests.airflow_harness import run_task
from tests.batch_account import eventually
from tests.delays import NODES_IDLE

PASSWORD = "correct horse battery staple"


def add(**options: Any) -> BatchLinuxAddNodeUsersOperator:
    defaults = {"task_id": "add", "pool_id": "etl", "username": "etl", "expires_in": timedelta(hours=1)}
    if "expires_at" in options:
        del defaults["expires_in"]
    return BatchLinuxAddNodeUsersOperator(**{**defaults, **options})


def remove(**options: Any) -> BatchLinuxRemoveNodeUsersOperator:
    defaults = {"task_id": "remove", "pool_id": "etl", "username": "etl"}
    return BatchLinuxRemoveNodeUsersOperator(**{**defaults, **options})


def log_in(record: dict[str, Any], command: str = "id -un", **credentials: Any) -> str | None:
    """Run a command on a node; ``None`` when the node does not let the user in."""

    async def session() -> str | None:
        options = {"username": record["username"], "known_hosts": None, "config": None, "client_keys": None}
        try:
            async with asyncssh.connect(
                record["address"], record["port"], **{**options, **credentials}
            ) as node:
                return str((await node.run(command)).stdout).strip()
        except asyncssh.PermissionDenied:
            return None

    return asyncio.run(session())


class TestAdding:
    def test_a_name_with_capital_letters_is_added_with_a_warning(self, account, public_key):
        account.idle_pool(1, ssh=True)

        run = run_task(add(username="JSSDKTestUser", ssh_public_key=public_key))

        assert [record["outcome"] for record in run.result] == ["added"]
        assert "username='JSSDKTestUser' has capital letters or dots" in run.log

    def test_every_node_gets_a_record_without_key_and_password(self, account, public_key):
        account.idle_pool(3, ssh=True)

        records = run_task(add(ssh_public_key=public_key, password=PASSWORD)).result

        names = {
            "node_id",
            "state",
            "outcome",
            "username",
            "address",
            "port",
            "public",
            "error",
            "code",
            "note",
            "ssh_command",
        }
        assert {record["node_id"] for record in records} == {node.node_id for node in account.nodes()}
        assert all(set(record) == names for record in records)
        assert {(record["state"], record["outcome"], record["error"]) for record in records} == {
            ("idle", "added", None)
        }
        assert all(r["ssh_command"] == f"ssh -p {r['port']} etl@{r['address']}" for r in records)

    def test_the_records_stand_as_a_table_in_the_log(self, account, public_key):
        account.idle_pool(2, ssh=True)

        run = run_task(add(ssh_public_key=public_key))

        assert "User 'etl' on pool 'etl' until 20" in run.log
        for record in run.result:
            [line] = [line for line in run.log.splitlines() if line.startswith(record["node_id"])]
            assert line.split()[1:3] == ["idle", "added"]
            assert record["ssh_command"] in line

    def test_the_key_logs_in_and_another_does_not(self, account, key, public_key):
        account.idle_pool(1, ssh=True)
        [record] = run_task(add(ssh_public_key=public_key)).result

        stranger = asyncssh.generate_private_key("ssh-ed25519")
        assert log_in(record, client_keys=[key]) is not None
        assert log_in(record, client_keys=[stranger]) is None

    def test_the_password_logs_in_and_another_does_not(self, account):
        account.idle_pool(1, ssh=True)
        [record] = run_task(add(password=PASSWORD)).result

        assert log_in(record, password=PASSWORD) is not None
        assert log_in(record, password="guess") is None

    def test_a_user_that_exists_is_updated_and_its_old_key_is_gone(self, account, key, public_key):
        account.idle_pool(1, ssh=True)
        run_task(add(ssh_public_key=public_key))

        [record] = run_task(add(password=PASSWORD, recreate=True)).result

        assert record["outcome"] == "updated"
        assert log_in(record, password=PASSWORD) is not None
        assert log_in(record, client_keys=[key]) is None

    def test_without_ssh_the_record_leads_to_the_private_address(self, account, public_key):
        account.idle_pool(1)

        [record] = run_task(add(ssh_public_key=public_key)).result

        assert record["outcome"] == "added"
        assert record["public"] is False
        assert record["port"] == 22

    def test_fields_are_templated(self, account, public_key):
        account.idle_pool(1, ssh=True)
        fields = {
            "username": "{{ 'etl' }}2",
            "pool_id": "{{ 'etl' }}",
            "expires_at": "{{ '2999-01-01T00:00:00Z' }}",
        }

        [record] = run_task(add(**fields, ssh_public_key=public_key)).result

        assert record["username"] == "etl2"

    def test_a_slow_node_holds_up_no_other(self, account, public_key):
        account.idle_pool(5)
        account.control.inject("POST", "/users$", delay=0.5)

        run = run_task(add(ssh_public_key=public_key))

        # Requests are recorded when they are answered; one after the other they come in the nodes' order.
        answered = [request["path"] for request in account.control.requests() if "/users" in request["path"]]
        in_order = [f"/pools/etl/nodes/{record['node_id']}/users" for record in run.result]
        assert answered != in_order
        assert sorted(answered) == sorted(in_order)


class TestExpiry:
    @pytest.mark.parametrize(
        "expiry",
        [
            pytest.param({"expires_in": pendulum.duration(hours=2)}, id="pendulum duration"),
            pytest.param({"expires_in": timedelta(hours=2)}, id="timedelta"),
            pytest.param({"expires_in": 7200}, id="seconds"),
            pytest.param(
                {"expires_at": pendulum.datetime(2999, 1, 1, tz="Europe/Rome")}, id="pendulum instant"
            ),
            pytest.param({"expires_at": datetime(2999, 1, 1, tzinfo=timezone.utc)}, id="standard instant"),
            pytest.param({"expires_at": "2999-01-01T00:00:00Z"}, id="text"),
        ],
    )
    def test_an_expiry_is_a_span_or_an_instant(self, account, public_key, expiry):
        account.idle_pool(1)

        run = run_task(add(ssh_public_key=public_key, **expiry))

        assert run.result[0]["outcome"] == "added"

    def test_the_user_is_let_in_until_then_and_not_after(self, slow_account, key, public_key):
        slow_account.make_pool(dedicated=1, ssh=True)
        slow_account.control.advance(NODES_IDLE)
        eventually(lambda: slow_account.hook.node_counts("etl") == {"idle": 1})
        until = slow_account.control.now() + timedelta(minutes=10)
        [record] = run_task(add(ssh_public_key=public_key, expires_at=until)).result

        slow_account.control.advance(500)
        assert log_in(record, client_keys=[key]) is not None
        slow_account.control.advance(100)
        assert log_in(record, client_keys=[key]) is None

    @pytest.mark.parametrize(
        ("expiry", "reason"),
        [
            pytest.param({"expires_at": datetime(2999, 1, 1)}, "with a time zone", id="naive instant"),
            pytest.param({"expires_at": "2999-01-01T00:00:00"}, "with a time zone", id="naive text"),
            pytest.param({"expires_at": "2020-01-01T00:00:00Z"}, "is not after now", id="past"),
            pytest.param({"expires_in": timedelta(0)}, "above zero", id="no time"),
            pytest.param({"expires_in": None}, "exactly one of", id="neither"),
            pytest.param(
                {"expires_in": 60, "expires_at": "2999-01-01T00:00:00Z"}, "exactly one of", id="both"
            ),
        ],
    )
    def test_any_other_expiry_is_refused_before_any_request(self, account, public_key, expiry, reason):
        run = run_task(add(ssh_public_key=public_key, **expiry))

        assert isinstance(run.error, ValueError)
        assert reason in run.message
        assert account.requests() == []


class TestPartialFailure:
    def test_the_nodes_that_refuse_are_named_and_the_others_have_the_user(self, account, key, public_key):
        account.idle_pool(3, ssh=True)
        broken = account.put_node("unusable")

        run = run_task(add(ssh_public_key=public_key))

        assert isinstance(run.error, NodeUsersError)
        assert run.error.failed == [broken]
        assert run.message.startswith("User 'etl' could not be added to 1 of 3 nodes of pool 'etl'")
        servers = [node.ssh for node in account.nodes() if node.state == "idle"]
        records = [{"username": "etl", "address": server.address, "port": server.port} for server in servers]
        assert [log_in(record, client_keys=[key]) is not None for record in records] == [True, True]

    def test_every_failed_node_is_named_with_its_cause(self, account, public_key):
        account.idle_pool(3)
        account.control.inject("POST", "/users$", times=2, status=400, code="InvalidPropertyValue")

        run = run_task(add(ssh_public_key=public_key))

        assert isinstance(run.error, NodeUsersError)
        assert len(run.error.failed) == 2
        causes = [line for line in run.shown.splitlines() if line.startswith("  node ")]
        assert sorted(line.split("'")[1] for line in causes) == sorted(run.error.failed)

    def test_a_caller_without_the_right_is_told_so_instead_of_for_each_node(self, account, public_key):
        account.idle_pool(2)
        account.control.inject("POST", "/users$", times=None, status=403, code="Forbidden")

        run = run_task(add(ssh_public_key=public_key))

        assert isinstance(run.error, BatchAuthenticationError)
        assert "Azure Batch Data Contributor" in run.message

    @pytest.mark.usefixtures("account")
    def test_a_pool_that_does_not_exist_fails_in_words(self, public_key):
        run = run_task(add(pool_id="nowhere", ssh_public_key=public_key))

        assert run.message.startswith("Could not list nodes of pool 'nowhere'")
        assert "PoolNotFound" in run.message


class TestRemoving:
    def test_the_user_is_taken_off_every_node_and_refused_from_then_on(self, account, key, public_key):
        account.idle_pool(2, ssh=True)
        added = run_task(add(ssh_public_key=public_key)).result

        removed = run_task(remove()).result

        assert {record["outcome"] for record in removed} == {"removed"}
        assert [log_in(record, client_keys=[key]) for record in added] == [None, None]

    def test_nodes_without_the_user_are_fine(self, account):
        account.idle_pool(2)

        assert {record["outcome"] for record in run_task(remove()).result} == {"absent"}

    @pytest.mark.usefixtures("account")
    @pytest.mark.parametrize("selection", [{}, {"node_ids": ["tvm-1"]}, {"states": ["idle"]}])
    def test_a_pool_that_is_gone_is_fine(self, selection):
        run = run_task(remove(**selection))

        assert [record["outcome"] for record in run.result] == ["gone"] * len(selection.get("node_ids", ()))
        assert "Pool 'etl' does not exist any more" in run.log

    @pytest.mark.parametrize("selection", [{}, {"states": ["idle"]}])
    def test_a_node_that_is_removed_in_the_meantime_is_fine(self, account, selection):
        account.idle_pool(1)
        account.control.inject("DELETE", "/users/", code="NodeNotFound", status=404)

        assert [record["outcome"] for record in run_task(remove(**selection)).result] == ["gone"]

    @pytest.mark.parametrize(
        "selection", [{"states": ["unusable"]}, {"node_ids": ["nosuch"]}, {"states": []}]
    )
    def test_a_selection_that_no_node_matches_fails_unless_that_is_allowed(self, account, selection):
        account.idle_pool(2)

        run = run_task(remove(**selection))

        assert "user 'etl' was removed from no node. allow_empty=True lets that succeed." in run.message
        assert run_task(remove(**selection, allow_empty=True)).state == "success"

    def test_a_node_that_refuses_is_named(self, account):
        account.idle_pool(2)
        account.control.inject("DELETE", "/users/", code="NodeStateUnusable", status=409)

        run = run_task(remove())

        assert isinstance(run.error, NodeUsersError)
        assert "could not be removed from 1 of 2 nodes of pool 'etl'" in run.message
        assert len(run.error.failed) == 1

    def test_an_illegal_name_is_refused_before_any_request(self, account):
        run = run_task(remove(username="Robert; drop"))

        assert "is not a Linux user name" in run.message
        assert account.requests() == []
