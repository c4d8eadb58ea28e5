"""What several tests of operators and triggers start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from tests.unit.commands import Loop


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """Give a command that is let go at the end in any case."""
    loop = Loop(tmp_path)
    yield loop
    loop.go.touch()


@pytest.fixture(scope="session")
def key() -> asyncssh.SSHKey:
    """Give a key pair."""
    return asyncssh.generate_private_key("ssh-ed25519", comment="tester")


@pytest.fixture(scope="session")
def public_key(key: asyncssh.SSHKey) -> str:
    """Give the public half as one line."""
    return key.export_public_key().decode()
