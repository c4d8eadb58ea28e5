"""Airflow's own SSH and SFTP operators on a node of the embedded service, by hooks that make their user."""

from __future__ import annotations

import base64
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import asyncssh
import paramiko
import pytest
from airflow.providers.sftp.hooks.sftp import SFTPHook
from airflow.providers.sftp.operators.sftp import SFTPOperator
from airflow.providers.ssh.operators.ssh import SSHOperator

from airflow_provider_batchlinux.client.users.temporary import NAME_PREFIX
from airflow_provider_batchlinux.core.nodes.ssh_commands import CommandOutcome
from airflow_provider_batchlinux.core.pool_metadata import metadata_of
from airflow_provider_batchlinux.core.users.ledger import entries_in
from airflow_provider_batchlinux.core.users.user import NodeUser
from airflow_provider_batchlinux.exceptions import BatchLinuxError, BatchUnreachableError
from airflow_provider_batchlinux.hooks._node_commands import NodeAddress, NodeCommands
from airflow_provider_batchlinux.hooks._ssh_connection import (
    ACCEPT_NEW,
    HostKeys,
    Login,
    NodeClient,
    private_key,
)
from airflow_provider_batchlinux.hooks.node_sftp import BatchLinuxNodeSFTPHook
from airflow_provider_batchlinux.hooks.node_ssh import BatchLinuxNodeSSHHook
from tests.airflow_harness import TaskRun, run_task
from tests.batch_account import BatchAccount, eventually
from tests.conftest import INSTALLATION
from tests.unit.commands import Loop
from tests.warm_python import warm_python


def ssh(command: str, *, pool_id: str = "etl", **options: Any) -> TaskRun:
    hook = BatchLinuxNodeSSHHook(pool_id, **options)
    return run_task(SSHOperator(task_id="look", ssh_hook=hook, command=command))


def output(run: TaskRun) -> str:
    assert run.state == "success", run.error
    return base64.b64decode(run.result).decode()


def ledger(account: BatchAccount) -> dict[str, Any]:
    body = account.hook.run(lambda client: client.find_pool_body("etl", ["id", "metadata"]))
    assert body is not None
    return dict(entries_in(metadata_of(body)))


def users_calls(account: BatchAccount) -> list[str]:
    return [request.split()[0] for request in account.requests() if "/users" in request]


class TestAirflowsOperators:
    def test_a_command_runs_on_a_node_as_a_user_of_its_own(self, account):
        account.idle_pool(2, ssh=True)

        said = output(ssh("echo $USER on $AZ_BATCH_NODE_ID"))

        user, _, node_id = said.split()
        assert user.startswith(NAME_PREFIX)
        assert node_id in {node.node_id for node in account.nodes()}

    def test_the_user_is_gone_when_the_task_is_over(self, account):
        account.idle_pool(2, ssh=True)

        output(ssh("true"))

        assert users_calls(account) == ["POST", "DELETE"]
        assert ledger(account) == {}

    def test_the_user_is_gone_when_the_command_failed(self, account):
        account.idle_pool(1, ssh=True)

        run = ssh("exit 3")

        assert "exit status = 3" in run.message
        assert users_calls(account) == ["POST", "DELETE"]
        assert ledger(account) == {}

    def test_the_pool_and_the_node_are_rendered_when_the_task_runs(self, account):
        account.idle_pool(3, ssh=True)
        node_id = account.nodes()[2].node_id

        said = output(ssh("echo $AZ_BATCH_NODE_ID", pool_id="{{ 'e' }}tl", node_id=f"{{{{ '{node_id}' }}}}"))

        assert said.strip() == node_id

    def test_files_go_to_a_node_and_come_back(self, account, tmp_path: Path):
        account.idle_pool(1, ssh=True)
        node_id = account.nodes()[0].node_id
        folder = output(ssh("echo $AZ_BATCH_NODE_SHARED_DIR")).strip()
        (tmp_path / "there.txt").write_text("from the worker")

        def carry(operation: str, name: str) -> TaskRun:
            return run_task(
                SFTPOperator(
                    task_id=operation,
                    sftp_hook=BatchLinuxNodeSFTPHook("etl", node_id),
                    local_filepath=str(tmp_path / name),
                    remote_filepath=f"{folder}/carried.txt",
                    operation=operation,
                )
            )

        for operation, name in (("put", "there.txt"), ("get", "back.txt")):
            run = carry(operation, name)
            assert run.state == "success", run.error

        assert (tmp_path / "back.txt").read_text() == "from the worker"
        assert users_calls(account).count("POST") == users_calls(account).count("DELETE") >= 3
        assert ledger(account) == {}

    @pytest.mark.skipif(not hasattr(SFTPHook, "_build_worker_hook"), reason="Airflow's provider is too old")
    def test_a_folder_goes_to_a_node_on_several_channels(self, account, tmp_path: Path):
        account.idle_pool(2, ssh=True)
        folder = tmp_path / "folder"
        folder.mkdir()
        for number in range(4):
            (folder / f"{number}.txt").write_text(str(number))
        node_id = account.nodes()[1].node_id
        shared = output(ssh("echo $AZ_BATCH_NODE_SHARED_DIR", node_id=node_id)).strip()

        run = run_task(
            SFTPOperator(
                task_id="put",
                sftp_hook=BatchLinuxNodeSFTPHook("etl", node_id),
                local_filepath=str(folder),
                remote_filepath=f"{shared}/folder",
                concurrency=2,
            )
        )

        assert run.state == "success", run.error
        said = output(ssh(f"cat {shared}/folder/*", node_id=node_id))
        assert said == "0123"
        assert run.log.count("Authentication (publickey) successful!") == 1
        assert users_calls(account) == ["POST", "DELETE"] * 3
        assert ledger(account) == {}

    def test_the_private_key_is_in_nothing_that_airflow_stores_or_shows(self, account):
        account.idle_pool(1, ssh=True)

        run = ssh("exit 1")

        assert "PRIVATE KEY" not in run.everything_said


