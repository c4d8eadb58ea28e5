"""Text of others, such as metadata, messages and output, cannot command the terminal."""

from __future__ import annotations

import ast
import json
import logging
import re
from typing import Any

import pytest

from airflow_provider_batchlinux.cli.main import main
from airflow_provider_batchlinux.cli.terminal.output import (
    print_facts,
    print_json,
    print_table,
    say,
    warnings_shown,
)
from airflow_provider_batchlinux.core.text import harmless
from tests.batch_account import BatchAccount, eventually
from tests.source_code import SOURCES, imports, name_of, nodes_of, tree_of

HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "8-bit escape": "\x9b2J",
    "overwrite": "good\rbad ",
    "erase": "abc\x08\x08\x08xyz",
    "reorder": "safe\u202egnp.exe",
    "invisible": "a\u200bb\ufeff",
    "second line": "one\u2028two",
    "no character": "half \ud83d",
    "markup of rich": "[bold]x[/bold] [link=http://a]b[/link] [/]",
}
COMMANDING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff\ud800-\udfff]")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_is_printed_commands_no_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_table((f"{'A':3}", "B"), [(text, 1), ("x", text)])
    print_facts({"a": text, "b": [text, text]})
    print_json({"a": text})
    say(f"User {text} is gone.\nReally.")

    shown = capsys.readouterr()
    assert not COMMANDING.search(shown.out + shown.err)
    assert harmless(text) in shown.out
    assert harmless(text) in shown.err


@pytest.mark.parametrize(
    "name", ["azure.identity.aio", "msal.application", "airflow_provider_batchlinux.client"]
)
def test_warnings_of_libraries_are_on_standard_error_alone(
    name: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with warnings_shown():
        logging.getLogger(name).warning("no %s", "token")
        logging.getLogger(name).info("a request")

    # caplog stands for Airflow's handler at the root, which writes to standard output.
    assert (capsys.readouterr(), caplog.text) == (("", "no token\n"), "")
    assert logging.getLogger(name.split(".")[0]).propagate


def test_plain_text_of_any_language_stays_as_it_is() -> None:
    assert harmless("Größe 大きさ 👍 \xa0|") == "Größe 大きさ 👍 \xa0|"
    assert harmless("a\nb\tc", kept="\n\t") == "a\nb\tc"


def test_only_the_module_for_output_and_that_for_files_write_to_the_terminal() -> None:
    """All others go through them, so that no command forgets to make text harmless."""
    written = {}
    for path in SOURCES:
        if ".cli." not in name_of(path):
            continue
        calls = {ast.unparse(node.func) for node in nodes_of(path) if isinstance(node, ast.Call)}
        printing = {
            call for call in calls if call == "print" or re.match(r"sys\.std(out|err)\.\w*write", call)
        }
        rich = {name for name in imports(tree_of(path).body) if name.split(".")[0] == "rich"}
        if printing or rich:
            written[path.name] = printing
    assert set(written) == {"output.py"}


@pytest.fixture
def hostile_account(account: BatchAccount) -> BatchAccount:
    """Give an account with hostile text wherever the service takes it."""
    text = "".join(HOSTILE[name] for name in ("colour", "title", "8-bit escape", "reorder"))
    metadata = [
        {"name": f"airflow_batchlinux_{name}", "value": f"{name}{text}"}
        for name in ("dag_id", "run_id", "task_id", "installation")
    ]
    metadata += [{"name": "airflow_batchlinux_user_eve", "value": f"{{{text}"}]
    account.idle_pool(1)
    command = "printf 'out\\033[31m\\233K\\r\\n'; printf 'err\\033]0;x\\007' >&2; exit 3"

    async def fill(client: Any) -> None:
        await client.update_pool("etl", {"metadata": metadata})
        await client.create_job({"id": "job", "poolInfo": {"poolId": "etl"}, "metadata": metadata[:-1]})
        await client.create_task("job", {"id": "main", "commandLine": f'/bin/bash -c "{command}"'})

    account.hook.run(fill)
    eventually(
        lambda: account.hook.run(lambda client: client.read_tasks("job", dict))[0]["state"] == "completed"
    )
    error = {"code": "Bad", "message": text, "errorDetails": [{"name": "why", "value": text}]}
    account.put_node("idle", errors=[error])
    return account


def test_no_command_lets_hostile_text_of_an_account_through(
    hostile_account: BatchAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    node = hostile_account.nodes()[0].node_id
    listing = [
        ["pools", "list"], ["pools", "show", "etl"], ["nodes", "list", "etl"], ["nodes", "show", "etl", node],
        ["jobs", "list"], ["jobs", "show", "job"], ["tasks", "list", "job"], ["tasks", "show", "job"],
        ["users", "list"], ["users", "audit"], ["sweep", "--installation", "x"],
    ]  # fmt: skip
    others = [
        ["tasks", "output", "job"], ["tasks", "output", "job", "--follow"], ["pools", "delete", "etl"],
        ["users", "revoke", "etl", "eve"], ["sweep"],
        ["nodes", "log", "etl", node, "--file", "workitems/job/job-1/main/stdout.txt"],
    ]  # fmt: skip
    capsys.readouterr()
    for command in [*listing, *others]:
        main(command)
        shown = capsys.readouterr()
        assert shown.out + shown.err, command
        assert not COMMANDING.search(shown.out + shown.err), command
    with pytest.raises(SystemExit):
        main(["pools", "show", "".join(HOSTILE.values())])
    assert not COMMANDING.search(capsys.readouterr().err)
    assert main(["tasks", "output", "job"]) == 0
    assert capsys.readouterr() == ("out\\x1b[31m\ufffdK\n", "err\\x1b]0;x\\x07")
    for command in listing:
        main([*command, "--json"])
        shown = capsys.readouterr()
        assert json.loads(shown.out) is not None
        assert not COMMANDING.search(shown.out + shown.err), command
