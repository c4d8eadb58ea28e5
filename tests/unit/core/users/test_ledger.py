"""What the ledger of users says of who may touch whom."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.users.ledger import (
    ALL,
    NOTHING,
    Claim,
    LedgerEntry,
    Owed,
    compacted,
    entries_in,
    ledger_table,
    with_entry,
    without_entry,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
LATER, EARLIER = NOW + timedelta(hours=2), NOW - timedelta(hours=2)
TASK = {"dag_id": "etl", "run_id": "today", "task_id": "add", "map_index": "-1"}
MARK = "airflow_batchlinux_user_etl"
DAY = timedelta(days=1)
REMOVING = Claim("t1", 1, False, NOW + timedelta(minutes=10))
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
"""What a database and a page can hold; other text makes an entry unreadable."""

INSTANTS = st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(timezone.utc))


def entry(expires_at: datetime = LATER, by: Mapping[str, str] | None = None) -> LedgerEntry:
    return LedgerEntry("etl", expires_at, TASK if by is None else by, "SHA256:abc", is_admin=True)


@given(
    username=st.from_regex(r"[a-z_][a-z0-9_-]{0,31}", fullmatch=True),
    expires_at=INSTANTS,
    by=st.dictionaries(TEXT, TEXT, max_size=4),
    key=st.none() | TEXT,
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    generation=st.integers(1, 99),
    revoked_at=st.none() | INSTANTS,
    owed=st.just(ALL) | st.builds(Owed.of, st.lists(TEXT)),
    claims=st.lists(st.builds(Claim, TEXT, st.integers(0, 9), st.booleans(), INSTANTS), max_size=2),
)
def test_what_is_entered_is_read_again(
    username: str,
    expires_at: datetime,
    by: dict[str, str],
    key: str | None,
    flags: tuple[bool, bool, bool],
    generation: int,
    revoked_at: datetime | None,
    owed: Owed,
    claims: list[Claim],
) -> None:
    entered = LedgerEntry(username, expires_at, by, key, *flags, generation, revoked_at, owed, tuple(claims))

    assert entries_in(with_entry({"mine": "1"}, entered)) == {username: entered}


def test_other_metadata_stays_as_it_is() -> None:
    before = {"mine": "1", "airflow_batchlinux_dag_id": "etl"}

    assert without_entry(with_entry(before, entry()), "etl") == before


@pytest.mark.parametrize("text", ["", "nonsense", "[1]", '{"until": 5, "by": [], "key": 1}'])
def test_an_entry_that_cannot_be_read_stays_in_sight_as_overdue(text: str) -> None:
    [(username, found)] = entries_in({MARK: text}).items()

    assert username == "etl"
    assert found.is_over(NOW)
    assert found.holder == "an unknown holder"


@pytest.mark.parametrize(
    ("by", "barred"),
    [
        pytest.param(TASK, False, id="the task itself, as on a retry"),
        pytest.param({**TASK, "task_id": "remove"}, False, id="another task of the Dag run"),
        pytest.param({**TASK, "run_id": "tomorrow"}, True, id="another run"),
        pytest.param({**TASK, "dag_id": "other"}, True, id="a run of another Dag"),
        pytest.param({"person": "ann"}, True, id="a person"),
        pytest.param({}, True, id="none"),
    ],
)
def test_a_user_belongs_to_its_dag_run_until_its_time_is_over(by: dict[str, str], barred: bool) -> None:
    assert entry().bars(by, NOW) is barred
    assert not entry(expires_at=EARLIER).bars(by, NOW)


def test_a_person_holds_a_user_by_name() -> None:
    held = entry(by={"person": "ann"})

    assert not held.bars({"person": "ann"}, NOW)
    assert held.bars({"person": "bob"}, NOW)
    assert held.bars(TASK, NOW)


def test_an_unknown_holder_is_treated_as_none() -> None:
    assert entry(by={}).bars({}, NOW)


def test_a_mark_holds_the_end_the_holder_and_the_fingerprint() -> None:
    assert json.loads(with_entry({}, entry())[MARK]) == {
        "version": 3,
        "until": "2026-11-23T14:00:00Z",
        "by": TASK,
        "key": "SHA256:abc",
        "admin": True,
    }


def test_a_mark_without_a_version_is_read_and_one_of_a_later_release_bars_others() -> None:
    earlier = json.dumps(
        {"until": "2026-11-23T14:00:00.000000Z", "by": TASK, "key": "SHA256:abc", "admin": True}
    )
    later = entries_in({MARK: json.dumps({"version": 4})})["etl"]

    assert entries_in({MARK: earlier})["etl"] == entry()
    assert later.bars(TASK, NOW)
    assert later.holder == "provider 'a later release (version 4)'"


@pytest.mark.parametrize(
    ("changes", "at", "stays"),
    [
        pytest.param({"is_lease": True}, LATER + DAY, True, id="active, also after its end"),
        pytest.param({"revoked_at": NOW, "owed": ALL}, LATER + DAY, True, id="revoked, and owed"),
        pytest.param({"revoked_at": NOW}, NOW, False, id="revoked, and owed by no node"),
        pytest.param({"revoked_at": NOW, "is_lease": True}, LATER, True, id="a lease that may be retried"),
        pytest.param({"revoked_at": NOW, "is_lease": True}, LATER + DAY, False, id="a day after its end"),
        pytest.param({"revoked_at": NOW, "claims": (REMOVING,)}, NOW, True, id="a request may be in flight"),
    ],
)
def test_entries_that_are_of_no_use_are_left_out(changes: dict[str, Any], at: datetime, stays: bool) -> None:
    before = with_entry({"mine": "1"}, replace(entry(), **changes))

    assert compacted(before, at) == (before if stays else {"mine": "1"})


def test_what_nodes_owe_is_read_as_all_nodes_if_it_cannot_be_read() -> None:
    assert entries_in({MARK: json.dumps({"version": 3, "owed": 5})})["etl"].owed == ALL
    assert entries_in({MARK: json.dumps({"version": 3})})["etl"].owed == NOTHING


def test_the_table_says_who_is_overdue() -> None:
    text = ledger_table([("a", entry()), ("b", entry(expires_at=EARLIER))], NOW)

    lines = text.splitlines()
    assert "overdue" not in lines[-2]
    assert "2026-11-23T10:00:00+00:00 (overdue)" in lines[-1]
    assert "run_id 'today'" in lines[-1]


def test_a_result_is_plain() -> None:
    result = entry().to_result()

    assert json.loads(json.dumps(result)) == result
    assert result["key"] == "SHA256:abc"


RUN = {"dag_id": "etl", "run_id": "today"}


@pytest.mark.parametrize(
    ("by", "found", "is_his"),
    [
        pytest.param({**RUN, "task_id": "a"}, {**RUN, "task_id": "b"}, True, id="another task of the run"),
        pytest.param(RUN, {**RUN, "run_id": "yesterday"}, False, id="another run"),
        pytest.param(
            {**RUN, "installation": "a"}, {**RUN, "installation": "b"}, False, id="the same run elsewhere"
        ),
        pytest.param({**RUN, "installation": "a"}, RUN, True, id="of an earlier release"),
        pytest.param({"person": "pat"}, {"person": "pat"}, True, id="a person"),
        pytest.param({}, {}, False, id="nobody"),
    ],
)
def test_a_user_is_held_by_the_run_that_added_it(
    by: dict[str, str], found: dict[str, str], is_his: bool
) -> None:
    assert entry(by=found).is_held_by(by) is is_his