class TestLogin:
    def test_a_second_connection_is_the_first_while_that_is_open(self, account):
        account.idle_pool(1, ssh=True)
        hook = BatchLinuxNodeSSHHook("etl")

        with hook.get_conn() as first:
            assert hook.get_conn() is first
        with hook.get_conn() as second:
            assert second is not first
        assert users_calls(account) == ["POST", "DELETE"] * 2

    def test_a_second_connection_leads_to_the_node_of_the_first(self, account):
        account.idle_pool(2, ssh=True)
        hook = BatchLinuxNodeSSHHook("etl")
        with hook.get_conn():
            first = hook.port
        [there] = [node for node in account.nodes() if node.ssh.port == first]
        account.control.set_node("etl", there.node_id, "running")

        with hook.get_conn():
            assert hook.port == first

    def test_the_ledger_has_the_user_while_the_connection_lasts(self, account):
        account.idle_pool(1, ssh=True)
        hook = BatchLinuxNodeSSHHook("etl")

        with hook.get_conn():
            [entry] = ledger(account).values()

        assert entry.username == hook.username
        assert entry.key is not None
        assert "person" in entry.by

    def test_closing_the_client_in_a_kill_takes_the_user_off(self, account):
        account.idle_pool(1, ssh=True)
        operator = SSHOperator(task_id="look", ssh_hook=BatchLinuxNodeSSHHook("etl"), command="true")
        operator.get_ssh_client()

        operator.on_kill()

        assert ledger(account) == {}

    def test_a_user_that_cannot_be_added_leaves_nothing_behind(self, account):
        account.idle_pool(1, ssh=True)
        account.put_node("unusable")

        with pytest.raises(BatchLinuxError, match="no idle or running node"):
            BatchLinuxNodeSSHHook("etl").get_conn()

        assert ledger(account) == {}

    def test_what_an_earlier_try_left_is_taken_off(self, account):
        account.idle_pool(1, ssh=True)

        def abandoned(try_number: int) -> TaskRun:
            operator = SSHOperator(task_id="look", ssh_hook=_Dying("etl"), command="true")
            return run_task(operator, try_number=try_number)

        abandoned(1)
        [left] = ledger(account)
        # By this the sweeper of this Airflow knows that the user is its own.
        assert ledger(account)[left].by["installation"] == INSTALLATION
        abandoned(2)

        assert len(ledger(account)) == 1
        assert left not in ledger(account)

    def test_a_pool_without_a_way_in_is_refused_before_a_user_is_made(self, account):
        account.idle_pool(1)

        with pytest.raises(BatchLinuxError, match=r"names no public address.*ssh_from"):
            BatchLinuxNodeSSHHook("etl", address="public").get_conn()

        assert users_calls(account) == []

    def test_an_address_that_does_not_answer_is_refused_before_a_user_is_made(self, account):
        account.idle_pool(1, ssh=True)
        node_id = account.nodes()[0].node_id
        account.hook.run(lambda client: client.deallocate_node("etl", node_id))
        account.wait_for_nodes({"deallocated": 1})

        with pytest.raises(BatchUnreachableError, match=r"Nothing answers at 127\.0\.0\.1:"):
            BatchLinuxNodeSSHHook("etl", node_id, answer_timeout=5).get_conn()

        assert users_calls(account) == []

    def test_the_workers_own_ssh_configuration_is_not_meant_for_nodes(
        self, account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        account.idle_pool(1, ssh=True)
        (tmp_path / ".ssh").mkdir()
        (tmp_path / ".ssh" / "config").write_text("Host *\n  ProxyCommand false\n  IdentityFile /nowhere\n")
        monkeypatch.setenv("HOME", str(tmp_path))

        assert output(ssh("echo in")) == "in\n"

    def test_who_logs_in_is_not_for_others_to_say(self):
        with pytest.raises(ValueError, match="password, username cannot be given"):
            BatchLinuxNodeSSHHook("etl", username="root", password="x")

    def test_a_node_that_does_not_know_the_user_yet_is_tried_again(self, account, key, public_key):
        account.idle_pool(1, ssh=True)
        [node] = account.nodes()
        pauses: list[float] = []

        def add_user(seconds: float) -> None:
            pauses.append(seconds)
            body = NodeUser(
                "late", datetime.now(timezone.utc) + timedelta(hours=1), ssh_public_key=public_key
            )
            account.hook.run(lambda c: c.create_node_user("etl", node.node_id, body.to_create_rest()))

        text = key.export_private_key("openssh").decode()
        login = Login("late", HostKeys(ACCEPT_NEW), private_key(text), pauses=(0.5,), sleep=add_user)
        with NodeClient() as client:
            login.open(client, node.ssh.address, node.ssh.port)

        assert pauses == [0.5]

    def test_a_node_that_does_not_answer_fails_alone(self, account, key, public_key):
        commands, nodes = commands_for(account, key, public_key, "echo $USER")
        with socket.create_server(("127.0.0.1", 0)) as server:
            unused = server.getsockname()[1]

        lost, done = commands.run([NodeAddress("a", "127.0.0.1", unused), *nodes], max_concurrency=1)

        assert lost.outcome is CommandOutcome.UNREACHABLE
        assert f"127.0.0.1:{unused}" in str(lost.error)
        assert (done.outcome, done.stdout) == (CommandOutcome.SUCCEEDED, "etl\n")

    def test_commands_that_are_stopped_end_on_their_nodes(self, account, key, public_key, loop: Loop):
        commands, nodes = commands_for(account, key, public_key, loop.command)

        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(commands.run, nodes, max_concurrency=1)
            loop.wait_until_started()
            commands.stop()
            [record] = running.result()

        assert record.outcome is CommandOutcome.STOPPED
        eventually(lambda: not loop.runs())
        assert users_calls(account) == ["POST"]


class TestHostKeys:
    def test_a_key_that_is_not_known_is_refused_and_the_user_taken_off(self, account):
        account.idle_pool(1, ssh=True)

        with pytest.raises(paramiko.SSHException, match="is not among those that host_keys allows"):
            BatchLinuxNodeSSHHook("etl", host_keys="refuse").get_conn()

        assert ledger(account) == {}

    def test_another_key_than_the_known_one_is_refused(self, account):
        account.idle_pool(1, ssh=True)
        stranger = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()

        with pytest.raises(paramiko.BadHostKeyException):
            BatchLinuxNodeSSHHook("etl", host_keys=f"{known_as(account)} {stranger}").get_conn()

    def test_the_known_key_is_taken(self, account):
        account.idle_pool(1, ssh=True)
        first = BatchLinuxNodeSSHHook("etl")
        with first.get_conn() as client:
            shown = client.get_transport().get_remote_server_key()
        line = f"{known_as(account)} {shown.get_name()} {shown.get_base64()}"

        with BatchLinuxNodeSSHHook("etl", host_keys=line).get_conn() as client:
            assert client.get_transport().is_active()

    def test_a_text_without_keys_is_refused(self, account):
        account.idle_pool(1, ssh=True)

        with pytest.raises(ValueError, match="host_keys is neither"):
            BatchLinuxNodeSSHHook("etl", host_keys="accept-all").get_conn()

        assert ledger(account) == {}


@pytest.mark.parametrize(
    ("module", "missing"),
    [pytest.param("node_ssh", "ssh", id="ssh"), pytest.param("node_sftp", "sftp", id="sftp")],
)
def test_without_the_extra_the_error_says_what_to_install(module: str, missing: str) -> None:
    script = (
        f"import sys; sys.modules['airflow.providers.{missing}.hooks.{missing}'] = None\n"
        f"import airflow_provider_batchlinux.hooks.{module}"
    )

    ran = subprocess.run(warm_python("-c", script), capture_output=True, text=True)

    assert "AirflowOptionalProviderFeatureException" in ran.stderr
    assert "pip install 'airflow-provider-batchlinux[ssh]'" in ran.stderr


def commands_for(
    account: BatchAccount, key: asyncssh.SSHKey, public_key: str, command: str
) -> tuple[NodeCommands, list[NodeAddress]]:
    """Put a user on a node, and make ready to run a command there as that."""
    account.idle_pool(1, ssh=True)
    [node] = account.nodes()
    assert node.ssh is not None
    user = NodeUser("etl", datetime.now(timezone.utc) + timedelta(hours=1), ssh_public_key=public_key)
    account.hook.run(lambda c: c.create_node_user("etl", node.node_id, user.to_create_rest()))
    login = Login("etl", HostKeys(ACCEPT_NEW), private_key(key.export_private_key("openssh").decode()))
    return NodeCommands(login, command, 30, 100), [NodeAddress("b", node.ssh.address, node.ssh.port)]


class _Dying(BatchLinuxNodeSSHHook):
    """A hook whose worker dies once it is connected: the connection is not closed."""

    def get_conn(self) -> Any:
        client = super().get_conn()
        client._on_close = None
        return client


def known_as(account: BatchAccount) -> str:
    endpoint = account.nodes()[0].ssh
    assert endpoint is not None
    return f"[{endpoint.address}]:{endpoint.port}"
