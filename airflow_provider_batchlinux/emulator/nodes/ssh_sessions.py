"""SSH sessions on a node: commands, a shell, and files over SFTP and SCP."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

import asyncssh

from airflow_provider_batchlinux.emulator.nodes.machine import Machine
from airflow_provider_batchlinux.emulator.protocol.local_files import make_directory
from airflow_provider_batchlinux.emulator.state.reaper import kill_group

_CHUNK = 64 * 1024
_SHELL = "/bin/sh"

Session = asyncssh.SSHServerProcess[bytes]
Writer = asyncssh.SSHWriter[bytes]


def run_session(machine: Machine, session: Session) -> None:
    """Run the command of a session, or a shell if it has no command."""
    machine.keep_running(f"ssh session {id(session)}", _run(machine, session))


def make_home(machine: Machine, name: str) -> Path:
    """Create the home directory of a user on a node, and return it."""
    home = machine.root / "home" / name.replace(os.sep, "_")
    make_directory(home)
    return home


class NodeFiles(asyncssh.SFTPServer):
    """
    The files of a node for SFTP and SCP.

    Relative paths start at the user's home. Absolute paths are those of this machine, and only paths in the
    node's directory are accessible.
    """

    def __init__(self, machine: Machine, channel: asyncssh.SSHServerChannel[bytes]) -> None:
        super().__init__(channel)
        self._root = os.fsencode(os.path.realpath(machine.root))
        name = channel.get_connection().get_extra_info("username")
        self._home = os.fsencode(os.path.realpath(make_home(machine, name)))

    def map_path(self, path: bytes) -> bytes:
        """
        Return the path on this machine.

        :raises asyncssh.SFTPPermissionDenied: the path is outside the node's directory.
        """
        mapped = os.path.normpath(os.path.join(self._home, path))
        real = os.path.realpath(mapped)
        if os.path.commonpath((real, self._root)) != self._root:
            reason = "The path is outside the node's directory."
            raise asyncssh.SFTPPermissionDenied(reason)
        return mapped

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        """Open a file for old clients; see :meth:`open56`."""
        self._check_regular(path)
        return super().open(path, pflags, attrs)

    def open56(self, path: bytes, desired_access: int, flags: int, attrs: asyncssh.SFTPAttrs) -> object:
        """
        Open a file.

        :raises asyncssh.SFTPFailure: it is a FIFO, a device or a socket: to open it may wait for ever.
        """
        self._check_regular(path)
        return super().open56(path, desired_access, flags, attrs)

    def _check_regular(self, path: bytes) -> None:
        with suppress(OSError):
            mode = os.stat(self.map_path(path)).st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                reason = "This is no regular file."
                raise asyncssh.SFTPFailure(reason)

    def exit(self) -> None:
        """Send exit status 0: without a status, scp of OpenSSH reports a failure."""
        self.channel.exit(0)


async def _run(machine: Machine, session: Session) -> None:
    machine.make_directories()
    arguments = (_SHELL,) if session.command is None else (_SHELL, "-c", session.command)
    name = session.get_extra_info("username")
    home = make_home(machine, name)
    program = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=home,
        env=_environment(machine, session, name, home),
        start_new_session=True,
    )
    try:
        await _converse(session, program)
    finally:
        kill_group(program.pid)
        await program.wait()


def _environment(machine: Machine, session: Session, name: str, home: Path) -> Mapping[str, str]:
    sent = {key: value for key, value in session.env.items() if key.startswith("LC_")}
    return {
        **sent,
        **machine.environment(),
        "HOME": str(home),
        "USER": name,
        "LOGNAME": name,
        "SHELL": _SHELL,
    }


async def _converse(session: Session, program: asyncio.subprocess.Process) -> None:
    """
    Copy data in both directions until the program ends or the client disconnects.

    asyncssh can redirect a session to a subprocess, but then nothing keeps the handler alive, and the exit
    status is sometimes lost.
    """
    feeding = asyncio.ensure_future(_copy_input(session, program))
    output = asyncio.ensure_future(_copy_output(session, program))
    gone = asyncio.ensure_future(session.channel.wait_closed())
    try:
        await asyncio.wait((output, gone), return_when=asyncio.FIRST_COMPLETED)
        if output.done():
            status = output.result()
            session.exit(status if status >= 0 else 128 - status)
    finally:
        for work in (feeding, output, gone):
            work.cancel()
        await asyncio.gather(feeding, output, gone, return_exceptions=True)


async def _copy_output(session: Session, program: asyncio.subprocess.Process) -> int:
    stdout, stderr = program.stdout, program.stderr
    await asyncio.gather(
        _pump(cast(asyncio.StreamReader, stdout), session.stdout),
        _pump(cast(asyncio.StreamReader, stderr), session.stderr),
    )
    return await program.wait()


async def _pump(source: asyncio.StreamReader, sink: Writer) -> None:
    with suppress(OSError, asyncssh.Error):
        while chunk := await source.read(_CHUNK):
            sink.write(chunk)
            await sink.drain()


async def _copy_input(session: Session, program: asyncio.subprocess.Process) -> None:
    stdin = cast(asyncio.StreamWriter, program.stdin)
    with suppress(OSError, asyncssh.Error):
        while chunk := await _read(session):
            stdin.write(chunk)
            await stdin.drain()
    stdin.close()


async def _read(session: Session) -> bytes:
    while True:
        try:
            return await session.stdin.read(_CHUNK)
        except asyncssh.TerminalSizeChanged:
            continue
        except (asyncssh.BreakReceived, asyncssh.SignalReceived):
            return b""
