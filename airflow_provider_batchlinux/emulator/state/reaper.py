"""
Kills orphans: programs of nodes whose service has ended without stopping them.

A service runs this file in a separate process, the reaper, which waits for the end of the service. It
imports only the standard library, since it runs when nothing else of the service is left.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

_KEEP = "keep"
_REMOVE = "remove"
_MAX_SCANS = 100
_QUIET_SCANS = 2
"""A program that is just being started shows neither environment nor output for a moment."""

_SCAN_INTERVAL = 0.01


@contextmanager
def reaping(root: Path, *, keep_root: bool, lock: int | None = None) -> Iterator[None]:
    """
    Run a reaper for a directory, so that no program of its nodes outlives this process, even if it is killed.

    :param keep_root: whether the reaper keeps the directory.
    :param lock: descriptor of a lock that the reaper holds until it has finished; ``None`` for none.
    """
    with Popen(
        [sys.executable, "-I", "-S", __file__, str(root), _KEEP if keep_root else _REMOVE],
        stdin=PIPE,
        stdout=DEVNULL,
        stderr=DEVNULL,
        cwd="/",
        pass_fds=() if lock is None else (lock,),
        start_new_session=True,
    ) as reaper:
        try:
            yield
        finally:
            # After an orderly end there is nothing to do for it.
            reaper.kill()


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Wait for the lock on a file, which is created if it does not exist, and hold it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def kill_group(group: int) -> None:
    """Kill every process of a process group; ignore that it may not exist."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def kill_orphans(root: Path) -> None:
    """
    Kill the programs of the nodes below a directory, in whatever process group they are.

    A program is recognised by the environment it inherited or by the file its output is written to, and
    its whole session is killed with it. A program that has changed all three survives. Works on Linux only.
    """
    quiet = 0
    for _ in range(_MAX_SCANS):
        found = _find(root)
        for number in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        quiet = 0 if found else quiet + 1
        if quiet == _QUIET_SCANS:
            return
        time.sleep(_SCAN_INTERVAL)


def _find(root: Path) -> list[int]:
    sessions = {number: session for number, session in _processes() if number != os.getpid()}
    marked = {number for number in sessions if _is_of_node(os.fsencode(root), number)}
    doomed = {sessions[number] for number in marked} - {os.getsid(0)}
    return [number for number, session in sessions.items() if number in marked or session in doomed]


def _processes() -> Iterator[tuple[int, int]]:
    """Yield the process id and the session id of every live process."""
    # Plain texts and not paths: a reset of the service reads hundreds of these files, twice.
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as stat:
            state, _, _, session, *_ = stat.read().rpartition(b")")[2].split()
            if state not in (b"Z", b"X"):
                yield int(name), int(session)


def _is_of_node(root: bytes, number: int) -> bool:
    with suppress(OSError), open(f"/proc/{number}/environ", "rb") as environ:
        if b"\0AZ_BATCH_NODE_ROOT_DIR=" + root + b"/" in b"\0" + environ.read():
            return True
    for output in ("1", "2"):
        with suppress(OSError):
            target = os.fsencode(os.readlink(f"/proc/{number}/fd/{output}"))
            if target == root or target.startswith(root + b"/"):
                return True
    return False


def main(arguments: Sequence[str]) -> None:
    """
    Wait until the service has ended, in whatever way, and clean up after it.

    :param arguments: the directory of its nodes, and ``keep`` or ``remove`` for that directory.
    """
    root, fate = arguments
    # The service holds the other end of the pipe: reading ends when the service has ended.
    sys.stdin.buffer.read()
    kill_orphans(Path(root))
    if fate == _REMOVE:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
