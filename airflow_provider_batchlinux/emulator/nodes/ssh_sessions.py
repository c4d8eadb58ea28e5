"""What a user does after logging in to a node: commands, a shell, files; knows no users."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

import asyncssh

from airflow_provider_batchlinux.emulator.nodes.machine import Machine
from airflow_provider_batchlinux.emulator.state.reaper import kill_group

_CHUNK = 64 * 1024
_SHELL = "/bin/sh"

Session = asyncssh.SSHServerProcess[bytes]
Writer = asyncssh.SSHWriter[bytes]


def run_session(machine: Machine, session: Session) -> None:
    """Run the command of a session, or a shell if it names none, on the node."""
    machine.keep_running(f"ssh session {id(session)}", _run(machine, session))


def make_home(machine: Machine, name: str) -> Path:
    """Return the home of a user on a node, made if it is not there."""
    home = machine.root / "home" / name.replace(os.sep, "_")
    home.mkdir(parents=True, exist_ok=True)
    return home


class NodeFiles(asyncssh.SFTPServer):
    """
    The node's files for sftp and scp.

    Relative paths start at the user's home, absolute ones are those that programs on the node see;
    outside of the node's directory there is nothing.
    """

    def __init__(self, machine: Machine, channel: asyncssh.SSHServerChannel[bytes]) -> None:
        super().__init__(channel)
        self._root = os.fsencode(os.path.realpath(machine.root))
        name = channel.get_connection().get_extra_info("username")
        self._home = os.fsencode(os.path.realpath(make_home(machine, name)))

    def map_path(self, path: bytes) -> bytes:
        """
        Return where a path leads.

        :raises asyncssh.SFTPPermissionDenied: it leads out of the node's directory.
        """
        mapped = os.path.normpath(os.path.join(self._home, path))
        real = os.path.realpath(mapped)
        if os.path.commonpath((real, self._root)) != self._root:
            reason = "The path leads out of the node's directory."
            raise asyncssh.SFTPPermissionDenied(reason)
        return mapped

    def exit(self) -> None:
        """Tell the client that all went well: without a status, scp of OpenSSH reports failure."""
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
    Carry bytes both ways until the program has ended or the client has gone.

    The bytes are carried by hand: redirecting a session to a subprocess now and then loses the
    exit status, since nothing keeps the handler alive.
    """
    feeding = asyncio.ensure_future(_feed(session, program))
    talking = asyncio.ensure_future(_talk(session, program))
    gone = asyncio.ensure_future(session.channel.wait_closed())
    try:
        await asyncio.wait((talking, gone), return_when=asyncio.FIRST_COMPLETED)
        if talking.done():
            status = talking.result()
            session.exit(status if status >= 0 else 128 - status)
    finally:
        for work in (feeding, talking, gone):
            work.cancel()
        await asyncio.gather(feeding, talking, gone, return_exceptions=True)


async def _talk(session: Session, program: asyncio.subprocess.Process) -> int:
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


async def _feed(session: Session, program: asyncio.subprocess.Process) -> None:
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
