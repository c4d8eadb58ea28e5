"""Finds and describes files below a directory, and nothing outside of it; knows no HTTP."""

from __future__ import annotations

import mimetypes
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from zlib import crc32

from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.local_files import walk

_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


@dataclass(frozen=True)
class FoundFile:
    """A file or directory, as it was when it was looked at."""

    name: str
    path: Path
    is_directory: bool
    size: int
    mode: int
    modified: datetime

    @property
    def is_regular(self) -> bool:
        """Whether it has content: it is no directory, FIFO, device or socket."""
        return stat.S_ISREG(self.mode)

    @property
    def content_type(self) -> str:
        """Its media type, by its name."""
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"


def find_file(root: Path, name: str, *, is_followed: bool = True) -> FoundFile:
    """
    Return a file by its name below a directory.

    :param is_followed: whether the name of a link stands for what it leads to; if not, for the link itself.
    :raises ServiceError: there is none, or it lies elsewhere.
    """
    try:
        wanted = root / name
        path = wanted.resolve() if is_followed else wanted.parent.resolve() / wanted.name
        if root.resolve() not in path.parents or path.name == "..":
            raise ServiceError(Code.FILE_NOT_FOUND)
        return _look_at(name, path)
    except (OSError, RuntimeError, ValueError):
        # Until Python 3.13, a link that leads to itself is a RuntimeError.
        raise ServiceError(Code.FILE_NOT_FOUND) from None


def list_files(root: Path, *, recursive: bool) -> Iterator[FoundFile]:
    """Return what lies in a directory, by :func:`place_in_list`; links are not followed."""
    try:
        entries = walk(root) if recursive else os.scandir(root)
        names = sorted((entry.path.removeprefix(f"{root}/") for entry in entries), key=place_in_list)
    except OSError:
        return
    for name in names:
        try:
            yield _look_at(name, root / name)
        except OSError:
            # Removed by the task since the names were read.
            continue


def place_in_list(name: str) -> tuple[tuple[int, str], ...]:
    """
    Return the place of a file in lists.

    Recorded: lists are not sorted by name, so that no client may rely on that. Here the order looks like
    none, but is always the same, since the next page begins where the last one ended.
    """
    return tuple((crc32(os.fsencode(part)), part) for part in name.split("/"))


def read_range(text: str | None, size: int) -> tuple[int, int]:
    """
    Return offset and length of what a range of bytes asks for.

    :param text: the header; ``None`` asks for the whole file.
    :raises ServiceError: it is not a range, or starts past the end.
    """
    if text is None:
        return 0, size
    match = _RANGE.fullmatch(text.strip())
    if match is None or int(match[1]) >= size:
        raise ServiceError(Code.INVALID_RANGE)
    first = int(match[1])
    last = min(int(match[2] or size - 1), size - 1)
    if last < first:
        raise ServiceError(Code.INVALID_RANGE)
    return first, last - first + 1


def _look_at(name: str, path: Path) -> FoundFile:
    facts = path.lstat()
    modified = datetime.fromtimestamp(facts.st_mtime, timezone.utc)
    return FoundFile(name, path, path.is_dir(), facts.st_size, facts.st_mode, modified)
