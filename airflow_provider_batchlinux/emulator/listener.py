"""Makes listening sockets; loopback only."""

from __future__ import annotations

import socket

__all__ = ["loopback_socket"]


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
