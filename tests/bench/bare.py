"""A minimal aiohttp server, as the lower bound of an answer's cost; it runs until its standard input ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

__all__ = ["bare_server", "running_server"]


@contextmanager
def bare_server(body: bytes) -> Iterator[int]:
    """Answer every request with the same body, from another process; give the port."""
    with running_server("tests.bench.bare", body.decode()) as port:
        yield port


@contextmanager
def running_server(module: str, *arguments: str) -> Iterator[int]:
    """Run a module that prints its port and serves until its standard input ends; give the port."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.stdin.close()


async def _serve(body: bytes) -> None:
    async def answer(_request: web.BaseRequest) -> web.Response:
        headers = {"request-id": "3f2a"}  # without one, the client takes it for the answer of a proxy
        return web.Response(body=body, headers=headers, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1].encode()))
