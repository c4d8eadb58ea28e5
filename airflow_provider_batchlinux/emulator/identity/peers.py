"""Find the user of this machine who owns the other end of a connection."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = "01"
_V4_MAPPED = "0000000000000000" + ("FFFF0000" if sys.byteorder == "little" else "0000FFFF")
"""The kernel's prefix of an IPv4 address as IPv6: words of four bytes in the machine's byte order."""


def is_own_process(peer: tuple[str, int], own: tuple[str, int]) -> bool | None:
    """
    Return whether the client of a connection over loopback belongs to the user who runs the emulator.

    :param peer: address and port of the client; ``own`` is that of the server.
    :return: ``None`` if the system does not provide it; only Linux does.
    """
    if not _TABLES[0].exists():
        return None
    return user_of(peer, own) == os.geteuid()


def user_of(peer: tuple[str, int], own: tuple[str, int], tables: Sequence[Path] = _TABLES) -> int | None:
    """
    Return the user id that owns the client's end of a connection; ``None`` if it is not found.

    :param tables: the kernel's lists of connections.
    """
    ends = {tuple(prefix + _written(*end) for end in (peer, own)) for prefix in ("", _V4_MAPPED)}
    for row in _rows(tables):
        # "sl local remote state queues timer retransmits uid timeout inode": see proc(5).
        local, remote, state, user, inode = row[1], row[2], row[3], row[7], row[9]
        # A socket that its process has closed is shown as root's, without an inode.
        if (local, remote) in ends and state == _ESTABLISHED and inode != "0":
            return int(user)
    return None


def _rows(tables: Sequence[Path]) -> Iterator[list[str]]:
    for table in tables:
        if table.exists():
            yield from (line.split() for line in table.read_text().splitlines()[1:])


def _written(address: str, port: int) -> str:
    """Return an IPv4 address and port in the kernel's form."""
    number = int.from_bytes(socket.inet_aton(address), sys.byteorder)
    return f"{number:08X}:{port:04X}"
