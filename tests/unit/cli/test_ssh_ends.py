"""What ``batchlinux ssh`` refuses, and how it ends when it is ended: the user never stays."""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import asyncssh
import pytest

from airflow_provider_batchlinux.cli.main import main
from airflow_provider_batchlinux.client.users.ledger import enter
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
from airflow_provider_batchlinux.emulator import EmulatorOptions, run_emulator
from tests.batch_account import BatchAccount, eventually
from tests.conftest import set_connection
from tests.unit.cli.conftest import Person


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: signal.Signals(number).name
)
def test_a_signal_ends_the_login_and_removes_the_user(
    account: BatchAccount, person: Person, number: signal.Signals
) -> None:
    account.idle_pool(ssh=True)

    with person.types("ssh", "etl", "--user", "nora", "--", "echo in; cat") as terminal:
        assert terminal.stdout is not None
        assert terminal.stdout.readline() == "in\n"
        assert person.can_log_in_as("nora")
        terminal.send_signal(number)
        terminal.communicate()

    assert terminal.returncode == 128 + number
    assert not person.can_log_in_as("nora")
    assert person.ledger() == {}


def test_the_login_ends_when_its_time_is_over(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    never = person.home / "never"
    never.touch()
    # Its clock stands still, as that of the service does until the day is over.
    with run_emulator(EmulatorOptions(clock="manual")) as emulator:
        set_connection(monkeypatch, emulator)
        account = BatchAccount(emulator)
        account.make_pool(dedicated=1, ssh=True)
        eventually(partial(has_come_up, account))

        assert main(["ssh", "etl", "--user", "nora", "--expires-in", "1s", "--", f"tail -f {never}"]) == 124

        assert replace(person, account=account).ledger() == {}


def has_come_up(account: BatchAccount) -> bool:
    account.control.advance(0)
    return account.hook.node_counts("etl") == {"idle": 1}


def test_a_node_that_knows_the_time_may_end_the_login_first(
    account: BatchAccount, person: Person, capfd: pytest.CaptureFixture[str]
) -> None:
    account.idle_pool(ssh=True)
    never = person.home / "never"
    never.touch()

    assert main(["ssh", "etl", "--user", "nora", "--expires-in", "1s", "--", f"tail -f {never}"]) == 124

    assert "The time limit of this login was reached." in capfd.readouterr().err
    assert person.ledger() == {}


def test_a_node_that_is_removed_ends_the_login_quietly(account: BatchAccount, person: Person) -> None:
    account.idle_pool(ssh=True)

    with person.types("ssh", "etl", "--", "echo in; cat") as terminal:
        assert terminal.stdout is not None
        assert terminal.stdout.readline() == "in\n"
        account.delete_pool()
        _, said = terminal.communicate()

    assert terminal.returncode == 255
    assert "Traceback" not in said


def test_a_user_that_cannot_be_removed_is_reported_and_stays_in_the_ledger(
    account: BatchAccount, person: Person
) -> None:
    account.idle_pool(ssh=True)

    with person.types("ssh", "etl", "--user", "nora", "--", "echo in; cat") as terminal:
        assert terminal.stdout is not None
        assert terminal.stdout.readline() == "in\n"
        account.put_node("unusable")
        _, said = terminal.communicate("")

    assert terminal.returncode == 1
    assert "'nora' could not be removed" in said
    assert "BatchLinuxAuditNodeUsersOperator(revoke=True)" in said
    assert set(person.ledger()) == {"nora"}


def test_a_pool_without_a_way_in_is_refused_with_the_remedy(
    account: BatchAccount, person: Person, capfd: pytest.CaptureFixture[str]
) -> None:
    account.idle_pool()

    assert main(["ssh", "etl", "--", "true"]) == 1

    said = capfd.readouterr().err
    assert "names no public address" in said
    assert "ssh_from=" in said
    assert person.calls_about_users() == []
    assert person.ledger() == {}


def test_the_user_of_another_login_is_kept(
    account: BatchAccount, person: Person, capfd: pytest.CaptureFixture[str]
) -> None:
    account.idle_pool(ssh=True)
    now = datetime.now(timezone.utc)
    theirs = LedgerEntry("etl", now + timedelta(hours=1), {"dag_id": "nightly", "run_id": "r1"})
    _, entered = account.hook.run(lambda client: enter(client, "etl", theirs, now=now))

    assert main(["ssh", "etl", "--user", "etl", "--", "true"]) == 1

    assert "held by dag_id 'nightly'" in capfd.readouterr().err
    assert person.calls_about_users() == []
    assert person.ledger() == {"etl": entered}


@pytest.mark.usefixtures("person")
def test_a_pool_without_ready_nodes_reports_the_states_of_its_nodes(
    account: BatchAccount, capfd: pytest.CaptureFixture[str]
) -> None:
    account.idle_pool(ssh=True)
    account.put_node("unusable")

    assert main(["ssh", "etl"]) == 1

    assert "no idle or running node to log in to, but 1 unusable" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        pytest.param("tvmps_missing", "the pool has no such node", id="unknown"),
        pytest.param(None, "NodeStateUnusable", id="unusable"),
    ],
)
def test_a_node_that_cannot_take_the_user_is_refused(
    account: BatchAccount, person: Person, capfd: pytest.CaptureFixture[str], node: str | None, reason: str
) -> None:
    account.idle_pool(ssh=True)
    bad = node or account.put_node("unusable")

    assert main(["ssh", "etl", bad]) == 1

    assert reason in capfd.readouterr().err
    assert person.ledger() == {}


