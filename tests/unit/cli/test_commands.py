"""What the commands do to an account, and what they say if they did nothing."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import re
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_batchlinux.cli.main import _parser, main, parse
from airflow_provider_batchlinux.cli.terminal.account import hook_and_settings, person
from airflow_provider_batchlinux.cli.terminal.following import PrintedFile, print_files
from airflow_provider_batchlinux.cli.terminal.output import batch_id
from airflow_provider_batchlinux.core.tasks.result import FileEnd
from airflow_provider_batchlinux.exceptions import BatchUnreachableError
from tests.batch_account import BatchAccount, eventually
from tests.source_code import ROOT
from tests.unit.commands import Loop


class Terminal:
    """What a person sees and types."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def run(self, *arguments: str) -> int:
        """Run the command, and keep what it printed."""
        self._capsys.readouterr()
        try:
            return main(arguments)
        finally:
            self.out, self.err = self._capsys.readouterr()

    def json(self, *arguments: str) -> Any:
        """Run the command, which must succeed, and return its JSON."""
        assert self.run(*arguments, "--json") == 0, self.err
        return json.loads(self.out)


def documented(command: str) -> set[str]:
    """Return the names that the page promises for the JSON of a command."""
    page = (ROOT / "docs" / "howto" / "use-the-command-line.md").read_text(encoding="utf-8")
    [row] = re.findall(rf"^\| [^|]*`{command}`[^|]* \| (.*) \|$", page, re.MULTILINE)
    always, _, more = row.partition("`show` also")
    named = re.sub(r"\([^)]*\)", "", always + (more if command.endswith("show") else ""))
    return set(re.findall(r"`(\w+)`", named))


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("waiting.SOONEST", "following.PAUSE"):
        monkeypatch.setattr(f"airflow_provider_batchlinux.cli.terminal.{name}", 0.02)
    return Terminal(capsys)


def test_a_pool_is_listed_shown_resized_and_deleted(account: BatchAccount, terminal: Terminal) -> None:
    account.idle_pool(1)

    [listed] = terminal.json("pools", "list")
    assert listed == terminal.json("pools", "show", "etl")
    assert set(listed) == documented("pools list") == documented("pools show")
    assert (listed["pool_id"], listed["nodes"], listed["state"]) == ("etl", {"idle": 1}, "active")
    assert listed["image"] == "canonical:ubuntu-24_04-lts:server"
    assert terminal.run("pools", "list") == 0
    assert terminal.out.splitlines()[1].split()[:4] == ["etl", "steady", "1", "of"]

    assert terminal.run("pools", "resize", "etl", "--dedicated", "2") == 0
    assert terminal.json("pools", "show", "etl")["dedicated"] == {"current": 2, "target": 2}
    assert terminal.run("pools", "resize", "etl", "--dedicated", "1", "--yes", "--no-wait") == 0
    eventually(lambda: len(account.nodes()) == 1)

    assert terminal.run("pools", "delete", "etl", "--yes") == 0
    assert "is gone" in terminal.err
    assert account.pools() == []


def test_nodes_are_listed_shown_and_rebooted(account: BatchAccount, terminal: Terminal) -> None:
    account.make_pool(dedicated=1, start_task="echo hello; echo oh >&2; exit 3", until={"starttaskfailed": 1})

    [node] = terminal.json("nodes", "list", "etl")
    assert node["cause"] == "start task failed with exit code 3"
    assert terminal.json("nodes", "list", "etl", "--state", "idle") == []
    shown = terminal.json("nodes", "show", "etl", node["node_id"])
    assert shown == {**node, "recent_tasks": []}
    assert (set(node), set(shown)) == (documented("nodes list"), documented("nodes show"))

    assert terminal.run("nodes", "log", "etl", node["node_id"], "--follow") == 1
    failed = f"The start task of node {node['node_id']!r} has failed with exit code 3.\n"
    assert (terminal.out, terminal.err) == ("hello\n", f"oh\n{failed}")

    assert terminal.run("nodes", "reboot", "etl", node["node_id"], "--yes") == 1
    assert "did not come back" in terminal.err
    assert any("/reboot" in request for request in account.requests())


