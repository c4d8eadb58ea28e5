"""A SQLite file with the records of a service, so that they survive restarts."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from airflow_provider_batchlinux.emulator.state import records

# ASCII "BLXE": SQLite's mark, so that no database of another program is overwritten.
_APPLICATION = 0x42_4C_58_45
_FORMAT = 1
_TABLES = """
CREATE TABLE record (
    kind TEXT NOT NULL, parent TEXT NOT NULL, key TEXT NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (kind, parent, key)
);
CREATE TABLE fact (name TEXT PRIMARY KEY, content TEXT NOT NULL);
"""
_WRITE = """
INSERT INTO record (kind, parent, key, content) VALUES (?, ?, ?, ?)
ON CONFLICT (kind, parent, key) DO UPDATE SET content = excluded.content
"""
_DELETE = "DELETE FROM record WHERE kind = ? AND parent = ? AND key = ?"


class StateFileError(OSError):
    """A file cannot be used as the state file."""


class StoredRecord(NamedTuple):
    """A record, and its place in the store."""

    kind: str
    parent: str
    key: str
    record: Any


class StateFile:
    """
    The state file of a running service.

    The next ``commit`` writes all changes in one transaction: before a request is answered, and for other
    changes in the next iteration of the event loop. Committed changes survive any end of the process. A power
    failure may lose the last transactions, but never part of one.

    ``directory`` is where other files are kept, such as those of nodes.

    :param path: a file in an existing directory. It is created, readable only for its owner, if it does not
        exist.
    :raises StateFileError: the file is not a state file, has a newer format, or is in use.
    """

    def __init__(self, path: Path) -> None:
        self.directory = Path(f"{path.resolve()}.files")
        self._connection = _opened(path)
        self._pending: dict[tuple[str, str, str], object] = {}
        self._is_due = False

    def note(self, kind: str, parent: str, key: str, record: object) -> None:
        """Schedule the write of a record for the next commit; ``None`` deletes it."""
        self._pending[kind, parent, key] = record
        if not self._is_due:
            asyncio.get_running_loop().call_soon(self._commit_due)
            self._is_due = True

    def commit(self) -> None:
        """Write all noted changes."""
        if not self._pending:
            return
        changed = [
            (*place, write_record(record)) for place, record in self._pending.items() if record is not None
        ]
        deleted = [place for place, record in self._pending.items() if record is None]
        with self._connection:
            self._connection.executemany(_WRITE, changed)
            self._connection.executemany(_DELETE, deleted)
        self._pending.clear()

    def _commit_due(self) -> None:
        self._is_due = False
        self.commit()

    def records(self) -> Iterator[StoredRecord]:
        """
        Yield all records, the oldest first.

        :raises StateFileError: a record cannot be read.
        """
        rows = self._connection.execute("SELECT kind, parent, key, content FROM record ORDER BY rowid")
        for kind, parent, key, content in rows:
            try:
                yield StoredRecord(kind, parent, key, read_record(content))
            except ValueError as error:
                msg = f"The state file has a {kind} {key!r} that cannot be read: {error}"
                raise StateFileError(msg) from error

    def settings(self) -> Mapping[str, str]:
        """Return the settings by name."""
        return dict(self._connection.execute("SELECT name, content FROM fact"))

    def save_setting(self, name: str, content: str) -> None:
        """Write a setting immediately."""
        with self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO fact (name, content) VALUES (?, ?)", (name, content)
            )

    def erase(self) -> None:
        """Delete all records, but not the settings."""
        self._pending.clear()
        with self._connection:
            self._connection.execute("DELETE FROM record")

    def close(self) -> None:
        """Write all noted changes, and release the file."""
        try:
            self.commit()
        finally:
            self._connection.close()


def _opened(path: Path) -> sqlite3.Connection:
    try:
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, timeout=0)
    except (OSError, sqlite3.Error) as error:
        msg = f"The state file {str(path)!r} cannot be opened: {error}"
        raise StateFileError(msg) from error
    try:
        _take(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise StateFileError(_message(path, error)) from error
    except StateFileError:
        connection.close()
        raise
    return connection


def _take(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the file is a state file, and lock it for as long as the connection is open."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != _APPLICATION and (application or tables):
        msg = f"{str(path)!r} is a database, but not a state file of an embedded Batch service."
        raise StateFileError(msg)
    if found > _FORMAT:
        msg = f"The state file {str(path)!r} has format {found}; this version reads up to {_FORMAT}."
        raise StateFileError(msg)
    path.chmod(0o600)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    marks = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_FORMAT};"
    connection.executescript(f"BEGIN EXCLUSIVE; {'' if tables else _TABLES} {marks} COMMIT;")


def _message(path: Path, error: sqlite3.Error) -> str:
    if "locked" in str(error):
        return f"The state file {str(path)!r} is in use by another embedded Batch service."
    return f"{str(path)!r} is not a state file of an embedded Batch service, or is damaged: {error}"


_TAG, _CONTENT = "$", "of"
"""Types that JSON does not have are written as an object with these two properties."""

_KINDS: Mapping[str, Any] = {
    name: kind for name, kind in vars(records).items() if isinstance(kind, type) and is_dataclass(kind)
}


def write_record(record: object) -> str:
    """
    Return a record as JSON.

    :raises TypeError: it contains a value of a type that cannot be read back.
    """
    return json.dumps(_plain(record), separators=(",", ":"))


def read_record(text: str) -> Any:
    """
    Return the record in a JSON text. Missing fields get their defaults, so that older files can be read.

    :raises ValueError: the text is not a record.
    """
    try:
        record = json.loads(text, object_hook=_restored)
    except (TypeError, KeyError) as error:
        msg = f"{text[:100]!r} is not a record: {error}"
        raise ValueError(msg) from error
    if not is_dataclass(record):
        msg = f"{text[:100]!r} is not a record."
        raise ValueError(msg)
    return record


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        is_plain = _TAG not in value and all(isinstance(name, str) for name in value)
        pairs = [(_plain(name), _plain(item)) for name, item in value.items()]
        return dict(pairs) if is_plain else {_TAG: "mapping", _CONTENT: pairs}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {_TAG: type(value).__name__, _CONTENT: _content(value)}


def _content(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple | frozenset):
        return [_plain(item) for item in value]
    if _KINDS.get(type(value).__name__) is type(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    msg = f"A record contains {value!r}, which cannot be saved."
    raise TypeError(msg)


def _restored(found: dict[str, Any]) -> Any:
    if _TAG not in found:
        return found
    name, content = found[_TAG], found[_CONTENT]
    return _READERS[name](content) if name in _READERS else _made(_KINDS[name], content)


def _made(kind: Any, content: Mapping[str, Any]) -> Any:
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in content.items() if name in known})


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "datetime": datetime.fromisoformat,
    "tuple": tuple,
    "frozenset": frozenset,
    "mapping": dict,
}
