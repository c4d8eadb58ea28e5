"""Read files that nodes serve, with a limit in bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineResponse
from azure.core.rest import AsyncHttpResponse

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.transport.errors import is_throttled
from airflow_provider_batchlinux.client.transport.http import ForeignAnswerError
from airflow_provider_batchlinux.core.tasks.result import FileEnd
from airflow_provider_batchlinux.exceptions import BatchLinuxError

_RANGE_NOT_SATISFIABLE = 416
_START_TASK_OUTPUT = 2_000
"""Bytes of each stream."""


@dataclass(frozen=True)
class ServedFile:
    """
    A file that a node serves.

    :param what: what is done, for messages: ``read 'stdout.txt' of ...``.
    :param properties: requests its properties.
    :param download: requests its content; ``ocp_range`` selects a part.
    """

    client: BatchLinuxClient
    what: str
    properties: Callable[[], Awaitable[Any]]
    download: Callable[..., Awaitable[Any]]

    async def tail(self, limit: int | Callable[[int], int]) -> FileEnd:
        """
        Read the last bytes.

        :param limit: the maximum number of bytes to read, or a function that returns the first byte to read
            from the size of the file.
        :raises BatchLinuxError: the file or its node does not exist.
        """

        async def read() -> FileEnd:
            try:
                size = (await self.properties()).content_length
            except HttpResponseError as error:
                if not is_throttled(error):
                    # A HEAD is answered without a body, also with an error. A GET says what it is.
                    await self._range(0, 1)
                raise
            if size is None:
                msg = "The answer does not say how long the file is."
                raise ForeignAnswerError(msg)
            first = max(0, size - limit) if isinstance(limit, int) else min(limit(size), size)
            if size == first:
                return FileEnd(b"", omitted=first)
            content = await self._range(first, size - first)
            if len(content) != size - first:
                msg = f"The answer has {len(content)} of the {size - first} bytes that were asked for."
                raise ForeignAnswerError(msg)
            return FileEnd(content, omitted=first)

        return await self.client.retry.run(self.what, read)

    async def part(self, first: int, size: int) -> bytes:
        """
        Read the next bytes with one request, which is not retried; fewer at the end of the file.

        :param first: the number of bytes to skip.
        :param size: the maximum number of bytes to read.
        :raises BatchLinuxError: the file or its node does not exist, or does not answer.
        """

        async def read() -> bytes:
            try:
                return await self._range(first, size)
            except HttpResponseError as error:
                if error.status_code == _RANGE_NOT_SATISFIABLE:  # The file has no more.
                    return b""
                raise

        return await self.client.within(0).retry.run(self.what, read)

    async def _range(self, first: int, size: int) -> bytes:
        """Read bytes, and close the response however that ends; an answer with more is refused."""
        response: AsyncHttpResponse = await self.download(
            ocp_range=f"bytes={first}-{first + size - 1}", cls=_http_response
        )
        content = bytearray()
        try:
            async for chunk in response.iter_bytes():
                content += chunk
                if len(content) > size:
                    msg = f"The answer has more than the {size} bytes that were asked for."
                    raise ForeignAnswerError(msg)
        finally:
            await response.close()
        return bytes(content)


def task_file(client: BatchLinuxClient, job_id: str, task_id: str, path: str) -> ServedFile:
    """
    Return a file of a task.

    :param path: relative to the task's directory, such as ``stdout.txt`` or ``wd/totals.json``.
    """
    return ServedFile(
        client,
        f"read {path!r} of task {task_id!r} in job {job_id!r}",
        lambda: client.sdk.get_task_file_properties(job_id, task_id, path),
        lambda **options: client.sdk.download_task_file(job_id, task_id, path, **options),
    )


def node_file(client: BatchLinuxClient, pool_id: str, node_id: str, path: str) -> ServedFile:
    """
    Return a file of a node.

    :param path: relative to the node's root, such as ``startup/stderr.txt``.
    """
    return ServedFile(
        client,
        f"read {path!r} of node {node_id!r}",
        lambda: client.sdk.get_node_file_properties(pool_id, node_id, path),
        lambda **options: client.sdk.download_node_file(pool_id, node_id, path, **options),
    )


async def start_task_output(client: BatchLinuxClient, pool_id: str, node_id: str) -> str:
    """Return the end of a start task's output, or a text that says why it is not available."""
    parts = []
    for stream in ("stderr", "stdout"):
        try:
            end = await node_file(client, pool_id, node_id, f"startup/{stream}.txt").tail(_START_TASK_OUTPUT)
        except BatchLinuxError as error:
            parts.append(f"{stream}: not available ({error})")
        else:
            text = end.text().strip()
            parts.append(f"{stream}:\n{text}" if text else f"{stream}: empty")
    return "\n".join(parts)


def _http_response(
    answer: PipelineResponse[Any, AsyncHttpResponse], _body: object, _headers: object
) -> AsyncHttpResponse:
    return answer.http_response
