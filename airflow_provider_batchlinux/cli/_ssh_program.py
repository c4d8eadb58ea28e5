"""The system's ssh as a child process, and the signals that end it; knows nothing of Batch."""

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

__all__ = ["Signals", "SshCall", "ending_signals", "require_ssh"]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE = 5.0
_PROGRAM = "ssh"


@dataclass(frozen=True)
class SshCall:
    """
    A call of ``ssh``.

    :param identity: the file of the key.
    :param known_hosts: the file of the host keys.
    :param is_strict: refuse a host whose key is not in that file, instead of adding it.
    :param options: the caller's own ``-o`` options, which go before ours.
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
        """The command line. For every option, ssh takes the first value that it meets."""
        ours: tuple[str, ...] = (
            "IdentitiesOnly=yes",
            "ForwardAgent=no",
            f"StrictHostKeyChecking={'yes' if self.is_strict else 'accept-new'}",
            f'UserKnownHostsFile="{self.known_hosts}"',
            "GlobalKnownHostsFile=/dev/null",
        )
        if not self.is_strict:
            # Hides the message that the key was added permanently: the file is deleted at the end.
            ours = (*ours, "LogLevel=ERROR")
        settings = [word for option in (*self.options, *ours) for word in ("-o", option)]
        place = ["-i", str(self.identity), "-p", str(self.port), "-l", self.username, "--", self.address]
        return [_PROGRAM, *settings, *place, *self.command]

    def run(self, limit: float) -> int | None:
        """
        Run it on this terminal, and give its exit status; ``None`` when the time was over first.

        :param limit: seconds after which it is ended.
        """
        with subprocess.Popen(self.arguments) as child:
            try:
                return _shell_status(child.wait(limit))
            except subprocess.TimeoutExpired:
                return None
            finally:
                _end(child)


class Signals:
    """The signals that end the command: at first they end what runs, later they are not heard."""

    def __init__(self) -> None:
        # Who was started to outlive the terminal, as by nohup, goes on doing so.
        self._before: dict[signal.Signals, Any] = {
            number: handler
            for number in _ENDING
            if (handler := signal.getsignal(number)) is not signal.SIG_IGN
        }

    def end(self, number: int, _frame: FrameType | None) -> None:
        """Leave the command by way of its ``finally``."""
        self.hold_off()
        raise SystemExit(128 + number)

    def listen(self) -> None:
        """End the command at the first signal."""
        self._set_all(self.end)

    def hold_off(self) -> None:
        """Let what comes now, the clean-up, be interrupted by none of them."""
        self._set_all(signal.SIG_IGN)

    def restore(self) -> None:
        """Leave all as it was."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _set_all(self, handler: Any) -> None:
        for number in self._before:
            signal.signal(number, handler)


@contextmanager
def ending_signals() -> Iterator[Signals]:
    """Turn Ctrl-C, a hangup and a termination into an orderly end until the block is left."""
    signals = Signals()
    signals.listen()
    try:
        yield signals
    finally:
        signals.restore()


def require_ssh() -> None:
    """
    Look for the program before anything is done.

    :raises ValueError: there is none.
    """
    if shutil.which(_PROGRAM) is None:
        msg = "There is no ssh on the PATH. Install OpenSSH's client (openssh-client, openssh-clients)."
        raise ValueError(msg)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(_GRACE)
    except subprocess.TimeoutExpired:
        child.kill()


def _shell_status(code: int) -> int:
    return code if code >= 0 else 128 - code
