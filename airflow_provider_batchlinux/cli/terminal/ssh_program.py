"""Run the system's ssh as a child process, and handle the signals that end it."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Seconds for ssh to restore the terminal before it is killed.
_GRACE = 5.0
_PROGRAM = "ssh"


@dataclass(frozen=True)
class SshCall:
    """
    A call of ``ssh``.

    :param identity: the file of the key.
    :param known_hosts: the file of the host keys.
    :param is_strict: refuse a host whose key is not in that file, instead of adding it.
    :param options: the user's ``-o`` options, which take precedence over ours.
    :param command: what to run; empty for a shell.
    """

    username: str
    address: str
    port: int
    identity: Path
    known_hosts: Path
    is_strict: bool
    options: Sequence[str] = ()
    command: Sequence[str] = ()

    @property
    def arguments(self) -> list[str]:
        """The command line. For every option, ssh uses the first value."""
        ours: tuple[str, ...] = (
            "IdentitiesOnly=yes",
            "ForwardAgent=no",
            f"StrictHostKeyChecking={'yes' if self.is_strict else 'accept-new'}",
            f'UserKnownHostsFile="{self.known_hosts}"',
            "GlobalKnownHostsFile=/dev/null",
        )
        if not self.is_strict:
            # The added host key is forgotten at the end, so ssh need not announce it as permanent.
            ours = (*ours, "LogLevel=ERROR")
        settings = [word for option in (*self.options, *ours) for word in ("-o", option)]
        place = ["-i", str(self.identity), "-p", str(self.port), "-l", self.username, "--", self.address]
        return [_PROGRAM, *settings, *place, *self.command]

    def run(self, limit: float) -> int | None:
        """
        Run it on this terminal, and return its exit status; ``None`` if the time limit was reached.

        :param limit: seconds after which it is ended.
        """
        with subprocess.Popen(self.arguments) as child:
            try:
                code = child.wait(limit)
                # A shell shows the end by signal N as status 128 + N.
                return code if code >= 0 else 128 - code
            except subprocess.TimeoutExpired:
                return None
            finally:
                _end(child)


class Signals:
    """The signals that end the command: first they end the login, later they are ignored."""

    def __init__(self) -> None:
        # A signal that is already ignored, as SIGHUP with nohup, stays ignored.
        self._before: dict[signal.Signals, Any] = {
            number: handler
            for number in _ENDING
            if (handler := signal.getsignal(number)) is not signal.SIG_IGN
        }

    def end(self, number: int, _frame: FrameType | None) -> None:
        """End the command through its ``finally`` block."""
        self.hold_off()
        raise SystemExit(128 + number)

    def listen(self) -> None:
        """End the command at the first signal."""
        self._set_all(self.end)

    def hold_off(self) -> None:
        """Ignore the signals, so that they do not interrupt the clean-up."""
        self._set_all(signal.SIG_IGN)

    def restore(self) -> None:
        """Restore the previous handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _set_all(self, handler: Any) -> None:
        for number in self._before:
            signal.signal(number, handler)


@contextmanager
def ending_signals() -> Iterator[Signals]:
    """End the command in an orderly way on Ctrl-C, hangup and termination, until the block ends."""
    signals = Signals()
    signals.listen()
    try:
        yield signals
    finally:
        signals.restore()


def require_ssh() -> None:
    """
    Check that ssh is installed, before anything else is done.

    :raises ValueError: ``ssh`` is not installed.
    """
    if shutil.which(_PROGRAM) is None:
        msg = (
            "ssh is not on the PATH. Install the OpenSSH client (package openssh-client or openssh-clients)."
        )
        raise ValueError(msg)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(_GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
