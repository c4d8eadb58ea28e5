"""Runs command lines as processes, each in its own process group."""

from __future__ import annotations

import asyncio
import errno
import os
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_batchlinux.emulator.protocol.local_files import replace_for_writing
from airflow_provider_batchlinux.emulator.state.reaper import kill_group

_LONGEST_LINE = 128 * 1024
"""What Linux takes for one argument, as a shell gets one."""

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


@asynccontextmanager
async def held_program(command: Command) -> AsyncIterator[Outcome]:
    """
    Run a command to its end, without a shell. Its background processes run until the block is left.

    Then, also by cancellation, its whole process group is killed.
    """
    try:
        process = await _start(command)
    except (FileNotFoundError, PermissionError, ValueError, OSError) as error:
        yield _not_started(error)
        return
    try:
        yield await _outcome(process, command.timeout)
    finally:
        kill_group(process.pid)
        await process.wait()


async def _outcome(process: asyncio.subprocess.Process, timeout: float | None) -> Outcome:
    try:
        return _exited(await asyncio.wait_for(process.wait(), timeout))
    except asyncio.TimeoutError:
        return timed_out_program()


async def _start(command: Command) -> asyncio.subprocess.Process:
    if len(command.line) >= _LONGEST_LINE:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
    program, *arguments = await split_words(command.line)
    # An earlier try of the task may have put something else where its output goes.
    with (
        replace_for_writing(command.stdout, is_continued=command.is_continued) as stdout,
        replace_for_writing(command.stderr, is_continued=command.is_continued) as stderr,
    ):
        return await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=command.directory,
            env=dict(command.environment),
            start_new_session=True,
        )


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