@pytest.mark.usefixtures("person")
def test_a_pool_that_is_not_there_is_refused(
    account: BatchAccount, capfd: pytest.CaptureFixture[str]
) -> None:
    assert account.pools() == []

    assert main(["ssh", "etl"]) == 1

    assert "PoolNotFound" in capfd.readouterr().err


def test_no_key_at_all_says_how_to_make_one(
    account: BatchAccount, person: Person, capfd: pytest.CaptureFixture[str]
) -> None:
    account.idle_pool(ssh=True)
    person.public_file.unlink()

    assert main(["ssh", "etl"]) == 1

    assert "ssh-keygen -t ed25519" in capfd.readouterr().err


def test_a_private_key_without_its_public_half_is_not_opened(
    person: Person, capfd: pytest.CaptureFixture[str]
) -> None:
    person.public_file.unlink()

    assert main(["ssh", "etl", "--key", str(person.public_file.with_suffix(""))]) == 1

    assert "ssh-keygen -y -f" in capfd.readouterr().err


def test_a_weak_key_is_refused(person: Person, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    weak = tmp_path / "weak.pub"
    asyncssh.generate_private_key("ssh-rsa", key_size=1024).write_public_key(weak)

    assert main(["ssh", "etl", "--key", str(weak)]) == 1

    said = capfd.readouterr().err
    assert f"{weak} is not a valid key" in said
    assert "1024 bits" in said
    assert person.calls_about_users() == []


@pytest.mark.usefixtures("person")
def test_a_user_name_that_linux_refuses_is_refused_before_any_call(
    account: BatchAccount, capfd: pytest.CaptureFixture[str]
) -> None:
    before = account.requests()

    assert main(["ssh", "etl", "--user", "Nora Lind"]) == 1

    said = capfd.readouterr().err
    assert "'Nora Lind' is not a Linux user name" in said
    assert account.requests() == before


@pytest.mark.parametrize("span", ["2", "0h", "-1h", "2 weeks", "1.5h"])
def test_a_time_that_is_none_is_refused(span: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["ssh", "etl", f"--expires-in={span}"])

    assert ended.value.code == 2
    assert "30m" in capfd.readouterr().err


def test_without_the_systems_ssh_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")

    assert main(["ssh", "etl"]) == 1

    assert "ssh is not on the PATH" in capfd.readouterr().err


def test_other_commands_take_no_command_for_a_node(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["pools", "list", "--", "uname"])

    assert ended.value.code == 2
    assert "unrecognized arguments: " in capfd.readouterr().err
