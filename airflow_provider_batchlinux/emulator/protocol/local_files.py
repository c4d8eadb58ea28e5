"""Open, send and remove files in directories that tasks write to; nothing here waits for a FIFO or device."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from aiohttp import web

LONGEST_PATH = 4096
"""What Linux takes for a path."""

_CHUNK = 256 * 1024
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A FIFO is opened without waiting for its other end, and a link is not opened."""


def open_for_reading(path: Path) -> BinaryIO:
    """
    Open a regular file.

    :raises OSError: it is something else, such as a FIFO, a device or a link, or it cannot be read.
    """
    # Looked at before, too: to open a device may do something.
    _check_regular(path, path.lstat())
    return _opened(path, os.O_RDONLY, "rb")


def open_for_writing(path: Path, *, is_continued: bool = False) -> BinaryIO:
    """
    Open a regular file to write it from its beginning; it is created unless it exists.

    :param is_continued: writes after what it has.
    :raises OSError: it is something else, or it cannot be written.
    """
    with suppress(FileNotFoundError):
        _check_regular(path, path.lstat())
    place = os.O_APPEND if is_continued else os.O_TRUNC
    return _opened(path, os.O_WRONLY | os.O_CREAT | place, "wb")


def replace_for_writing(path: Path) -> BinaryIO:
    """Open a file of the service itself for writing; remove what a task has put in its place."""
    with suppress(FileNotFoundError):
        if stat.S_IFMT(path.lstat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            path.unlink()
    return open_for_writing(path)


def make_directory(path: Path) -> None:
    """Make a directory with its parents, unless it exists; remove what a task has put in place of one."""
    if os.path.isdir(path):
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        for place in (*reversed(path.parents), path):
            if os.path.lexists(place) and not place.is_dir():
                place.unlink()
        path.mkdir(parents=True, exist_ok=True)


def walk(directory: Path) -> Iterator[os.DirEntry[str]]:
    """
    Return everything below a directory: what lies in it by name, then what lies in its directories.

    Links are not followed. There is no recursion, as in ``os.walk`` until Python 3.12: a task may make more
    levels than Python has frames.
    """
    left = [os.fspath(directory)]
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            # Removed by the task in the meantime, or too deep for a path.
            continue
        yield from found
        left += [entry.path for entry in reversed(found) if entry.is_dir(follow_symlinks=False)]


def remove_tree(directory: Path) -> None:
    """Remove a directory with all that is in it, as far as that is possible."""
    try:
        shutil.rmtree(directory, ignore_errors=True)
    except RecursionError:
        # A task made more levels than Python has frames: each is brought up before it is removed.
        _flatten(directory)
        shutil.rmtree(directory, ignore_errors=True)


def _flatten(directory: Path) -> None:
    with suppress(OSError):
        names = [entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
        while names:
            for entry in list(os.scandir(inner := names.pop())):
                if entry.is_dir(follow_symlinks=False):
                    names.append(os.path.join(directory, uuid4().hex))
                    os.rename(entry.path, names[-1])
                else:
                    os.unlink(entry.path)
            os.rmdir(inner)


async def read_stretch(source: BinaryIO, offset: int, length: int) -> AsyncIterator[bytes]:
    """
    Return a stretch of an open file, piece by piece.

    The length is that of the file when it was looked at: a file that grows all the time has no end.

    :raises OSError: the file has become shorter.
    """
    await asyncio.to_thread(source.seek, offset)
    left = length
    while left:
        chunk = await asyncio.to_thread(source.read, min(left, _CHUNK))
        if not chunk:
            raise OSError(errno.EIO, "The file became shorter while it was read.", source.name)
        left -= len(chunk)
        yield chunk


async def send_stretch(
    request: web.BaseRequest, response: web.StreamResponse, source: BinaryIO, offset: int, length: int
) -> web.StreamResponse:
    """Send a stretch of an open file as the body of a response, and close the file; HEAD gets its length."""
    with source:
        response.content_length = length
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        try:
            async for chunk in read_stretch(source, offset, length):
                await response.write(chunk)
        except OSError:
            # The client was told the length, so that only a lost connection can say that less comes.
            if request.transport is not None:
                request.transport.abort()
    return response


def _opened(path: Path, flags: int, mode: str) -> BinaryIO:
    descriptor = os.open(path, flags | _FLAGS, 0o666)
    try:
        _check_regular(path, os.fstat(descriptor))
        return os.fdopen(descriptor, mode)  # type: ignore[return-value]
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(path: Path, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "This is no regular file", os.fspath(path))
