"""Opens and closes ports on loopback."""

from __future__ import annotations

import asyncio
import socket

from aiohttp import web


def loopback_socket(port: int = 0) -> socket.socket:
    """
    Return a socket that is bound to 127.0.0.1 and does not listen yet.

    :param port: 0 uses any free port.
    :raises OSError: the port is in use.
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
    """Stop a server and close all its connections."""
    server = runner.server
    handlers = server.connections if isinstance(server, web.Server) else []
    transports = [handler.transport for handler in handlers]
    await runner.cleanup()
    # A client that does not answer the TLS close would keep its connection open.
    for transport in transports:
        if isinstance(transport, asyncio.Transport):
            transport.abort()
