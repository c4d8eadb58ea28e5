"""A command reaches bash on the node as it was written; real bash runs it here."""

from __future__ import annotations

import os
import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.commands import (
    COMMAND_VARIABLE,
    command_line,
    environment_problems,
    environment_settings,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
QUOTES = st.text(alphabet="'\"\\ $`!\n\r#;&-a", max_size=30)


def run(command: str) -> subprocess.CompletedProcess[str]:
    """Start the command line as a program without a shell, as the service does."""
    line, carried = command_line(command)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **carried}
    done = subprocess.run(shlex.split(line), env=environment, capture_output=True, check=False)
    return subprocess.CompletedProcess(line, done.returncode, done.stdout.decode(), done.stderr.decode())


@settings(max_examples=60)
@given(TEXT | QUOTES)
def test_bash_says_any_quoted_text_as_it_was_written(text: str) -> None:
    assert run(f"printf %s {shlex.quote(text)}").stdout == text


@settings(max_examples=40)
@given(QUOTES)
def test_bash_reads_the_lines_of_a_command_as_they_were_written(text: str) -> None:
    assert run(f"cat <<'END OF TEXT'\n{text}\nEND OF TEXT").stdout == f"{text}\n"


@given(TEXT | QUOTES)
def test_the_command_is_either_the_last_argument_or_carried_whole(command: str) -> None:
    line, carried = command_line(command)
    program, option, argument = shlex.split(line)

    assert (program, option) == ("/bin/bash", "-c")
    assert carried.get(COMMAND_VARIABLE, argument) == command


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param("echo hello", "hello\n", id="a word"),
        pytest.param('echo "two  words"', "two  words\n", id="double quotes"),
        pytest.param("echo 'two  words'", "two  words\n", id="single quotes"),
        pytest.param("printf 'a\\tb'", "a\tb", id="a backslash"),
        pytest.param("echo a\necho b", "a\nb\n", id="two lines"),
        pytest.param("echo $((1 + 2)) | tr 3 4", "4\n", id="arithmetic and a pipe"),
        pytest.param("X=1; echo $X ${X}2", "1 12\n", id="a variable"),
        pytest.param("echo a # 'b'", "a\n", id="a comment"),
        pytest.param("f() {\n  echo \"$1\"\n}\nf 'it'", "it\n", id="a function"),
        pytest.param("echo a; exit 0; echo b", "a\n", id="an early exit"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_a_command_does_what_it_does_at_a_prompt(command: str, said: str) -> None:
    done = run(command)

    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


@pytest.mark.parametrize(
    ("command", "exit_code"),
    [
        pytest.param("exit 7", 7, id="sent as an argument"),
        pytest.param("echo 'a'; exit 7", 7, id="carried"),
        pytest.param("set -e\nfalse\ntrue", 1, id="stopped at the first failure"),
        pytest.param("no-such-program-anywhere", 127, id="an unknown program"),
        pytest.param("no-such-program-anywhere 'a'", 127, id="an unknown program with quotes"),
        pytest.param("--version", 127, id="what looks like an option of bash"),
        pytest.param("-c", 127, id="what looks like a short option of bash"),
        pytest.param("+x", 127, id="what looks like an option to switch off"),
    ],
)
def test_the_exit_code_is_the_commands_own(command: str, exit_code: int) -> None:
    assert run(command).returncode == exit_code


def test_a_quote_that_is_left_open_is_an_error_of_bash() -> None:
    done = run("echo 'open")

    assert done.returncode != 0
    assert "unexpected EOF" in done.stderr


@pytest.mark.parametrize(
    ("command", "line"),
    [
        pytest.param('apt-get install -y "jq"', "/bin/bash -c 'apt-get install -y \"jq\"'", id="plain"),
        pytest.param("it's", f"/bin/bash -c 'eval -- \"${COMMAND_VARIABLE}\"'", id="carried"),
    ],
)
def test_a_command_line_has_one_pair_of_single_quotes(command: str, line: str) -> None:
    assert command_line(command)[0] == line


def test_environment_settings_are_names_and_values_as_text() -> None:
    assert environment_settings({"A": "1", "B": ""}) == [
        {"name": "A", "value": "1"},
        {"name": "B", "value": ""},
    ]


def test_a_variable_of_none_is_left_out() -> None:
    assert environment_settings({"A": None, "B": 1}) == [{"name": "B", "value": "1"}]
    assert environment_problems("environment", {"A": None}) == []


def starts(name: str, value: str) -> bool:
    """Tell whether Linux starts a program with a variable."""
    if name.startswith("="):  # Python 3.13 passes it on, since Windows has such names
        return False
    try:
        subprocess.run(["/bin/true"], env={name: value}, check=True)
    except (OSError, ValueError):
        return False
    return True


VALUES = st.text(st.characters(exclude_categories=[]), max_size=8) | st.builds(
    "".join, st.lists(st.sampled_from(["a", "é", "=", "\0", "\ud800"]), max_size=4)
)


@settings(max_examples=60)
@given(VALUES.filter(bool), VALUES, st.sampled_from([0, 131_060, 131_070, 131_071]))
def test_exactly_the_variables_that_linux_takes_are_accepted(name: str, value: str, padding: int) -> None:
    value += "x" * max(0, padding - len(f"{name}={value}".encode(errors="replace")))

    assert (environment_problems("environment", {name: value}) == []) == starts(name, value)


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        pytest.param({"": "1"}, "environment names a variable ''; a name is text", id="empty name"),
        pytest.param({1: "1"}, "environment names a variable 1; a name is text", id="number"),
        pytest.param({"A=B": "1"}, "environment names a variable 'A=B'; a name has no '='", id="equals"),
        pytest.param({"A\0": "1"}, "a name has no '=' and no NUL", id="NUL in a name"),
        pytest.param({"A": "s3cret\0"}, "environment: the value of 'A' contains NUL", id="NUL in a value"),
        pytest.param({"A": "s3cret" * 30_000}, "the value of 'A' is 180000 bytes; Linux", id="large"),
    ],
)
def test_a_variable_that_linux_refuses_is_named_without_its_value(
    environment: dict[object, object], problem: str
) -> None:
    [found] = environment_problems("environment", environment)

    assert problem in found
    assert "s3cret" not in found
