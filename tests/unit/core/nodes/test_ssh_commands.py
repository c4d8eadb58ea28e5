"""How one command on many nodes is wrapped, bounded and summed up."""

from __future__ import annotations

import os
import signal
import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.nodes.ssh_commands import (
    CommandOutcome,
    CommandRecord,
    OutputTail,
    commands_summary,
    commands_table,
    guarded,
)

FAILED = CommandRecord("tvm-1", CommandOutcome.FAILED, 3, "out\n", "one\ntwo\n", 1.25)
LOST = CommandRecord("tvm-2", CommandOutcome.UNREACHABLE, error="no route")
DONE = CommandRecord("tvm-3", CommandOutcome.SUCCEEDED, 0, "fine\nmore", "", 0.5)


def start(command: str) -> subprocess.Popen[bytes]:
    """Run a wrapped command as sshd does: in a group of its own, with pipes."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        ["/bin/sh", "-c", guarded(command)], stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(0, 50))
def test_the_kept_end_is_the_end_of_all(chunks: list[bytes], limit: int) -> None:
    tail = OutputTail(limit)
    for chunk in chunks:
        tail.add(chunk)
    whole = b"".join(chunks)
    kept = whole[max(0, len(whole) - limit) :]

    assert tail.text().endswith(kept.decode("utf-8", errors="replace"))
    assert ("bytes left out" in tail.text()) == (len(whole) > limit)


@settings(max_examples=20)
@given(st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=30))
def test_a_text_arrives_at_the_command_as_it_is(text: str) -> None:
    quoted = "'" + text.replace("'", "'\"'\"'") + "'"
    with start(f"printf %s {quoted}") as shell:
        assert shell.stdout is not None
        assert shell.stdout.read() == text.encode()
        assert shell.wait() == 0


def test_the_exit_code_is_the_commands() -> None:
    with start("exit 41") as shell:
        assert shell.wait() == 41


def test_a_command_has_no_input_of_its_own() -> None:
    with start("cat; echo over") as shell:
        assert shell.stdout is not None
        assert shell.stdout.read() == b"over\n"


def test_the_end_of_the_session_ends_the_command_and_what_it_started() -> None:
    with start("sleep 600 & echo begun; sleep 600") as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"begun\n"
        shell.stdin.close()

        assert shell.wait(timeout=20) == -signal.SIGTERM
        # Its end is the end of all who could still write to it.
        assert shell.stdout.read() == b""
        os.killpg(shell.pid, signal.SIGKILL)


def test_the_table_has_a_line_for_each_node() -> None:
    lines = [line.split() for line in commands_table([FAILED, LOST, DONE]).splitlines()]

    assert lines[0][:3] == ["node", "outcome", "exit"]
    assert lines[1] == ["tvm-1", "failed", "3", "1.2", "out"]
    assert lines[2] == ["tvm-2", "unreachable", "-", "-", "no", "route"]
    assert lines[3] == ["tvm-3", "succeeded", "0", "0.5", "fine"]


def test_the_summary_counts_all_and_names_those_that_failed() -> None:
    text = commands_summary([FAILED, LOST, DONE])

    assert text.splitlines()[0] == "1 failed, 1 succeeded, 1 unreachable."
    assert "node 'tvm-1': exit code 3: two" in text
    assert "node 'tvm-2': no route" in text
    assert "tvm-3" not in text


def test_the_summary_names_also_the_last_of_many() -> None:
    many = [CommandRecord(f"tvm-{n}", CommandOutcome.FAILED, 1, "long " * 100) for n in range(100)]

    text = commands_summary(many)

    assert all(repr(record.node_id) in text for record in many)
    assert len(text.splitlines()) < 30


def test_a_result_is_plain() -> None:
    assert DONE.to_result() == {
        "node_id": "tvm-3",
        "outcome": "succeeded",
        "exit_code": 0,
        "stdout": "fine\nmore",
        "stderr": "",
        "seconds": 0.5,
        "error": None,
    }
