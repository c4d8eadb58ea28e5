"""``batchlinux ssh`` as a person at a terminal uses it, with the system's own ssh."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import asyncssh
import pytest

from airflow_provider_batchlinux.cli.main import main
from airflow_provider_batchlinux.core.snapshots import Endpoint
from tests.batch_account import BatchAccount
from tests.unit.cli.conftest import Person, user_named_in


def test_a_command_runs_on_a_node_and_its_user_is_removed_afterwards(
    account: BatchAccount, person: Person, capfd: pytest.CaptureFixture[str]
) -> None:
    account.idle_pool(ssh=True)
    capfd.readouterr()  # what Airflow 3.1 has to say of the connection by which the pool was made

    assert main(["ssh", "etl", "--", "echo", "$USER on $AZ_BATCH_NODE_ID"]) == 0

    said = capfd.readouterr()
    username = user_named_in(said.err)
    assert said.out == f"{username} on {account.nodes()[0].node_id}\n"
    assert f"User '{username}' has been removed from node" in said.err
    assert person.calls_about_users() == ["POST", "DELETE"]
    assert person.ledger() == {}
    assert not person.can_log_in_as(username)


@pytest.mark.usefixtures("person")
def test_the_exit_status_is_that_of_the_command(account: BatchAccount) -> None:
    account.idle_pool(ssh=True)

    assert main(["ssh", "etl", "--", "exit 7"]) == 7


@pytest.mark.usefixtures("person")
def test_a_named_node_is_the_one(account: BatchAccount, capfd: pytest.CaptureFixture[str]) -> None:
    account.idle_pool(3, ssh=True)
    node_id = account.nodes()[2].node_id

    capfd.readouterr()

    main(["ssh", "etl", node_id, "--", "echo $AZ_BATCH_NODE_ID"])

    assert capfd.readouterr().out.strip() == node_id


@pytest.mark.usefixtures("person")
def test_an_idle_node_is_preferred_to_one_with_tasks(
    account: BatchAccount, capfd: pytest.CaptureFixture[str]
) -> None:
    account.idle_pool(2, ssh=True)
    busy = account.put_node("running")

    main(["ssh", "etl", "--", "echo $AZ_BATCH_NODE_ID"])

    assert capfd.readouterr().out.strip() not in {"", busy}


def test_without_a_command_there_is_a_shell(account: BatchAccount, person: Person) -> None:
    account.idle_pool(ssh=True)

    with person.types("ssh", "etl") as terminal:
        answer, _ = terminal.communicate("echo $LOGNAME\nexit 3\n")

    assert re.fullmatch(r"nora-lind-[0-9a-f]{6}\n", answer)
    assert terminal.returncode == 3


def test_the_ledger_names_the_person_while_they_are_there(account: BatchAccount, person: Person) -> None:
    account.idle_pool(ssh=True)

    with person.types(
        "ssh", "etl", "--user", "nora", "--expires-in", "30m", "--", "echo in; cat"
    ) as terminal:
        assert terminal.stdout is not None
        assert terminal.stdout.readline() == "in\n"
        entry = person.ledger()["nora"]
        terminal.communicate("")

    assert entry.by["person"] == "Nora.Lind"
    assert set(entry.by) == {"person", "host", "session"}
    assert entry.key == person.key.get_fingerprint()
    assert abs(entry.expires_at - datetime.now(timezone.utc) - timedelta(minutes=30)) < timedelta(minutes=1)
    assert person.ledger() == {}


def test_a_key_can_be_named_by_either_of_its_files(account: BatchAccount, person: Person) -> None:
    account.idle_pool(ssh=True)
    own = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    private = person.home / "work.key"
    private.touch(mode=0o600)
    own.write_private_key(private)
    own.write_public_key(f"{private}.pub")

    assert main(["ssh", "etl", "--key", str(private), "--", "true"]) == 0
    assert main(["ssh", "etl", "--key", f"{private}.pub", "--", "true"]) == 0


@pytest.mark.usefixtures("agent")
def test_the_agents_key_serves_where_there_is_no_file(account: BatchAccount) -> None:
    account.idle_pool(ssh=True)

    assert main(["ssh", "etl", "--", "true"]) == 0


def test_a_named_file_of_host_keys_is_obeyed(account: BatchAccount, person: Person) -> None:
    account.idle_pool(ssh=True)
    known = person.home / "known_hosts"
    known.touch()

    assert main(["ssh", "etl", "--known-hosts", str(known), "--", "true"]) == 255
    known.write_text(f"[127.0.0.1]:* {host_key(account)}\n")
    assert main(["ssh", "etl", "--known-hosts", str(known), "--", "true"]) == 0


@pytest.mark.usefixtures("person")
def test_an_option_for_ssh_goes_before_ours(account: BatchAccount, capfd: pytest.CaptureFixture[str]) -> None:
    account.idle_pool(ssh=True)

    main(["ssh", "etl", "-o", "LogLevel=VERBOSE", "--", "true"])

    assert "Authenticated to 127.0.0.1" in capfd.readouterr().err


def test_nothing_of_a_login_is_left_at_home(
    account: BatchAccount, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.idle_pool(ssh=True)
    scratch = person.home / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))

    main(["ssh", "etl", "--", "true"])

    assert list(scratch.iterdir()) == []
    assert {path.name for path in (person.home / ".ssh").iterdir()} == {"id_ed25519", "id_ed25519.pub"}


def host_key(account: BatchAccount) -> str:
    """Ask a node for its host key, as ``ssh-keyscan`` does."""
    import asyncio

    endpoint = account.nodes()[0].ssh
    assert isinstance(endpoint, Endpoint)
    found = asyncio.run(asyncssh.get_server_host_key(endpoint.address, endpoint.port, config=None))
    assert found is not None
    return found.export_public_key().decode()