def commands_with_ids(
    parser: argparse.ArgumentParser, name: str = ""
) -> Iterator[tuple[list[str], list[argparse.Action]]]:
    """Return all commands that take ids, with their arguments."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb, child in action.choices.items():
                yield from commands_with_ids(child, f"{name} {verb}")
    if any(action.type is batch_id for action in parser._actions):
        yield name.split(), parser._actions


def test_all_commands_refuse_what_is_no_id_and_take_one_that_begins_with_a_hyphen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = _parser()
    for command, actions in commands_with_ids(parser):
        ids = [action for action in actions if action.type is batch_id]
        positional = [action for action in actions if not action.option_strings]
        for action in ids:
            words = ["etl"] * positional.index(action) if action in positional else action.option_strings
            with pytest.raises(SystemExit):
                parser.parse_args([*command, *words, ""])
            assert "'' is not an id" in capsys.readouterr().err, (command, action.metavar)
        if positional:
            needed = ["--to", "abfs://logs"] if "upload-logs" in command else []
            options = vars(parser.parse_args([*command, *needed, "--", *["-odd"] * len(positional)]))
            assert all(options[action.dest] in ("-odd", ["-odd"]) for action in positional), command


@pytest.mark.parametrize("text", ["", " ", "a b", "..", ".", "a/b", "a?b", "a\nb", "\x1b[2J"])
def test_what_a_server_may_resolve_or_no_id_has_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not an id"):
        batch_id(text)


@pytest.mark.parametrize(
    ("words", "pool", "node", "command"),
    [
        (["etl"], "etl", None, []),
        (["etl", "--", "ls", "--", "-x"], "etl", None, ["ls", "--", "-x"]),
        (["etl", "n", "--", "ls"], "etl", "n", ["ls"]),
        (["etl", "--user", "nora", "--", "--", "x"], "etl", None, ["--", "x"]),
        (["--user", "nora", "etl", "--", "ls"], "etl", None, ["ls"]),
        (["--", "-odd"], "-odd", None, []),
        (["--", "-odd", "-n", "--", "ls", "--", "-x"], "-odd", "-n", ["ls", "--", "-x"]),
        (["--user", "nora", "--", "-odd", "--", "ls"], "-odd", None, ["ls"]),
    ],
)
def test_ssh_tells_ids_from_the_command(
    words: list[str], pool: str, node: str | None, command: list[str]
) -> None:
    options = parse(["ssh", *words])

    assert (options.pool, options.node, list(options.remote_command)) == (pool, node, command)


def test_an_id_with_a_hyphen_reaches_the_service_and_two_connections_are_told_apart(
    account: BatchAccount, terminal: Terminal
) -> None:
    account.make_pool("-odd")

    assert terminal.run("pools", "show", "--", "-odd") == 0
    assert "-odd" in terminal.out
    assert terminal.run("doctor", "one", "--conn", "other") == 1
    assert terminal.err == "batchlinux: Name one connection: one or --conn other.\n"


def test_the_output_of_a_task_is_followed_to_its_end(
    account: BatchAccount, terminal: Terminal, loop: Loop
) -> None:
    account.idle_pool(1)
    command = f"{loop.command}; echo wrong >&2; exit 5"

    async def submit(client: Any) -> None:
        await client.create_job({"id": "job", "poolInfo": {"poolId": "etl"}})
        await client.create_task("job", {"id": "main", "commandLine": f"/bin/bash -c '{command}'"})

    account.hook.run(submit)
    loop.wait_until_started()
    assert terminal.json("tasks", "show", "job")["state"] == "running"
    loop.go.touch()

    assert terminal.run("tasks", "output", "job", "--follow") == 1
    assert terminal.out == "let go\n"
    assert terminal.err == "wrong\nTask 'main' of job 'job' has failed with exit code 5.\n"
    assert terminal.run("tasks", "output", "job", "--last", "3") == 0
    assert terminal.out == "go\n"
    [task] = terminal.json("tasks", "list", "job")
    assert (task["task_id"], task["outcome"], task["exit_code"]) == ("main", "failed", 5)
    assert set(task) == documented("tasks list") == documented("tasks show")
    shown = terminal.json("jobs", "show", "job")
    assert shown["tasks"] == {"failed": 1}
    [job] = terminal.json("jobs", "list", "--pool", "ETL")
    assert job["job_id"] == "job"
    assert (set(job), set(shown)) == (documented("jobs list"), documented("jobs show"))

    loop.go.unlink()
    assert terminal.run("tasks", "reactivate", "job", "--yes") == 0
    loop.wait_until_started(2)
    assert terminal.run("tasks", "terminate", "job", "--yes") == 0
    eventually(lambda: not loop.runs())
    assert terminal.run("jobs", "terminate", "job", "--yes") == 0
    assert terminal.run("jobs", "terminate", "job", "--yes") == 1
    assert "Nothing was done" in terminal.err


@pytest.mark.usefixtures("person")
def test_a_user_is_added_listed_audited_and_revoked(account: BatchAccount, terminal: Terminal) -> None:
    account.idle_pool(1, ssh=True)

    [record] = terminal.json("users", "add", "etl", "nora", "--expires-in", "30m")
    assert record["outcome"] == "added"
    [user] = terminal.json("users", "list")
    assert (set(record), set(user)) == (documented("users add"), documented("users list"))
    assert (user["pool_id"], user["username"], user["overdue"]) == ("etl", "nora", False)
    assert user["by"]["person"] == "Nora.Lind"
    assert terminal.json("users", "audit") | {"users": []} == {
        "users": [], "open_pools": [], "revoked": [], "owed": [],
    }  # fmt: skip
    [removed] = terminal.json("users", "revoke", "etl", "nora", "--yes")
    assert removed["outcome"] == "removed"
    assert terminal.json("users", "list") == []


@pytest.mark.usefixtures("person")
def test_an_overdue_user_is_noticed_and_removed(account: BatchAccount, terminal: Terminal) -> None:
    account.idle_pool(1, ssh=True)
    assert terminal.run("users", "add", "etl", "nora", "--expires-in", "1s") == 0
    eventually(lambda: terminal.run("users", "audit") == 1)

    assert "its time was over" in terminal.out
    assert terminal.run("users", "audit", "--revoke") == 1
    assert "pass --yes" in terminal.err
    assert terminal.run("users", "audit", "--revoke", "--yes") == 0
    assert terminal.json("users", "list") == []


def test_a_sweep_lists_what_has_expired_and_deletes_it_when_asked(
    account: BatchAccount, terminal: Terminal
) -> None:
    marks = {"installation": "tests", "dag_id": "d", "run_id": "r", "version": "2"}
    marks["expires_at"] = "2020-01-01T00:00:00Z"
    account.make_pool("old")
    account.make_pool("kept")
    metadata = [{"name": f"airflow_batchlinux_{name}", "value": value} for name, value in marks.items()]
    account.hook.run(lambda client: client.update_pool("old", {"metadata": metadata}))

    assert terminal.run("sweep") == 0
    assert "expired at 2020-01-01" in terminal.out
    assert account.pools() == ["kept", "old"]
    assert terminal.run("sweep", "--delete", "--yes") == 0
    assert terminal.err.endswith("1 found, 1 removed.\n")
    eventually(lambda: account.pools() == ["kept"])


NOTHING_DONE = [
    ["pools", "list", "--conn", ""],
    ["pools", "show", "nope"],
    ["pools", "delete", "nope", "--yes"],
    ["pools", "delete", "etl"],
    ["pools", "delete", "etl", "nope", "--yes"],
    ["pools", "resize", "nope", "--dedicated", "1"],
    ["pools", "resize", "etl", "--dedicated", "0"],
    ["pools", "resize", "etl"],
    ["pools", "resize", "etl", "--spot", "-1"],
    ["nodes", "list", "nope"],
    ["nodes", "show", "etl", "nope"],
    ["nodes", "log", "etl", "nope"],
    ["nodes", "reboot", "etl", "nope", "--yes"],
    ["nodes", "reimage", "etl", "nope", "--yes"],
    ["nodes", "deallocate", "nope", "nope", "--yes"],
    ["nodes", "start", "nope", "nope"],
    ["nodes", "upload-logs", "nope", "nope", "--to", "abfs://logs"],
    ["jobs", "list", "--pool", "nope"],
    ["jobs", "show", "nope"],
    ["jobs", "terminate", "nope", "--yes"],
    ["tasks", "list", "nope"],
    ["tasks", "show", "nope"],
    ["tasks", "output", "nope"],
    ["tasks", "terminate", "nope", "--yes"],
    ["tasks", "reactivate", "nope", "--yes"],
    ["ssh", "nope"],
    ["ssh", "etl", "nope"],
    ["users", "list", "nope"],
    ["users", "audit", "etl", "nope"],
    ["users", "add", "nope", "nora"],
    ["users", "add", "etl", "nora"],
    ["users", "add", "etl", ""],
    ["users", "revoke", "etl", "", "--yes"],
    ["users", "revoke", "nope", "nora", "--yes"],
    ["users", "revoke", "etl", "nora", "--yes"],
]


@pytest.mark.usefixtures("person")
def test_a_command_that_did_nothing_says_so_and_fails(account: BatchAccount, terminal: Terminal) -> None:
    account.make_pool()
    before = [request for request in account.requests() if not request.startswith("GET")]

    untried = [name for name, _ in commands_with_ids(_parser()) if name not in [w[:2] for w in NOTHING_DONE]]
    assert untried == [["ssh"]]
    for command in NOTHING_DONE:
        assert terminal.run(*command) == 1, command
        assert terminal.err, command

    assert account.pools() == ["etl"]
    changes = [r for r in account.requests() if r.split()[0] in ("DELETE", "PUT") or "/resize" in r]
    assert [change for change in changes if change not in before and "/pools/nope" not in change] == []


@pytest.mark.parametrize("is_full", [False, True], ids=["a reader that has gone", "a full disk"])
def test_output_that_is_not_taken_fails_the_command(
    *, is_full: bool, account: BatchAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.make_pool()
    reader, writer = os.pipe()
    os.close(reader)
    if is_full:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, writer)
        os.close(full)
    output = os.fdopen(writer, "w", encoding="utf-8")
    monkeypatch.setattr("sys.stdout", output)
    try:
        assert main(["pools", "list", "--json"]) == 1
    finally:
        sys.stdout.close()  # what the command has put in its place
        with suppress(OSError):
            output.close()


def test_an_empty_variable_selects_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHLINUX_CONN", "")
    monkeypatch.setenv("AZURE_BATCH_ENDPOINT", "https://mine.westeurope.batch.azure.com")

    _, settings = hook_and_settings(Namespace(conn=None))

    assert "mine.westeurope" in settings.endpoint


def test_the_variable_of_the_connection_precedes_those_of_the_azure_cli(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``batch.env`` sets both; who then sets the first to a real account must not be shown the emulator."""
    conn = (
        '{"conn_type": "azure_batch_linux", "login": "a", "password": "a2V5", "host": "https://real.example"}'
    )
    monkeypatch.setenv("AZURE_BATCH_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT", conn)

    _, settings = hook_and_settings(Namespace(conn=None))

    assert settings.endpoint == "https://real.example"


