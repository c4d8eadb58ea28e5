"""Print files of nodes, also while they grow."""

from __future__ import annotations

import asyncio
import codecs
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from airflow_provider_batchlinux.cli.terminal.output import at_least, say
from airflow_provider_batchlinux.core.tasks.output import LARGEST_PART
from airflow_provider_batchlinux.core.text import harmless

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.files import ServedFile

_LAST = 1_000_000
PAUSE = 1.0

_NOT_YET = frozenset(
    {
        "FileNotFound",
        "NodeBeingCreated",
        "NodeBeingRebooted",
        "NodeBeingReimaged",
        "NodeBeingStarted",
        "OperationInvalidForCurrentState",
        "TaskFilesUnavailable",
    }
)
"""The error codes for a file that its node may serve later."""


@dataclass
class PrintedFile:
    """
    A file of a node, and how much of it is printed.

    :param to: where to print it.
    :param at: how many bytes of it are printed or left out; ``None`` before the first.
    """

    name: str
    served: ServedFile
    to: TextIO
    at: int | None = None

    def __post_init__(self) -> None:
        """Begin with no part of a character."""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def show(self, content: bytes, *, raw: bool) -> None:
        """Print the next bytes, harmless unless they are asked for as they are."""
        if raw:
            self.to.flush()
            self.to.buffer.write(content)
        else:
            self.to.write(harmless(self._decoder.decode(content).replace("\r\n", "\n"), kept="\n\t"))
        self.to.flush()


def add_following(parser: ArgumentParser) -> None:
    """Add the options of a command that prints files."""
    parser.add_argument("-f", "--follow", action="store_true", help="go on until there is no more")
    parser.add_argument(
        "--last", metavar="BYTES", type=at_least(1), default=_LAST,
        help=f"begin this many bytes before the end (default: {_LAST})",
    )  # fmt: skip
    parser.add_argument(
        "--raw", action="store_true",
        help="print the bytes as they are, even if they command the terminal; default: they are escaped",
    )  # fmt: skip


async def print_files(
    options: Namespace, files: list[PrintedFile], is_over: Callable[[], Awaitable[bool]]
) -> int:
    """
    Print files, and return how many bytes that were.

    :param is_over: returns whether the files grow no more.
    :raises BatchRequestError: a file does not exist; while it is followed, that is waited for.
    """
    from airflow_provider_batchlinux.exceptions import BatchRequestError, BatchUnreachableError

    while True:
        # Asked first: what is written until then is read below.
        over = not options.follow or await is_over()
        for file in files:
            try:
                await _print_new(options, file)
            except (BatchRequestError, BatchUnreachableError) as error:
                may_come = getattr(error, "code", None) in _NOT_YET or isinstance(
                    error, BatchUnreachableError
                )
                if over or not may_come:
                    raise
        if over:
            return sum(file.at or 0 for file in files)
        await asyncio.sleep(PAUSE)


async def _print_new(options: Namespace, file: PrintedFile) -> None:
    if file.at is None:
        end = await file.served.tail(options.last)
        if end.omitted:
            say(f"[{end.omitted} bytes of {file.name} are left out; --last prints more]")
        file.show(end.content, raw=options.raw)
        file.at = end.omitted + len(end.content)
    while options.follow and (content := await file.served.part(file.at, LARGEST_PART)):
        file.show(content, raw=options.raw)
        # Noted now: a later request that fails must not print it again.
        file.at += len(content)


def files_of(
    options: Namespace,
    folder: str,
    served: Callable[[str], ServedFile],
) -> list[PrintedFile]:
    """
    Return the file that ``--file`` names; without it, the output of a command.

    :param folder: where the command writes its output, with a slash at the end.
    :param served: returns the file of a path.
    """
    if options.file is not None:
        found = {options.file: sys.stdout}
    else:
        found = {f"{folder}stdout.txt": sys.stdout, f"{folder}stderr.txt": sys.stderr}
    return [PrintedFile(path, served(path), to) for path, to in found.items()]
