"""A minimal aiohttp server, as the lower bound of an answer's cost; it runs until its standard input ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

__all__ = ["bare_server"]


@contextmanager
def bare_server(body: bytes, delay: float = 0.0) -> Iterator[int]:
    """
    Answer every GET with the same body, and every POST with none, from another process; give the port.

    :param delay: seconds that each answer takes.
    """
    command = [sys.executable, "-m", "tests.bench.bare", body.decode(), str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.stdin.close()


async def _serve(body: bytes, delay: float) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        if delay:
            await asyncio.sleep(delay)
        headers = {"request-id": "3f2a"}  # without one, the client takes it for the answer of a proxy
        if request.method == "POST":
            return web.Response(status=201, headers=headers)  # without a body, as the service answers
        return web.Response(body=body, headers=headers, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1].encode(), float(sys.argv[2])))
