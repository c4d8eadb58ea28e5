"""The file that keeps the state: what it takes back, and which files it refuses."""

from __future__ import annotations

import asyncio
import sqlite3
import types
import typing
from collections.abc import Mapping
from contextlib import closing
from dataclasses import fields, is_dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator import EmulatorOptions, run_emulator
from airflow_provider_batchlinux.emulator.protocol.wire import Version
from airflow_provider_batchlinux.emulator.state import records
from airflow_provider_batchlinux.emulator.state.state_file import (
    StateFile,
    StateFileError,
    read_record,
    write_record,
)
from airflow_provider_batchlinux.emulator.state.store import Store

KINDS = [kind for kind in vars(records).values() if isinstance(kind, type) and is_dataclass(kind)]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
NAMES = st.sampled_from(["$", "of", "id"]) | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=4)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Return what a field of a record may hold, by its annotation."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is datetime:
        return st.datetimes(timezones=st.just(timezone.utc))
    if origin is Mapping:
        return st.dictionaries(NAMES, JSON)
    if origin is tuple and parts[-1] is Ellipsis:
        return st.lists(values_of(parts[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, parts))
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(values_of, parts))
    return records_of(hint) if is_dataclass(hint) else st.from_type(hint)


def records_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return all records of a kind."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{field.name: values_of(hints[field.name]) for field in fields(kind)})


@given(st.sampled_from(KINDS).flatmap(records_of))
def test_every_record_is_read_as_it_was_written(record: Any) -> None:
    again = read_record(write_record(record))

    assert (type(again), again) == (type(record), record)


def test_what_a_record_cannot_be_read_back_with_is_refused() -> None:
    user = records.NodeUser("etl", False, datetime.now(timezone.utc), None, ssh_public_key=b"key")  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="b'key'"):
        write_record(user)


def test_fields_that_came_later_have_their_defaults_and_those_that_went_are_left_out() -> None:
    text = write_record(Version("0x1", datetime(2026, 1, 1, tzinfo=timezone.utc)))
    older = text.replace('"etag"', '"gone":1,"etag"')

    assert read_record(older) == read_record(text)


@pytest.mark.parametrize("text", ["7", "[]", "{", '{"$":"Nothing","of":{}}', '{"$":"Version","of":{}}'])
def test_a_text_that_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the sentence differs
        read_record(text)


def test_what_the_store_forgets_is_gone_from_the_file_too(state: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)

    async def change() -> None:
        with closing(StateFile(state)) as file:
            store = Store(file)
            for name in ("Kept", "Gone"):
                version = store.next_version(now)
                node = store.put_node(records.Node("node", name, 0, True, "idle", now, now))
                store.put_user(node, records.NodeUser("etl", False, now, "secret", None))
                job = store.put_job(records.Job(name, {}, now, version, "active", now))
                store.put_task(records.Task("task", job.id, name, {}, now, version, "active", now, {}))
                store.put_job_node(records.JobNode(job.id, name, "node", None))
            file.commit()
            store.delete_users(node)
            store.delete_pool("gone")
            store.delete_job("gone")

    asyncio.run(change())

    with closing(StateFile(state)) as file:
        found = [(kept.kind, kept.parent, kept.key) for kept in file.records()]
    assert found == [
        ("version", "", "last"),
        ("node", "kept", "node"),
        ("user", "kept/node", "etl"),
        ("job", "", "kept"),
        ("task", "kept", "task"),
        ("job node", "kept", "node"),
    ]


def test_the_file_and_its_directory_are_for_the_owner_only(state: Path) -> None:
    with run_emulator(EmulatorOptions(state=state)):
        modes = [path.stat().st_mode & 0o777 for path in (state, Path(f"{state}.files"))]

    assert modes == [0o600, 0o700]


def test_a_second_service_on_the_same_file_is_refused(state: Path) -> None:
    with run_emulator(EmulatorOptions(state=state)), pytest.raises(StateFileError, match="in use by another"):
        StateFile(state)

    StateFile(state).close()


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE mine (id)")


def _newer(path: Path) -> None:
    StateFile(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


def _damaged(path: Path) -> None:
    StateFile(path).close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO record VALUES ('pool', '', 'linux', '{}')")


def _of_another_kind(path: Path) -> None:
    StateFile(path).close()
    version = write_record(Version("0x1", datetime(2026, 1, 1, tzinfo=timezone.utc)))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO record VALUES ('moon', '', 'one', ?)", (version,))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        pytest.param(lambda path: path.write_text("notes"), "is not a state file", id="text"),
        pytest.param(_foreign, "is a database, but not a state file", id="foreign"),
        pytest.param(_newer, "has format 99; this version reads up to 1", id="newer"),
        pytest.param(_damaged, "pool 'linux' that cannot be read", id="damaged"),
        pytest.param(_of_another_kind, "unknown kind 'moon'", id="other-kind"),
        pytest.param(Path.mkdir, "cannot be opened", id="directory"),
    ],
)
def test_a_file_that_is_no_state_is_refused_with_a_sentence(state: Path, make: Any, complaint: str) -> None:
    make(state)

    with pytest.raises(StateFileError, match=complaint), run_emulator(EmulatorOptions(state=state)):
        pass


@pytest.mark.parametrize("make", [_foreign, _newer])
def test_a_database_that_is_refused_is_left_as_it_is(state: Path, make: Any) -> None:
    make(state)
    before = state.read_bytes()

    with pytest.raises(StateFileError):
        StateFile(state)

    assert state.read_bytes() == before


def test_a_command_that_cannot_use_the_file_says_so(state: Path, launch: Any) -> None:
    state.write_text("notes")

    with pytest.raises(AssertionError, match=r"cannot serve: .*is not a state file"):
        launch("--state", str(state))


def test_a_state_needs_a_directory_and_no_root(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="state is") as refusal:
        EmulatorOptions(state=tmp_path / "missing" / "state", root=tmp_path)

    assert str(refusal.value).splitlines() == [
        f"state is {str(tmp_path / 'missing' / 'state')!r}, but its directory does not exist.",
        "root and state are both set. With state, the files of nodes are next to the state file.",
    ]
