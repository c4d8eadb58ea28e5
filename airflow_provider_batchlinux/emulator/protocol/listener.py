"""Listen on loopback, and refuse requests that a web page makes a browser send."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE)
_SHUTDOWN_TIMEOUT = 2.0
"""Seconds that requests get to end when the service stops: a client may have stopped to read its answer."""


def loopback_socket(port: int = 0) -> socket.socket:
    """
    Return a socket bound on loopback that does not listen yet.

    :param port: 0 takes a free one.
    :raises OSError: the port is taken.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


@asynccontextmanager
async def serving_on(
    listener: socket.socket, handle: Handler, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """
    Serve HTTP on a socket of loopback. At the end no connection is left.

    Every server of the emulator is started here, so that none answers a request of a web page.

    :param handle: answers requests that have passed :func:`foreign_request`.
    :param tls: serves HTTPS; ``None`` serves plain HTTP.
    """
    scheme = "http" if tls is None else "https"

    async def guarded(request: web.BaseRequest) -> web.StreamResponse:
        problem = foreign_request(scheme, *(request.headers.getall(name, ()) for name in ("Host", "Origin")))
        if problem is not None:
            return web.json_response({"error": problem}, status=403)
        return await handle(request)

    runner = web.ServerRunner(web.Server(guarded, access_log=None), shutdown_timeout=_SHUTDOWN_TIMEOUT)
    try:
        await runner.setup()
        await web.SockSite(runner, listener, ssl_context=tls).start()
        yield
    finally:
        server = runner.server
        handlers = server.connections if isinstance(server, web.Server) else []
        transports = [handler.transport for handler in handlers]
        await runner.cleanup()
        # A client that does not answer the TLS close would keep its connection open.
        for transport in transports:
            if isinstance(transport, asyncio.Transport):
                transport.abort()


def foreign_request(scheme: str, hosts: Sequence[str], origins: Sequence[str]) -> str | None:
    """
    Return why a request is not one of a program on this machine; ``None`` if it may be one.

    A page whose name was rebound to 127.0.0.1 sends its own name as Host, and any page of another server
    sends its Origin. Azure's clients send the host of their endpoint, and no Origin.

    :param scheme: ``http`` or ``https``, as the server speaks.
    :param hosts: values of the Host header; those of ``origins`` likewise.
    """
    if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):
        found = ", ".join(map(repr, hosts)) or "missing"
        return f"The Host header is {found}: it must be 127.0.0.1, localhost or [::1], with any port."
    if any(origin.lower() != f"{scheme}://{hosts[0]}".lower() for origin in origins):
        return (
            f"The Origin header is {', '.join(map(repr, origins))}: requests of other web pages are refused."
        )
    return None
