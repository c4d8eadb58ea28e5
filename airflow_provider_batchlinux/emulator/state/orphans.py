"""
Ends the programs of nodes that nobody ends any more.

It stands alone, on the standard library only: the guardian of a service runs this very file, and does so when
nothing else of the service is left.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["KEEP", "REMOVE", "end_leftovers", "kill_group", "main"]

KEEP = "keep"
REMOVE = "remove"

_MOST_SCANS = 100
_QUIET_SCANS = 2
"""A program that is just being started shows neither environment nor output for a moment."""

_BETWEEN_SCANS = 0.01
_OUTPUTS = ("1", "2")


def kill_group(group: int) -> None:
    """End every process of a process group; that there is none is no failure."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def end_leftovers(root: Path) -> None:
    """
    End the programs of the nodes below a directory, whatever process group they are in.

    They are known by the environment they inherited and by where their output goes; with one of them goes
    its whole session. Only Linux shows that. What has given up all three lives on.
    """
    quiet = 0
    for _ in range(_MOST_SCANS):
        found = _find(root)
        for number in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        quiet = 0 if found else quiet + 1
        if quiet == _QUIET_SCANS:
            return
        time.sleep(_BETWEEN_SCANS)


def main(arguments: Sequence[str]) -> None:
    """
    Wait until the service has ended, in whatever way, and clear up behind it.

    :param arguments: the directory of its nodes, and whether to keep or to remove it.
    """
    root, fate = arguments
    # It ends with the service, which holds the other end.
    sys.stdin.buffer.read()
    end_leftovers(Path(root))
    if fate == REMOVE:
        shutil.rmtree(root, ignore_errors=True)


def _find(root: Path) -> list[int]:
    sessions = {number: session for number, session in _processes() if number != os.getpid()}
    marked = [number for number in sessions if _is_marked(root, Path("/proc", str(number)))]
    doomed = {sessions[number] for number in marked} - {os.getsid(0)}
    return [number for number, session in sessions.items() if number in marked or session in doomed]


def _processes() -> Iterator[tuple[int, int]]:
    """Give the number and the session of all processes that live."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            state, _, _, session, *_ = (process / "stat").read_text().rpartition(")")[2].split()
            if state not in "ZX":
                yield int(process.name), int(session)


def _is_marked(root: Path, process: Path) -> bool:
    mark = b"\0AZ_BATCH_NODE_ROOT_DIR=" + os.fsencode(root) + b"/"
    with suppress(OSError):
        if mark in b"\0" + (process / "environ").read_bytes():
            return True
    return any(_leads_below(root, process / "fd" / output) for output in _OUTPUTS)


def _leads_below(root: Path, link: Path) -> bool:
    with suppress(OSError):
        return link.readlink().is_relative_to(root)
    return False


if __name__ == "__main__":
    main(sys.argv[1:])
