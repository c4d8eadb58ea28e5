"""A proxy that counts the bytes of a service's answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["Meter", "metered"]


@dataclass
class Meter:
    """
    What a proxy has passed on.

    :param endpoint: the URL of the proxy.
    :param received: bytes of its answers, with their headers.
    """

    endpoint: str = ""
    received: int = 0


@asynccontextmanager
async def metered(endpoint: str) -> AsyncIterator[Meter]:
    """Forward connections to a service on loopback until the block ends."""
    address = urlsplit(endpoint)
    meter = Meter()
    open_ends: set[asyncio.Task[None]] = set()

    async def pass_on_both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection(address.hostname, address.port)
        await asyncio.gather(_pass_on(reader, requests, Meter()), _pass_on(answers, writer, meter))

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ends.add(asyncio.ensure_future(pass_on_both(reader, writer)))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        meter.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield meter
    await asyncio.gather(*open_ends)


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, meter: Meter) -> None:
    while content := await source.read(1 << 16):
        meter.received += len(content)
        target.write(content)
        await target.drain()
    target.close()
