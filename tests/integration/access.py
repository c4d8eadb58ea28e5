"""A person who logs in to nodes with the system's ssh and stays there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from airflow.sdk import DAG

from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
from airflow_provider_batchlinux.operators.node_users import (
    BatchLinuxAddNodeUsersOperator,
    BatchLinuxRemoveNodeUsersOperator,
)
from tests.batch_account import BatchAccount
from tests.unit.logins import lets_in

SSH_FAILED = 255


@dataclass(frozen=True)
class Colleague:
    """A person with a key pair, who is to be the user ``etl`` of the pool ``etl``."""

    account: BatchAccount
    private_file: Path
    key: asyncssh.SSHKey

    @property
    def public_line(self) -> str:
        """The public half of the key as one line."""
        return self.key.export_public_key().decode().strip()

    def is_let_in(self, username: str = "etl") -> set[str]:
        """Try to log in to every node, and give the ids of those that open."""
        return lets_in(self.account, username, client_keys=[self.key])

    @contextmanager
    def at_work(self) -> Iterator[subprocess.Popen[str]]:
        """Be logged in to the first node, until the node or the end of the block ends it."""
        endpoint = self.account.nodes()[0].ssh
        assert endpoint is not None
        options = (
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        )
        settings = [word for option in options for word in ("-o", option)]
        place = ["-F", os.devnull, "-i", str(self.private_file), "-p", str(endpoint.port)]
        command = ["ssh", *settings, *place, f"etl@{endpoint.address}", "echo in; cat"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as session:
            assert session.stdout is not None
            assert session.stdout.readline() == "in\n"
            yield session
            session.terminate()

    def ledger(self) -> dict[str, LedgerEntry]:
        """Read the pool's ledger."""
        from airflow_provider_batchlinux.client.users.ledger import read_ledger

        return self.account.hook.run(lambda client: read_ledger(client, "etl")) or {}


def make_colleague(account: BatchAccount, folder: Path) -> Colleague:
    """Make a person with a key pair of their own in a folder."""
    if shutil.which("ssh") is None:
        pytest.skip("needs the system's ssh")
    key = asyncssh.generate_private_key("ssh-ed25519")
    private = folder / "id_ed25519"
    private.touch(mode=0o600)
    private.write_bytes(key.export_private_key())
    return Colleague(account, private, key)


def has_ended(session: subprocess.Popen[str]) -> bool:
    """Wait for a session that is about to be ended from the other side."""
    return session.wait(20) == SSH_FAILED


def adding(
    colleague: Colleague, *, dag_id: str = "nightly", **options: Any
) -> BatchLinuxAddNodeUsersOperator:
    """Make the operator that gives a colleague access, in a Dag."""
    options.setdefault("ssh_public_key", colleague.public_line)
    if "expires_at" not in options:
        options.setdefault("expires_in", timedelta(hours=2))
    operator = BatchLinuxAddNodeUsersOperator(task_id="add", pool_id="etl", **{"username": "etl", **options})
    operator.dag = DAG(dag_id, schedule=None)
    return operator


def removing(*, dag_id: str = "nightly", **options: Any) -> BatchLinuxRemoveNodeUsersOperator:
    """Make the operator that ends the access, in a Dag."""
    operator = BatchLinuxRemoveNodeUsersOperator(task_id="remove", pool_id="etl", username="etl", **options)
    operator.dag = DAG(dag_id, schedule=None)
    return operator
