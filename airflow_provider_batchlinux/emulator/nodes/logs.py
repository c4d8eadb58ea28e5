"""Collects the logs of a node, and uploads them to a storage container."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import aiohttp

from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.protocol.instants import format_instant
from airflow_provider_batchlinux.emulator.protocol.local_files import open_for_reading
from airflow_provider_batchlinux.emulator.state.records import Node

_log = logging.getLogger(__name__)
_TIMEOUT = aiohttp.ClientTimeout(total=60)
_LONGEST = 64 << 20
"""Bytes of a file: its task may write without end, and this is held in memory until it is uploaded."""
_OUTPUT = ("startup/stdout.txt", "startup/stderr.txt")


def collect_logs(root: Path, node: Node) -> dict[str, bytes]:
    """
    Return the log files of a node by name: two of its agent, and the beginning of its start task's output.

    Recorded: there are four files. Their names are assumed.

    :param root: root directory of the node.
    """
    since = {"allocated": node.allocated, "booted": node.last_boot, f"became {node.state}": node.state_since}
    lines = [f"{format_instant(time)} {node.id} {event}" for event, time in since.items() if time is not None]
    logs = {"agent-debug.log": "\n".join([*lines, ""]).encode(), "agent-warn.log": b""}
    for name in _OUTPUT:
        logs[name] = b""
        with suppress(OSError), open_for_reading(root / name) as file:
            logs[name] = file.read(_LONGEST)
    return logs


def log_directory(account: str, node: Node, request_id: str) -> str:
    """Return the directory in the container, in the recorded format."""
    batch = sha256(node.pool_id.encode()).hexdigest()[:16].upper()
    return f"{account}-{batch}/{node.pool_id.lower()}/{node.id}/{request_id}"


def blob_url(container_url: str, name: str) -> str:
    """Return the URL of a blob in a container, with the signature of the container's URL."""
    parts = urlsplit(container_url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}"))


async def upload_logs(
    container_url: str, directory: str, logs: Mapping[str, bytes], storage: BlobStorage
) -> None:
    """
    Upload log files to a container.

    The request has been answered by then, so a failure is only logged.

    :param storage: the blob store, whose certificate the node trusts.
    """
    connector = aiohttp.TCPConnector(ssl=storage.trust)
    headers = {"x-ms-blob-type": "BlockBlob", "content-type": "application/octet-stream"}
    async with aiohttp.ClientSession(
        timeout=_TIMEOUT, headers=headers, raise_for_status=True, connector=connector
    ) as session:
        for name, content in logs.items():
            url = blob_url(container_url, f"{directory}/{name}")
            try:
                async with session.put(url, data=content):
                    pass
            except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
                _log.warning("The log %s/%s was not uploaded: %s", directory, name, type(error).__name__)
