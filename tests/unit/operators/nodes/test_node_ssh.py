"""The operator that runs a command on many nodes, by what it did there and what it left behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from airflow_provider_batchlinux import hooks
from airflow_provider_batchlinux.client.transport import session
from airflow_provider_batchlinux.client.transport.account import AccountSettings
from airflow_provider_batchlinux.client.users.temporary import NAME_PREFIX
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.users.ledger import entries_in
from airflow_provider_batchlinux.exceptions import NodeCommandError
from airflow_provider_batchlinux.hooks._ssh_connection import NodeClient
from airflow_provider_batchlinux.operators.node_ssh import BatchLinuxRunOnNodesOperator
from tests.airflow_harness import TaskRun, run_task
from tests.batch_account import BatchAccount, eventually
from tests.unit.commands import Loop


def on_nodes(command: str, **options: Any) -> BatchLinuxRunOnNodesOperator:
    return BatchLinuxRunOnNodesOperator(
        **{"task_id": "look", "pool_id": "etl", "command": command, **options}
    )


def run(command: str, **options: Any) -> TaskRun:
    return run_task(on_nodes(command, **options))


def by_outcome(run: TaskRun) -> dict[str, str]:
    return {record["node_id"]: record["outcome"] for record in run.result["nodes"]}


def require_nothing_left(account: BatchAccount) -> None:
    body = account.hook.run(lambda client: client.find_pool_body("etl", ["id", "metadata"]))
    assert body is not None
    assert entries_in(metadata_of(body)) == {}
    calls = [request.split() for request in account.requests() if "/users" in request]
    added = {path for method, path in calls if method == "POST"}
    removed = {path.rpartition("/")[0] for method, path in calls if method == "DELETE"}
    assert added <= removed


@contextmanager
def killed_once_started(loop: Loop) -> Iterator[None]:
    """Send the signal that Airflow kills a worker with, once the command runs."""

    def kill() -> None:
        loop.wait_until_started()
        os.kill(os.getpid(), signal.SIGTERM)

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        yield
    finally:
        killing.join()


class TestRunning:
    def test_all_requests_of_a_run_share_one_session(self, account, monkeypatch):
        account.idle_pool(2, ssh=True)
        opened: list[AccountSettings] = []

        def open_session(settings: AccountSettings) -> ClientSession:
            opened.append(settings)
            return open_as_usual(settings)

        open_as_usual = session.open_session
        monkeypatch.setattr(session, "open_session", open_session)
        done = run("true")

        assert done.state == "success", done.error
        assert len(opened) == 1

    def test_every_node_gives_its_output(self, account):
        account.idle_pool(3, ssh=True)

        done = run("echo $AZ_BATCH_NODE_ID; echo $USER >&2")

        assert done.state == "success", done.error
        records = done.result["nodes"]
        assert {record["node_id"] for record in records} == {node.node_id for node in account.nodes()}
        assert all(record["stdout"].strip() == record["node_id"] for record in records)
        assert all(record["stderr"].startswith(NAME_PREFIX) for record in records)
        assert {(record["outcome"], record["exit_code"]) for record in records} == {("succeeded", 0)}
        require_nothing_left(account)

    def test_the_log_has_a_line_for_each_node(self, account):
        account.idle_pool(2, ssh=True)

        done = run("echo all is well")

        for node in account.nodes():
            [line] = [line for line in done.log.splitlines() if line.startswith(node.node_id)]
            assert line.split()[1:3] == ["succeeded", "0"]
            assert "all is well" in line

    def test_the_commands_run_at_once(self, account, tmp_path):
        account.idle_pool(3, ssh=True)
        come = f"touch {tmp_path}/$AZ_BATCH_NODE_ID"
        meet = f"until [ $(ls {tmp_path} | wc -l) = 3 ]; do sleep 0.02; done"

        done = run(f"{come}; {meet}", timeout=30)

        assert set(by_outcome(done).values()) == {"succeeded"}

    def test_only_the_chosen_nodes_run_it(self, account):
        account.idle_pool(3, ssh=True)
        chosen = account.nodes()[1].node_id

        done = run("true", node_ids=[chosen])

        assert by_outcome(done) == {chosen: "succeeded"}
        assert sum("/users" in request for request in account.requests()) == 2

    def test_quotes_and_the_shells_own_signs_arrive_as_they_are(self, account):
        account.idle_pool(1, ssh=True)

        done = run("""printf '%s|' "a  b" 'it'"'"'s' $((1 + 1)) "$(echo in)" \\\\ '{"k": 1}'""")

        [record] = done.result["nodes"]
        assert record["stdout"] == 'a  b|it\'s|2|in|\\|{"k": 1}|'

    def test_the_end_of_a_long_output_is_kept(self, account):
        account.idle_pool(1, ssh=True)

        done = run("seq 1 200000", output_limit=100)

        [record] = done.result["nodes"]
        assert record["stdout"].startswith("[")
        assert "bytes left out]" in record["stdout"]
        assert record["stdout"].endswith("199999\n200000\n")
        assert len(record["stdout"]) < 140

    def test_a_process_left_in_the_background_does_not_hold_the_task_up(self, account, loop: Loop):
        account.idle_pool(1, ssh=True)

        done = run(f"({loop.command}) >/dev/null 2>&1 & echo begun", timeout=30)

        assert [record["stdout"] for record in done.result["nodes"]] == ["begun\n"]


class TestFailing:
    def test_nodes_that_fail_are_named_and_the_others_run(self, account):
        account.idle_pool(3, ssh=True)
        odd = account.nodes()[1].node_id

        failed = run(f"[ $AZ_BATCH_NODE_ID != {odd} ] || {{ echo too odd >&2; exit 7; }}")

        assert isinstance(failed.error, NodeCommandError)
        assert failed.error.failed == [odd]
        assert failed.error.exit_codes == {odd: 7}
        assert f"node {odd!r}: exit code 7: too odd" in failed.message
        assert "1 failed, 2 succeeded" in failed.message
        assert [record["node_id"] for record in failed.xcoms["failed_nodes"]] == [odd]
        require_nothing_left(account)

    def test_as_many_nodes_may_fail_as_is_said(self, account):
        account.idle_pool(3, ssh=True)
        odd = account.nodes()[1].node_id

        done = run(f"[ $AZ_BATCH_NODE_ID != {odd} ]", max_failed_nodes="34%")

        assert done.state == "success", done.error
        assert by_outcome(done)[odd] == "failed"
        assert "max_failed_nodes='34%' allows that" in done.log

    def test_a_command_that_takes_too_long_is_ended(self, account, loop: Loop):
        account.idle_pool(1, ssh=True)

        failed = run(loop.command, timeout=1)

        assert "It was not over after 1 s, and was ended." in failed.message
        assert "1 timed_out" in failed.message
        eventually(lambda: not loop.runs())
        require_nothing_left(account)

    def test_a_node_that_does_not_take_the_user_fails_alone(self, account):
        account.idle_pool(2, ssh=True)
        names = [node.node_id for node in account.nodes()]
        broken = account.put_node("unusable")

        failed = run("true", node_ids=[*names, "tvm-9"])

        assert isinstance(failed.error, NodeCommandError)
        assert sorted(failed.error.failed) == sorted([broken, "tvm-9"])
        assert "1 succeeded" in failed.message
        assert "2 not_admitted" in failed.message

    def test_a_node_with_a_host_key_that_is_not_known_is_not_logged_in_to(self, account):
        account.idle_pool(1, ssh=True)

        failed = run("true", host_keys="refuse")

        assert "1 unreachable" in failed.message
        assert "is not among those that host_keys allows" in failed.message
        require_nothing_left(account)

    def test_a_pool_without_a_way_in_is_refused_before_users_are_added(self, account):
        account.idle_pool(1)

        failed = run("true", address="public")

        assert "ssh_from" in failed.message
        assert not any(r.startswith("POST") and "/users" in r for r in account.requests())

    def test_no_node_to_run_on_is_a_failure_that_says_what_there_is(self, account):
        account.idle_pool(1, ssh=True)
        account.put_node("unusable")

        failed = run("true")

        assert "no node that was chosen to run the command on, but 1 unusable" in failed.message

    def test_all_wrong_arguments_are_named_at_once(self):
        failed = run(
            " ",
            pool_id="a b",
            max_failed_nodes="many",
            address="home",
            output_limit=-1,
            max_concurrency=0,
            timeout=0,
        )

        for name in (
            "pool_id",
            "max_failed_nodes",
            "command",
            "address",
            "output_limit",
            "max_concurrency",
            "timeout",
        ):
            assert name in failed.message

    def test_a_user_that_is_not_taken_off_stays_in_the_ledger_and_is_warned_of(self, account):
        account.idle_pool(1, ssh=True)
        account.control.inject("DELETE", "/users/", status=409, code="NodeStateUnusable")

        done = run("true")

        assert done.state == "success", done.error
        assert "could not be removed from pool 'etl'" in done.log
        assert "The user stays in the ledger of pool 'etl'" in done.log

    def test_the_private_key_is_in_nothing_that_airflow_stores_or_shows(self, account):
        account.idle_pool(1, ssh=True)

        assert "PRIVATE KEY" not in run("exit 1").everything_said


class TestKill:
    def test_a_kill_ends_the_commands_and_takes_the_user_off(self, account, loop: Loop):
        account.idle_pool(1, ssh=True)

        with killed_once_started(loop):
            killed = run(loop.command, timeout=60)

        assert "1 stopped" in killed.message
        eventually(lambda: not loop.runs())
        require_nothing_left(account)

    def test_a_kill_ends_the_commands_though_their_sessions_are_slow_to_close(
        self, account, loop: Loop, monkeypatch: pytest.MonkeyPatch
    ):
        account.idle_pool(1, ssh=True)
        close = NodeClient.close

        def close_elsewhere(client: NodeClient) -> None:
            if threading.current_thread() is not threading.main_thread():
                close(client)

        monkeypatch.setattr(NodeClient, "close", close_elsewhere)

        with killed_once_started(loop):
            killed = run(loop.command, timeout=60)

        assert "1 stopped" in killed.message
        eventually(lambda: not loop.runs())

    def test_the_time_limit_of_airflow_ends_the_commands_and_takes_the_user_off(self, account, loop: Loop):
        account.idle_pool(1, ssh=True)

        begun = time.monotonic()

        late = run(loop.command, timeout=60, execution_timeout=timedelta(seconds=2))

        assert time.monotonic() - begun < 30
        assert "Timeout" in type(late.error).__name__
        eventually(lambda: not loop.runs())
        require_nothing_left(account)

    def test_a_kill_before_anything_was_done_does_nothing(self, account):
        on_nodes("true").on_kill()

        assert account.requests() == []


def test_without_the_extra_nothing_is_done(account, monkeypatch: pytest.MonkeyPatch):
    account.idle_pool(1, ssh=True)
    monkeypatch.delattr(hooks, "node_ssh", raising=False)
    monkeypatch.delitem(sys.modules, "airflow_provider_batchlinux.hooks.node_ssh", raising=False)
    monkeypatch.setitem(sys.modules, "airflow.providers.ssh.hooks.ssh", None)

    failed = run("true")

    assert "pip install 'airflow-provider-batchlinux[ssh]'" in failed.message
    assert not any("/users" in request for request in account.requests())
