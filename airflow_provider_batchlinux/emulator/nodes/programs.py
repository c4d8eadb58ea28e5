"""Runs command lines as processes, each in its own process group."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shlex
import signal
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from airflow_provider_batchlinux.emulator.simulation.background import Background, expect_error
from airflow_provider_batchlinux.emulator.simulation.clock import MOST_CALLS
from airflow_provider_batchlinux.emulator.state.reaper import Reaper, kill_group, kill_orphans

_LONGEST_LINE = 128 * 1024
"""What Linux takes for one argument, as a shell gets one."""

_MAX_REAPERS = 3
"""How many reapers are asked to start a program, if something kills them."""

_LONG_LINE = 4096
"""A line that is so long is split in a thread: the time for that grows with the square of a word."""


@dataclass(frozen=True)
class Command:
    """
    A command line, and where and how it runs.

    :param stdout: file for its output; ``stderr`` likewise.
    :param is_continued: whether output is appended to these files.
    """

    line: str
    directory: Path
    environment: Mapping[str, str]
    stdout: Path
    stderr: Path
    timeout: float | None = None
    is_continued: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a program ended. ``failure`` is the ``failureInfo`` of the service."""

    exit_code: int | None = None
    failure: Mapping[str, Any] | None = None

    @property
    def is_success(self) -> bool:
        """Whether it exited with 0."""
        return self.failure is None

    @property
    def is_retried(self) -> bool:
        """Whether it is retried: it has exited with a code other than 0."""
        return self.exit_code not in (None, 0)

    def facts(self, ended: str) -> dict[str, Any]:
        """
        Return the execution information of a program that has ended.

        :param ended: time of its end, in the format of the service.
        """
        facts = {
            "endTime": ended,
            "exitCode": self.exit_code,
            "result": "success" if self.is_success else "failure",
            "failureInfo": self.failure,
        }
        return {name: value for name, value in facts.items() if value is not None}


@dataclass
class _Program:
    """
    A program that the reaper starts.

    :param started: its process id. Like ``ended``, it is never cancelled: it is awaited behind a shield.
    :param ended: its exit code.
    :param stdout: file for its output.
    :param is_unwanted: whether it is to be killed as soon as it has started.
    """

    started: asyncio.Future[int]
    ended: asyncio.Future[int]
    stdout: Path
    is_unwanted: bool = False


class _ReaperLostError(OSError):
    """The reaper has ended before it said whether a program has started. None is running."""


