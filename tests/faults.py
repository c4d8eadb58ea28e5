"""Faults that last: a clock that only retries move, a door before the service, what happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_batchlinux.client.api import batch
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy


class ScenarioClock:
    """The clock of all retries: it moves by what they wait, and lets things happen at their time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, Callable[[], object]]] = []

    def at(self, seconds: float, event: Callable[[], object]) -> None:
        """Let something happen at a time of this clock."""
        self._events.append((seconds, event))

    def rule_retries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let every client that is opened from now on wait between its tries by this clock."""
        # The same class, with the two parameters that it has for this.
        monkeypatch.setattr(batch, "RetryPolicy", partial(RetryPolicy, sleep=self._sleep, clock=self._read))

    def _read(self) -> float:
        return self.now

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds
        due = [event for time, event in self._events if time <= self.now]
        self._events = [(time, event) for time, event in self._events if time > self.now]
        for event in due:
            event()
        await asyncio.sleep(0)


class Door:
    """
    A port before a service: while it is shut the service is gone, though it keeps all that it has.

    :param target: the URL of the service, of plain HTTP.
    """

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="door", daemon=True)
        self._thread.start()
        self._writers: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self.open()

    @property
    def url(self) -> str:
        """The URL at which clients come to the door."""
        return f"http://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Let clients through again, at the same port."""
        self._do(self._listen())

    def shut(self) -> None:
        """Refuse connections, and reset those that there are."""
        self._do(self._close())

    def remove(self) -> None:
        """Leave nothing behind."""
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        if self._passing:
            await asyncio.wait(self._passing)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        ends = {writer, far_writer}
        passing = {
            asyncio.ensure_future(_pass_on(reader, far_writer)),
            asyncio.ensure_future(_pass_on(far_reader, writer)),
        }
        self._writers |= ends
        self._passing |= passing
        await asyncio.wait(passing)
        self._writers -= ends
        self._passing -= passing


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        return
    finally:
        sink.close()


@contextmanager
def meanwhile(event: Callable[[], object]) -> Iterator[None]:
    """Let something happen in another thread while the block runs; what it raises is raised at the end."""
    with ThreadPoolExecutor(max_workers=1) as threads:
        happening = threads.submit(event)
        yield
        happening.result()