def test_a_user_who_has_only_a_number_is_named_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError

    monkeypatch.setattr("getpass.getuser", unknown)

    assert person() == f"uid-{os.getuid()}"


def test_what_was_printed_is_not_printed_again_after_a_failed_request(terminal: Terminal) -> None:
    content, requests = b"one two three", iter([b"two ", None, b"three", b""])
    output = io.StringIO()

    async def end(_: int) -> FileEnd:
        return FileEnd(content[:4], 0)

    async def part(first: int, _: int) -> bytes:
        found = next(requests)
        if found is None:
            msg = "away"
            raise BatchUnreachableError(msg)
        assert content[first:].startswith(found)
        return found

    overs = iter([False, True])

    async def is_over() -> bool:
        return next(overs)

    options = Namespace(follow=True, last=100, raw=False)
    served: Any = SimpleNamespace(tail=end, part=part)
    printed = asyncio.run(print_files(options, [PrintedFile("stdout.txt", served, output)], is_over))

    assert (output.getvalue(), printed) == ("one two three", len(content))


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("yes", 0), ("n", 1), ("", 1)])
def test_a_destructive_command_asks_in_a_terminal(
    answer: str, status: int, account: BatchAccount, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.make_pool()
    leader, follower = os.openpty()
    with os.fdopen(leader, "wb", buffering=0) as keyboard, os.fdopen(follower, encoding="utf-8") as screen:
        monkeypatch.setattr("sys.stdin", screen)
        keyboard.write(f"{answer}\n".encode())

        assert terminal.run("pools", "delete", "etl") == status

    assert "Delete pool 'etl' (0 nodes)? [y/N]" in terminal.err
    assert account.pools() == ([] if status == 0 else ["etl"])
