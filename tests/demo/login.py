"""Logging in to a node as soon as its user is there, with the system's ssh where there is one."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient, open_client
from airflow_provider_batchlinux.client.transport.account import AccountSettings
from airflow_provider_batchlinux.core.snapshots import Endpoint

__all__ = ["Login", "log_in", "make_key_pair", "wait_and_log_in"]

COMMAND = 'echo "$AZ_BATCH_NODE_ID"; uname -sr'
PAUSE = 0.2


@dataclass(frozen=True)
class Login:
    """A login that worked: the command that was typed, and what the node answered."""

    typed: str
    answer: str


def make_key_pair(folder: Path) -> tuple[Path, str]:
    """Make an Ed25519 key pair; give the private key's file and the public key's line."""
    key = asyncssh.generate_private_key("ssh-ed25519", comment="demo")
    private = folder / "id_ed25519"
    private.touch(mode=0o600)
    private.write_bytes(key.export_private_key())
    return private, key.export_public_key().decode().strip()


def wait_and_log_in(
    settings: AccountSettings, username: str, key: Path, *, over_after: Callable[[float], bool]
) -> Login | None:
    """
    Try every node with an SSH address until one lets the user in.

    :param over_after: waits some seconds, and tells whether the time for logins is over; then the answer
        is ``None``.
    """
    while not over_after(PAUSE):
        for endpoint in asyncio.run(_endpoints(settings)):
            login = log_in(endpoint, username, key)
            if login is not None:
                return login
    return None


async def _endpoints(settings: AccountSettings) -> list[Endpoint]:
    async with open_client(settings) as client:
        pools = [pool["id"] async for pool in client.sdk.list_pools(select=["id"])]
        return [endpoint for pool_id in pools for endpoint in await _of_pool(client, pool_id)]


async def _of_pool(client: BatchLinuxClient, pool_id: str) -> list[Endpoint]:
    nodes = await client.list_nodes(pool_id)
    return [node.ssh for node in nodes if node.ssh is not None and node.state == "idle"]


def log_in(endpoint: Endpoint, username: str, key: Path) -> Login | None:
    """Log in to a node; return ``None`` if it does not let the user in."""
    if shutil.which("ssh"):
        return _with_system_ssh(endpoint, username, key)
    return asyncio.run(_with_asyncssh(endpoint, username, key))


def _with_system_ssh(endpoint: Endpoint, username: str, key: Path) -> Login | None:
    # A node that comes back under its old port has a new key, and must not be taken for closed.
    hosts = ["-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={os.devnull}"]
    quiet = ["-q", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-F", os.devnull]
    address = ["-i", str(key), "-p", str(endpoint.port), f"{username}@{endpoint.address}"]
    done = subprocess.run(
        ["ssh", *hosts, *quiet, *address, COMMAND], capture_output=True, text=True, check=False, timeout=20
    )
    typed = f"ssh -p {endpoint.port} {username}@{endpoint.address}"
    return Login(typed, done.stdout.strip()) if done.returncode == 0 else None


async def _with_asyncssh(endpoint: Endpoint, username: str, key: Path) -> Login | None:
    options = {"username": username, "client_keys": [str(key)], "known_hosts": None, "config": None}
    try:
        async with asyncssh.connect(endpoint.address, endpoint.port, **options) as connection:
            done = await connection.run(COMMAND, check=True)
    except (asyncssh.Error, OSError):
        return None
    return Login(f"asyncssh to {endpoint.address}:{endpoint.port}", str(done.stdout).strip())
