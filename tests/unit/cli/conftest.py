"""A person at a terminal: their home, their key, and what they can see."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
from tests.batch_account import BatchAccount
from tests.unit.logins import lets_in
from tests.warm_python import warm_python


@dataclass(frozen=True)
class Person:
    """A person with an SSH key who uses the pool ``etl``."""

    account: BatchAccount
    home: Path
    key: asyncssh.SSHKey

    @property
    def public_file(self) -> Path:
        """The file of the public key."""
        return self.home / ".ssh" / "id_ed25519.pub"

    def ledger(self) -> dict[str, LedgerEntry]:
        """Read the pool's ledger of users."""
        from airflow_provider_batchlinux.client.users.ledger import read_ledger

        return self.account.hook.run(lambda client: read_ledger(client, "etl")) or {}

    def calls_about_users(self) -> list[str]:
        """Give the methods of the calls about users, in their order."""
        return [request.split()[0] for request in self.account.requests() if "/users" in request]

    def can_log_in_as(self, username: str) -> bool:
        """Try to log in with the key."""
        return bool(lets_in(self.account, username, client_keys=[self.key]))

    def types(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command in a process of its own, without the remarks of Airflow's test mode."""
        command = warm_python("-m", "airflow_provider_batchlinux.cli.main", *arguments)
        environment = {**os.environ, "AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)


def user_named_in(text: str) -> str:
    """Find the user's name in what the command says."""
    found = re.search(r"User '([^']+)' is on node", text)
    assert found is not None, text
    return found[1]


@pytest.fixture
def person(
    account: BatchAccount, tmp_path: Path, key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch
) -> Person:
    """Give a person with a key pair in the usual place, and no agent."""
    if shutil.which("ssh") is None:
        pytest.skip("needs the system's ssh")
    folder = tmp_path / ".ssh"
    folder.mkdir()
    private = folder / "id_ed25519"
    private.touch(mode=0o600)
    private.write_bytes(key.export_private_key())
    (folder / "id_ed25519.pub").write_bytes(key.export_public_key())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "Nora.Lind")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return Person(account, tmp_path, key)


@pytest.fixture
def agent(person: Person, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the person's key in an agent, and in no file."""
    socket = person.home / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", str(person.public_file.with_suffix(""))], check=True)
        shutil.rmtree(person.public_file.parent)
        yield
        process.terminate()