class ProgramStarter(asyncio.Protocol):
    """Has programs started by the reaper of the service, which is started again if it is killed."""

    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper
        self._is_closed = False
        self._losses = Background()
        self._transport: asyncio.Task[tuple[asyncio.Transport, ProgramStarter]] | None = None
        self._programs: dict[int, _Program] = {}
        self._numbers = count()
        self._buffer = b""
        self._told: deque[bytes] = deque()

    @asynccontextmanager
    async def held(self, command: Command) -> AsyncIterator[Outcome]:
        """
        Run a command to its end, without a shell. Its background processes run until the block is left.

        Then, also by cancellation, its whole process group is killed.
        """
        try:
            program = await self._start(command)
        except (ValueError, OSError) as error:
            yield _not_started(error)
            return
        try:
            yield await _outcome(program, command.timeout)
        finally:
            await _end(program)

    def close(self) -> None:
        """Let go of the reaper; no program is running any more."""
        self._is_closed = True
        if self._transport is not None and self._transport.done():
            self._transport.result()[0].abort()

    async def _start(self, command: Command) -> _Program:
        if len(command.line) >= _LONGEST_LINE:
            raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
        words = await split_words(command.line)
        if not words:
            msg = "The command line is empty."
            raise ValueError(msg)
        for _ in range(_MAX_REAPERS - 1):
            with suppress(_ReaperLostError):
                return await self._ask(command, words)
        return await self._ask(command, words)

    async def _ask(self, command: Command, words: list[str]) -> _Program:
        """Have the reaper start a program; raise an error if it does not start."""
        if self._is_closed:
            raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
        loop = asyncio.get_running_loop()
        if self._transport is None:
            accepted = loop.connect_accepted_socket(lambda: self, self._reaper.socket)
            self._transport = loop.create_task(accepted)
            expect_error(self._transport)
        transport, _ = await asyncio.shield(self._transport)
        number = next(self._numbers)
        program = _Program(loop.create_future(), loop.create_future(), command.stdout)
        # A program may be stopped twice before it has started, such as with its task and then with its node,
        # whose directory it no longer finds.
        expect_error(program.started)
        self._programs[number] = program
        wanted = {
            "id": number,
            "words": words,
            "directory": str(command.directory),
            "environment": dict(command.environment),
            "stdout": str(command.stdout),
            "stderr": str(command.stderr),
            "appends": command.is_continued,
        }
        transport.write(json.dumps(wanted).encode() + b"\n")
        try:
            await asyncio.shield(program.started)
        except asyncio.CancelledError:
            # It is being started nevertheless.
            program.is_unwanted = True
            with suppress(OSError):
                await asyncio.shield(program.started)
                await _end(program)
            raise
        return program

    def data_received(self, data: bytes) -> None:
        """Read what the reaper tells."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if lines and not self._told:
            asyncio.get_running_loop().call_soon(self._take_turn)
        self._told.extend(lines)

    def _take_turn(self) -> None:
        """Hear of some programs. Thousands may end together, and the task of each goes on after this."""
        for _ in range(min(len(self._told), MOST_CALLS)):
            told = json.loads(self._told.popleft())
            program = self._programs.get(told["id"])
            if program is None:
                continue
            if "pid" in told:
                program.started.set_result(told["pid"])
                if program.is_unwanted:
                    kill_group(told["pid"])
                continue
            del self._programs[told["id"]]
            if "code" in told:
                program.ended.set_result(told["code"])
            else:
                program.started.set_exception(OSError(told["errno"], told["text"], told["file"]))
        if self._told:
            asyncio.get_running_loop().call_soon(self._take_turn)

    def connection_lost(self, _error: Exception | None) -> None:
        """End all programs: nothing follows them any more. Start the reaper again if it was killed."""
        while self._told:
            self._take_turn()
        pending = [program for program in self._programs.values() if not program.started.done()]
        for program in self._programs.values():
            if program not in pending and not program.ended.done():
                kill_group(program.started.result())
                program.ended.set_result(-signal.SIGKILL)
        self._programs.clear()
        self._buffer = b""
        self._transport = None
        if pending:
            self._losses.start(_give_up(pending))
        if not self._is_closed:
            self._reaper.restart()


async def _give_up(programs: Sequence[_Program]) -> None:
    """Raise an error where the start of programs is awaited, after those that did start are killed."""
    await asyncio.to_thread(kill_orphans, *(program.stdout for program in programs))
    for program in programs:
        program.started.set_exception(_ReaperLostError(errno.EPIPE, os.strerror(errno.EPIPE)))


async def _outcome(program: _Program, timeout: float | None) -> Outcome:
    # Not wait_for(): before Python 3.12, it returns the result where it is cancelled just after the end, and
    # the stopped task would go on.
    await asyncio.wait([program.ended], timeout=timeout)
    return _exited(program.ended.result()) if program.ended.done() else timed_out_program()


async def _end(program: _Program) -> None:
    """Kill the process group of a program, and wait for its end."""
    kill_group(program.started.result())
    await asyncio.shield(program.ended)


async def split_words(line: str) -> list[str]:
    """
    Return the words of a command line.

    :raises ValueError: a quotation or an escape does not end.
    """
    return shlex.split(line) if len(line) < _LONG_LINE else await asyncio.to_thread(shlex.split, line)


def _exited(exit_code: int) -> Outcome:
    if exit_code == 0:
        return Outcome(0)
    # Like Linux shells, the node agent reports the end by signal N as 128 + N.
    return failed_program(exit_code if exit_code > 0 else 128 - exit_code)


def failed_program(exit_code: int) -> Outcome:
    """Return the outcome of a program that exited with a code other than 0."""
    sentence = "The task exited with an exit code representing a failure"
    return Outcome(exit_code, user_error("FailureExitCode", sentence, {"Message": sentence}))


def _not_started(error: Exception) -> Outcome:
    details = {"Message": str(error)}
    if isinstance(error, FileNotFoundError):
        sentence = "The specified command program is not found"
        return Outcome(failure=user_error("CommandProgramNotFound", sentence, details))
    # The code of the service for programs that cannot be executed is not known. Assumed.
    sentence = "The specified command program could not be started"
    return Outcome(failure=user_error("CommandLaunchFailed", sentence, details))


def timed_out_program() -> Outcome:
    """
    Return the outcome of a program that exceeded its wall-clock limit.

    Code and category are documented. The exit code on Linux is not; none is set, so there is no retry.
    """
    failure = user_error("TaskEnded", "The task exceeded its maximum wall-clock time and was ended", {})
    return Outcome(failure={**failure, "category": "servererror"})


def user_error(code: str, message: str, details: Mapping[str, str]) -> dict[str, Any]:
    """Return a ``failureInfo`` of the category user error; recorded: it has no empty list of details."""
    pairs = [{"name": name, "value": value} for name, value in details.items()]
    failure = {"category": "usererror", "code": code, "message": message}
    return {**failure, "details": pairs} if pairs else failure
