"""``batchlinux doctor`` says what does not work, and what to do."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from airflow.models import Connection
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from airflow_provider_batchlinux.cli.main import main
from airflow_provider_batchlinux.cli.terminal.account import storage_of_connections
from airflow_provider_batchlinux.core.diagnosis.check import cause_first
from airflow_provider_batchlinux.emulator import airflow_connection
from tests.batch_account import BatchAccount
from tests.conftest import set_connection


def outcomes(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Run it, and return its status with the outcome and text of each check."""
    capsys.readouterr()
    status = main(["doctor", "--json", *arguments])
    checks = json.loads(capsys.readouterr().out)
    return status, {check["name"]: (check["outcome"], check["text"]) for check in checks}


def test_an_account_that_works_is_found_to_work(
    account: BatchAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    account.idle_pool(1, ssh=True)

    status, found = outcomes(capsys)

    assert status == 0
    assert {name: outcome for name, (outcome, _) in found.items()} == {
        "endpoint": "ok", "clock": "ok", "login": "ok", "rights": "ok", "images": "ok", "ssh": "ok",
        "quotas": "skipped", "storage": "skipped",
    }  # fmt: skip
    assert "subscription_id, resource_group" in found["quotas"][1]
    assert "wasb_default" in found["storage"][1]
    assert account.pools() == ["etl"]


def test_each_check_is_a_line_for_people(account: BatchAccount, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "azure_batch_linux_default"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*["ok"] * 5, *["skipped"] * 3]


class Head(io.StringIO):
    """A reader that leaves after some lines."""

    lines = 0

    def write(self, text: str) -> int:
        if self.lines == 3:
            raise BrokenPipeError
        self.lines += 1
        return super().write(text)


@pytest.mark.usefixtures("account")
def test_a_reader_that_leaves_half_way_gets_no_errors_of_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.stdout", Head())

    assert main(["doctor"]) == 1
    sys.stdout.close()  # what the command has put in its place

    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    ("broken", "failed", "words"),
    [
        ({"key": "d3Jvbmc="}, "login", "The account name or key is wrong"),
        ({"account_url": "http://127.0.0.1:1"}, "endpoint", "Check the port, the firewall and the routes."),
        ({"account_url": "http://no-such-host.invalid"}, "endpoint", "Check the account's URL"),
        ({"account_url": "nonsense"}, "connection", "is not a URL such as"),
        ({"ca_file": "/no/such/file"}, "connection", "is not a readable file of certificates"),
    ],
)
def test_what_is_wrong_with_a_connection_is_named(
    broken: dict[str, str],
    failed: str,
    words: str,
    account: BatchAccount,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("airflow_provider_batchlinux.cli.commands.doctor.PATIENCE", 0.0)
    set_connection(monkeypatch, account.service, **broken)

    status, found = outcomes(capsys)

    assert status == 1
    assert found[failed][0] == "failed"
    assert words in found[failed][1]
    assert account.service.key not in json.dumps(found)
    assert "rights" not in found


def test_a_connection_that_is_not_defined_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = outcomes(capsys, "nope")

    assert status == 1
    assert "Connection 'nope' is not defined here. Set AIRFLOW_CONN_NOPE" in found["connection"][1]


def test_a_connection_in_the_database_of_airflow_is_found(
    account: BatchAccount,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As `airflow connections add` stores it. Airflow's SDK does not ask the database here."""
    service = account.service
    stored = json.loads(airflow_connection(service.endpoint, service.account, service.key))
    connection = Connection(conn_id="stored", **{**stored, "extra": json.dumps(stored["extra"])})

    with database(tmp_path, monkeypatch, connection):
        status, found = outcomes(capsys, "stored")

    assert (status, found["login"][0]) == (0, "ok"), found


def test_storage_connections_are_found_in_the_database_and_output_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion of many secrets reads them concurrently."""
    monkeypatch.setenv("AIRFLOW_CONN_SET", json.dumps({"conn_type": "wasb", "login": "two", "password": "k"}))
    output = sys.stdout

    async def read() -> list[str]:
        settings = storage_of_connections().settings
        found = await asyncio.gather(*map(settings, ["stored", "set"] * 4))
        return [one.account.account_name for one in found]

    connection = Connection(conn_id="stored", conn_type="wasb", login="one", password="k")
    with database(tmp_path, monkeypatch, connection):
        assert asyncio.run(read()) == ["one", "two"] * 4
    assert sys.stdout is output


def test_why_a_connection_is_not_found_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lookup(_conn_id: str) -> None:
        print("the secrets backend does not answer")  # as Airflow 3.1 logs
        msg = "nope"
        raise AirflowNotFoundException(msg)

    monkeypatch.setattr(BaseHook, "get_connection", lookup)

    with database(tmp_path, monkeypatch, has_table=False):
        assert main(["pools", "list", "--conn", "nope"]) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "the secrets backend does not answer" in printed.err
    assert (
        "database cannot be read: OperationalError: (sqlite3.OperationalError) no such table" in printed.err
    )


@contextmanager
def database(
    path: Path, monkeypatch: pytest.MonkeyPatch, *connections: Connection, has_table: bool = True
) -> Iterator[None]:
    """Give the command a database of Airflow."""
    engine = create_engine(f"sqlite:///{path / 'airflow.db'}")
    if has_table:
        Connection.metadata.tables["connection"].create(engine)
    with Session(engine) as session:
        session.add_all(connections)
        session.commit()
    monkeypatch.setattr("airflow.settings.Session", scoped_session(sessionmaker(engine)))
    yield
    engine.dispose()


def test_the_cause_is_first_and_the_message_fits() -> None:
    message = (
        "Could not list pools: The specified account is disabled. (AccountIsDisabled, HTTP 403, request 1-2)"
    )

    assert cause_first(message, "AccountIsDisabled", has_key=True) == (
        "The account is disabled: The specified account is disabled. (AccountIsDisabled, HTTP 403)"
    )
    assert cause_first("Could not list pools: no answer", None, has_key=True) == "No answer"
    assert len(cause_first("x" * 1000, None, has_key=False)) == 400
