"""Uploads the output files of tasks."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import aiohttp

from airflow_provider_batchlinux.emulator.blobs.failures import Failure, StorageFailed, without_signature
from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.nodes.logs import blob_url
from airflow_provider_batchlinux.emulator.nodes.programs import Outcome
from airflow_provider_batchlinux.emulator.protocol.local_files import (
    LONGEST_PATH,
    open_for_reading,
    read_stretch,
    replace_for_writing,
    walk,
)

_TIMEOUT = aiohttp.ClientTimeout(total=300)
_DENIED = frozenset({401, 403, 409})
_HEADERS = {
    "x-ms-blob-type": "BlockBlob",
    "x-ms-version": "2021-12-02",
    "content-type": "application/octet-stream",
}


@dataclass(frozen=True)
class Outputs:
    """
    The output files of a task.

    :param root: root directory of its node. A file that a pattern names outside fails; a link to one that
        wildcards find is skipped.
    :param directory: directory of the task, which contains its working directory.
    :param environment: variables for its patterns.
    """

    files: Sequence[Mapping[str, Any]]
    root: Path
    directory: Path
    environment: Mapping[str, str]

    def due(self, outcome: Outcome) -> list[Mapping[str, Any]]:
        """Return the files that are uploaded after an outcome."""
        condition = "TaskSuccess" if outcome.is_success else "TaskFailure"
        wanted = {condition, "TaskCompletion"}
        return [file for file in self.files if file["uploadOptions"]["uploadCondition"] in wanted]


async def upload_output_files(outputs: Outputs, outcome: Outcome, storage: BlobStorage) -> Outcome:
    """
    Upload the output files of a task, and return its outcome after that.

    Assumed, since nothing is documented:

    - An upload failure replaces the failure of the task, and other files are still uploaded.
    - A pattern without matches is not a failure.

    :param storage: the blob store, which accepts the managed identity of nodes.
    """
    due = outputs.due(outcome)
    if not due:
        return outcome
    with _Journal(outputs.directory) as journal:
        connector = aiohttp.TCPConnector(ssl=storage.trust)
        async with aiohttp.ClientSession(timeout=_TIMEOUT, connector=connector) as session:
            uploads = [_Upload(session, storage, outputs, journal, file) for file in due]
            failed = [error for upload in uploads for error in await upload.run()]
    return replace(outcome, failure=failed[0].info) if failed else outcome


class _Journal:
    """The two log files of uploads in a task's directory. Their exact format is not known."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files = ExitStack()

    def __enter__(self) -> _Journal:
        self._out, self._err = (self._open(name) for name in ("fileuploadout.txt", "fileuploaderr.txt"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def log(self, line: str) -> None:
        """Log a step."""
        self._out.write(f"{line}\n")
        self._out.flush()

    def log_failure(self, error: StorageFailed, pattern: str, file: Path, destination: str) -> None:
        """Log a failed upload."""
        facts = {
            "code": error.failure.code,
            "user_error": error.failure.category == "usererror",
            "pattern": pattern,
            "file": str(file),
            "destination": without_signature(destination),
        }
        self._err.write(f"{json.dumps(facts)}\n")

    def _open(self, name: str) -> TextIO:
        file = TextIOWrapper(replace_for_writing(self._directory / name), encoding="utf-8")
        return self._files.enter_context(file)


@dataclass
class _Upload:
    """The upload of one entry of the task's output files."""

    session: aiohttp.ClientSession
    storage: BlobStorage
    outputs: Outputs
    journal: _Journal
    file: Mapping[str, Any]
    pattern: FilePattern = field(init=False)
    container: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        text = expand_variables(self.file["filePattern"], self.outputs.environment)
        self.pattern = FilePattern(text)
        self.container = self.file["destination"]["container"]

    async def run(self) -> list[StorageFailed]:
        """Upload the matching files, and return the failures."""
        self.journal.log(f"Uploading all files matching pattern {self.pattern.text}")
        failed: list[StorageFailed] = []
        # A list: files that appear during the uploads are not included.
        for path, name in await asyncio.to_thread(list, self._matches()):
            try:
                await self._put(path, name)
                self.journal.log(f"Uploaded {path} as {name}")
            except StorageFailed as error:
                self.journal.log_failure(
                    error, self.file["filePattern"], path, self.container["containerUrl"]
                )
                failed.append(error)
        return failed

    def _matches(self) -> Iterator[tuple[Path, str]]:
        """Yield the matching files on the node, each with the name of its blob."""
        working = self.outputs.directory / "wd"
        if len(self.pattern.text) >= LONGEST_PATH:
            self.journal.log("Skipped it: no path on the node is so long")
            return
        base, path = self.pattern.base(working), self.container.get("path", "").strip("/")
        if not _is_below(base, self.outputs.root):
            yield base, path
            return
        for found in self.pattern.files(working):
            if self.pattern.has_wildcards and not _is_below(found, self.outputs.root):
                self.journal.log(f"Skipped {found}, which is not on the node")
            elif self.pattern.has_wildcards:
                yield found, "/".join(part for part in (path, found.relative_to(base).as_posix()) if part)
            else:
                yield found, path or found.name

    async def _put(self, path: Path, name: str) -> None:
        url = blob_url(self._container_url(), name)
        details = {"FilePath": self.file["filePattern"], "BlobDestination": without_signature(url)}
        if not _is_below(path, self.outputs.root):
            raise StorageFailed(
                Failure.FILE_UPLOAD_MISC_ERROR, {**details, "Message": "It is not on the node"}
            )
        try:
            with await asyncio.to_thread(open_for_reading, path) as source:
                size = os.fstat(source.fileno()).st_size
                headers = {**self._headers(), "content-length": str(size)}
                content = read_stretch(source, 0, size)
                async with self.session.put(url, data=content, headers=headers) as response:
                    status = response.status
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            # The message of the error may contain the URL with its signature.
            details["Message"] = type(error).__name__
            raise StorageFailed(Failure.FILE_UPLOAD_MISC_ERROR, details) from None
        if status >= 400:
            raise StorageFailed(_failure(status), {**details, "Message": f"HTTP status {status}"})

    def _container_url(self) -> str:
        url: str = self.container["containerUrl"]
        return self.storage.with_identity(url) if "identityReference" in self.container else url

    def _headers(self) -> dict[str, str]:
        given = {item["name"]: item.get("value", "") for item in self.container.get("uploadHeaders", ())}
        return {**_HEADERS, **given}


def _failure(status: int) -> Failure:
    if status in _DENIED:
        return Failure.FILE_UPLOAD_ACCESS_DENIED
    if status == 404:
        return Failure.FILE_UPLOAD_CONTAINER_NOT_FOUND
    return Failure.FILE_UPLOAD_MISC_ERROR


_WILDCARD = re.compile(r"[*?\[]")
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")
_ANY_DIRECTORY = "**"


def expand_variables(text: str, environment: Mapping[str, str]) -> str:
    """Return a text with ``$NAME`` and ``${NAME}`` replaced; variables that are not set are not replaced."""
    return _VARIABLE.sub(lambda match: environment.get(match[1].strip("{}"), match[0]), text)


@dataclass(frozen=True)
class FilePattern:
    """
    A file pattern of an output file.

    - ``*`` and ``?`` match within a name; ``**`` matches any directories.
    - Brackets contain a set of characters.
    - A name that starts with a dot matches only a part that starts with a dot.

    :param text: the pattern, relative to the working directory of the task.
    """

    text: str

    @property
    def has_wildcards(self) -> bool:
        """Whether it can match several files."""
        return _WILDCARD.search(self.text) is not None

    def base(self, directory: Path) -> Path:
        """Return the directory that contains all matching files."""
        return Path(os.path.normpath(directory.joinpath(*self._parts[: self._fixed])))

    def files(self, directory: Path) -> Iterator[Path]:
        """
        Yield the matching files, sorted. Links to directories are not followed.

        :param directory: the working directory.
        """
        base, wanted = self.base(directory), self._parts[self._fixed :]
        for entry in walk(base):
            path = Path(entry.path)
            if path.is_file() and _matches(path.relative_to(base).parts, wanted):
                yield path

    @property
    def _parts(self) -> Sequence[str]:
        head = ["/"] if self.text.startswith("/") else []
        return [*head, *(part for part in self.text.split("/") if part not in ("", "."))]

    @property
    def _fixed(self) -> int:
        """The number of parts before the first wildcard, or before the last part."""
        parts = self._parts
        wild = (index for index, part in enumerate(parts) if _WILDCARD.search(part))
        return next(wild, max(len(parts) - 1, 0))


def _matches(names: Sequence[str], wanted: Sequence[str]) -> bool:
    """Return whether the parts of a path match; all ways are followed concurrently, as ``**`` has many."""
    places = {0}
    for name in names:
        # Where "**" has come to, it may also stand for no more directories.
        places |= _after_directories(places, wanted)
        places = {after for place in places for after in _after_name(name, place, wanted)}
    return len(wanted) in places


def _after_directories(places: set[int], wanted: Sequence[str]) -> set[int]:
    found: set[int] = set()
    for place in places:
        after = place
        while after < len(wanted) - 1 and wanted[after] == _ANY_DIRECTORY:
            after += 1
            found.add(after)
    return found


def _after_name(name: str, place: int, wanted: Sequence[str]) -> Iterator[int]:
    if place == len(wanted):
        return
    if wanted[place] != _ANY_DIRECTORY:
        if _fits(name, wanted[place]):
            yield place + 1
    elif not name.startswith("."):
        yield place
        if place == len(wanted) - 1:
            yield place + 1


def _fits(name: str, part: str) -> bool:
    if name.startswith(".") and not part.startswith("."):
        return False
    return fnmatchcase(name, part)


def _is_below(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        # A link that leads to itself; until Python 3.13, a RuntimeError.
        return False
