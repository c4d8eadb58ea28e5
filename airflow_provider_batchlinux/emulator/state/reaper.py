"""
Starts the programs of nodes, and kills those that outlive their service.

A service runs this file in a separate process, the reaper. To start a program stops a process for as long as
the system takes, so the service has it done here and answers its clients meanwhile. When the service has
ended, in whatever way, the reaper kills what is left. It imports only the standard library, since it runs
when nothing else of the service is left.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

_KEEP = "keep"
_REMOVE = "remove"
_MAX_SCANS = 100
_QUIET_SCANS = 2
"""A program that is just being started shows neither environment nor output for a moment."""

_SCAN_INTERVAL = 0.01
_REAPERS: set[int] = set()
"""Those of this process. They are spared: a program that is just being started is in their session."""

_CHUNK = 256 * 1024
_OUTPUT_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A FIFO is opened without waiting for its other end, and a link is not opened."""


class Reaper:
    """
    The process that starts the programs of nodes, and kills those that outlive this process.

    :param root: directory of the nodes.
    :param keep_root: whether it keeps the directory at the end.
    :param lock: descriptor of a lock that it holds until it has finished; ``None`` for none.
    """

    def __init__(self, root: Path, *, keep_root: bool, lock: int | None = None) -> None:
        self._arguments = [str(root), _KEEP if keep_root else _REMOVE]
        self._passed = () if lock is None else (lock,)
        self._start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def restart(self) -> None:
        """Start the process again, after it has ended or been killed from outside."""
        self.kill()
        self._start()

    def kill(self) -> None:
        """End the process. It cleans up nothing then."""
        self.socket.close()
        self._process.kill()
        self._process.wait()
        _REAPERS.discard(self._process.pid)

    def _start(self) -> None:
        self.socket, theirs = socket.socketpair()
        """Where it is asked to start programs: a line of JSON for each, see :func:`main`."""
        with closing(theirs):
            self._process = Popen(
                [sys.executable, "-I", "-S", __file__, *self._arguments],
                stdin=theirs.fileno(),
                stdout=DEVNULL,
                stderr=DEVNULL,
                cwd="/",
                pass_fds=self._passed,
                start_new_session=True,
            )
        _REAPERS.add(self._process.pid)


@contextmanager
def reaping(root: Path, *, keep_root: bool, lock: int | None = None) -> Iterator[Reaper]:
    """
    Run a reaper for a directory, so that no program of its nodes outlives this process, even if it is killed.

    :param keep_root: as for :class:`Reaper`; ``lock`` likewise.
    """
    reaper = Reaper(root, keep_root=keep_root, lock=lock)
    try:
        yield reaper
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


def kill_orphans(*roots: Path) -> None:
    """
    Kill the programs of the nodes below some directories, in whatever process group they are.

    A program is recognised by the environment it inherited or by the file its output is written to, and
    its whole session is killed with it. A program that has changed all three survives. Works on Linux only.

    :param roots: the directories, or files for output.
    """
    quiet = 0
    for _ in range(_MAX_SCANS):
        found = _find([os.fsencode(root) for root in roots])
        for number in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        quiet = 0 if found else quiet + 1
        if quiet == _QUIET_SCANS:
            return
        time.sleep(_SCAN_INTERVAL)


def _find(roots: Sequence[bytes]) -> list[int]:
    spared = {os.getpid(), *_REAPERS}
    sessions = {number: session for number, session in _processes() if number not in spared}
    marked = {number for number in sessions if any(_is_of_node(root, number) for root in roots)}
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
    Start programs until the service has ended, in whatever way, and clean up after it.

    The service sends a line for each program: ``id`` and what :func:`_start` takes. It gets one with the
    ``pid``, or with ``errno`` and the other arguments of an ``OSError``, and at the end of the program one
    with its exit ``code``.

    :param arguments: the directory of its nodes, and ``keep`` or ``remove`` for that directory.
    """
    root, fate = arguments
    with suppress(ConnectionError):
        _serve(socket.socket(fileno=sys.stdin.fileno()))
    kill_orphans(Path(root))
    if fate == _REMOVE:
        shutil.rmtree(root, ignore_errors=True)


def _serve(service: socket.socket) -> None:
    ended, wakes = os.pipe()
    for descriptor in (ended, wakes):
        os.set_blocking(descriptor, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    running: dict[int, tuple[str, Popen[bytes]]] = {}
    buffer = b""
    while True:
        ready, _, _ = select.select([service.fileno(), ended], [], [])
        if ended in ready:
            with suppress(BlockingIOError):
                os.read(ended, _CHUNK)
        _report_ended(service, running)
        if service.fileno() not in ready:
            continue
        chunk = service.recv(_CHUNK)
        if not chunk:
            return
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            wanted = json.loads(line)
            try:
                program = _start(wanted)
            except OSError as error:
                answer = {"errno": error.errno, "text": error.strerror, "file": error.filename}
            except ValueError as error:
                answer = {"errno": errno.EINVAL, "text": str(error), "file": None}
            else:
                running[program.pid] = (wanted["id"], program)
                answer = {"pid": program.pid}
            _tell(service, {"id": wanted["id"], **answer})
            _report_ended(service, running)


def _start(wanted: Mapping[str, Any]) -> Popen[bytes]:
    """
    Start a program without a shell, in a session of its own.

    :param wanted: its ``words``, ``directory``, ``environment``, files for ``stdout`` and ``stderr``, and
        whether it ``appends`` to them.
    """
    with ExitStack() as opened:
        outputs = [_open_output(wanted[name], appends=wanted["appends"]) for name in ("stdout", "stderr")]
        for output in outputs:
            opened.callback(os.close, output)
        return Popen(
            wanted["words"],
            stdin=DEVNULL,
            stdout=outputs[0],
            stderr=outputs[1],
            cwd=wanted["directory"],
            env=wanted["environment"],
            start_new_session=True,
        )


def _open_output(path: str, *, appends: bool) -> int:
    """Open a regular file of the service itself; remove what an earlier try has put in its place."""
    with suppress(FileNotFoundError):
        if stat.S_IFMT(os.lstat(path).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            os.unlink(path)
    descriptor = os.open(path, _OUTPUT_FLAGS | (os.O_APPEND if appends else os.O_TRUNC), 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "This is no regular file", path)
    return descriptor


def _report_ended(service: socket.socket, running: dict[int, tuple[str, Popen[bytes]]]) -> None:
    while running:
        number, status = os.waitpid(-1, os.WNOHANG)
        if not number:
            return
        name, program = running.pop(number)
        program.returncode = os.waitstatus_to_exitcode(status)
        _tell(service, {"id": name, "code": program.returncode})


def _tell(service: socket.socket, message: Mapping[str, Any]) -> None:
    service.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
