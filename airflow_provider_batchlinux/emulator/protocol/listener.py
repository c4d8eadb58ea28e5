"""Opens ports and shuts them; loopback only."""

from __future__ import annotations

import asyncio
import socket

from aiohttp import web


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


async def stop_serving(runner: web.BaseRunner) -> None:
    """End a server with all its connections, also those whose client does not answer to a TLS farewell."""
    server = runner.server
    handlers = server.connections if isinstance(server, web.Server) else []
    transports = [handler.transport for handler in handlers]
    await runner.cleanup()
    for transport in transports:
        if isinstance(transport, asyncio.Transport):
            transport.abort()
