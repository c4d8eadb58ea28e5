"""Reading files of nodes from a service that stops half way, or sends too much."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest

from airflow_provider_batchlinux.client.api.batch import open_client
from airflow_provider_batchlinux.client.api.files import task_file
from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.client.transport.clock import ServiceClock
from airflow_provider_batchlinux.exceptions import BatchUnreachableError

HEAD = b"HTTP/1.1 200 OK\r\nrequest-id: 3f2a\r\ncontent-length: 1000\r\n\r\n"


class HalfAnAnswer:
    """A service that begins an answer, and notes when the client has closed the connection."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.closed = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"x" * self._size)
        await reader.read()
        self.closed.set()
        writer.close()


class HeardClock(ServiceClock):
    """A clock that tells when the head of an answer is there; the client reads the body then."""

    def __init__(self) -> None:
        super().__init__()
        self.is_heard = asyncio.Event()

    def heard(self, date: str | None) -> None:
        super().heard(date)
        self.is_heard.set()


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "more than was asked for"])
def test_a_read_that_does_not_end_closes_its_connection(is_cancelled: bool) -> None:
    async def read() -> None:
        clock = HeardClock()
        service = HalfAnAnswer(size=10 if is_cancelled else 200)
        server = await asyncio.start_server(service.answer, "127.0.0.1", 0)
        at = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        account = AccountSettings(at, "name", AuthKind.SHARED_KEY, account_key="c2VjcmV0LWtleQ==")
        async with server, open_client(account, clock=clock) as client:
            reading = asyncio.ensure_future(task_file(client, "job", "main", "stdout.txt").part(0, 100))
            await clock.is_heard.wait()
            if is_cancelled:
                reading.cancel()
            with pytest.raises(asyncio.CancelledError if is_cancelled else BatchUnreachableError):
                await reading
            del reading
            gc.collect()
            await asyncio.wait_for(service.closed.wait(), 10)

    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        asyncio.run(read())
