"""Read the end of files that nodes serve, with a limit in bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from azure.core.exceptions import HttpResponseError

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.transport.errors import is_throttled
from airflow_provider_batchlinux.client.transport.http import ForeignAnswerError
from airflow_provider_batchlinux.core.tasks.result import FileEnd
from airflow_provider_batchlinux.exceptions import BatchLinuxError

Download = Callable[..., Awaitable[AsyncIterator[bytes]]]


async def task_file_tail(
    client: BatchLinuxClient, job_id: str, task_id: str, path: str, limit: int
) -> FileEnd:
    """
    Read the last bytes of a task's file.

    :param path: relative to the task's directory, such as ``stdout.txt`` or ``wd/totals.json``.
    :param limit: the maximum number of bytes to read.
    :raises BatchLinuxError: the file or its node does not exist.
    """
    sdk = client.sdk
    return await _tail(
        client,
        f"read {path!r} of task {task_id!r} in job {job_id!r}",
        lambda: sdk.get_task_file_properties(job_id, task_id, path),
        lambda **options: sdk.download_task_file(job_id, task_id, path, **options),
        limit,
    )


async def node_file_tail(
    client: BatchLinuxClient, pool_id: str, node_id: str, path: str, limit: int
) -> FileEnd:
    """
    Read the last bytes of a node's file.

    :param path: relative to the node's root, such as ``startup/stderr.txt``.
    :param limit: the maximum number of bytes to read.
    :raises BatchLinuxError: the file or the node does not exist.
    """
    sdk = client.sdk
    return await _tail(
        client,
        f"read {path!r} of node {node_id!r}",
        lambda: sdk.get_node_file_properties(pool_id, node_id, path),
        lambda **options: sdk.download_node_file(pool_id, node_id, path, **options),
        limit,
    )


async def start_task_output(client: BatchLinuxClient, pool_id: str, node_id: str, limit: int = 2_000) -> str:
    """
    Return the end of a start task's output, or a text that says why it is not available.

    :param limit: the maximum number of bytes to read of each stream.
    """
    parts = []
    for stream in ("stderr", "stdout"):
        try:
            end = await node_file_tail(client, pool_id, node_id, f"startup/{stream}.txt", limit)
        except BatchLinuxError as error:
            parts.append(f"{stream}: not available ({error})")
        else:
            text = end.text().strip()
            parts.append(f"{stream}:\n{text}" if text else f"{stream}: empty")
    return "\n".join(parts)


async def _tail(
    client: BatchLinuxClient,
    what: str,
    properties: Callable[[], Awaitable[Any]],
    download: Download,
    limit: int,
) -> FileEnd:
    async def read() -> FileEnd:
        try:
            size = (await properties()).content_length
        except HttpResponseError as error:
            if not is_throttled(error):
                # A HEAD is answered without a body, also with an error. A GET says what it is.
                await download(ocp_range="bytes=0-0")
            raise
        if size is None:
            msg = "The answer does not say how long the file is."
            raise ForeignAnswerError(msg)
        if size == 0:
            return FileEnd(b"")
        first = max(0, size - limit)
        chunks = await download(ocp_range=f"bytes={first}-{size - 1}")
        content = b"".join([chunk async for chunk in chunks])
        if len(content) != size - first:
            msg = f"The answer has {len(content)} of the {size - first} bytes that were asked for."
            raise ForeignAnswerError(msg)
        return FileEnd(content, omitted=first)

    return await client.retry.run(what, read)
