"""One command on many nodes: the wrapper that ends it, its bounded output, and its summary."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from airflow_provider_batchlinux.core.text import table

_GRACE = 5
"""Seconds between SIGTERM and SIGKILL for a command whose SSH session is gone."""

_EXPLAINED = 20

# sshd starts a session's command in a separate process group, and leaves it running when the session ends. So
# a watcher reads the session's input, to which nothing is written: its end is the end of the session.
_GUARD = """\
exec 3<&0
{{
  trap '' TERM
  while read -r _; do :; done
  kill -TERM 0
  sleep {grace}
  kill -KILL 0
}} <&3 >/dev/null 2>&1 &
watcher=$!
/bin/sh -c {command} </dev/null 3<&-
status=$?
kill -KILL $watcher
exit $status
"""


class CommandOutcome(str, Enum):
    """The outcome of the command on one node."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    NOT_ADMITTED = "not_admitted"
    STOPPED = "stopped"


@dataclass(frozen=True)
class CommandRecord:
    """
    The outcome of the command on one node.

    :param exit_code: ``None`` if the command did not finish.
    :param stdout: the end of its output.
    :param seconds: how long it took including its login; ``None`` without a login.
    :param error: why it did not finish.
    """

    node_id: str
    outcome: CommandOutcome
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    seconds: float | None = None
    error: str | None = None

    @property
    def is_failure(self) -> bool:
        """Whether the command did not succeed."""
        return self.outcome is not CommandOutcome.SUCCEEDED

    def to_result(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        return {**asdict(self), "outcome": self.outcome.value}


class OutputTail:
    """
    The end of an output, however long that is.

    :param limit: bytes to keep.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._dropped = 0

    def add(self, chunk: bytes) -> None:
        """Append output."""
        self._kept += chunk
        surplus = max(0, len(self._kept) - self._limit)
        del self._kept[:surplus]
        self._dropped += surplus

    def text(self) -> str:
        """Return the kept output, after a note on how much was dropped."""
        kept = self._kept.decode("utf-8", errors="replace")
        return f"[{self._dropped} bytes left out] {kept}" if self._dropped else kept


def guarded(command: str) -> str:
    """
    Wrap a command for a shell so that it ends with its SSH session, and has no input.

    Its process group gets SIGTERM, and SIGKILL five seconds later.
    """
    return _GUARD.format(command=shlex.quote(command), grace=_GRACE)


def commands_table(records: Iterable[CommandRecord]) -> str:
    """Format records as a table for the log."""
    rows = []
    for record in records:
        said = record.error or record.stdout.strip() or record.stderr.strip()
        exit_code = "-" if record.exit_code is None else str(record.exit_code)
        seconds = "-" if record.seconds is None else f"{record.seconds:.1f}"
        first = said.splitlines()[0][:100] if said else ""
        rows.append((record.node_id, record.outcome.value, exit_code, seconds, first))
    return table(("node", "outcome", "exit", "seconds", "first line"), rows)


def commands_summary(records: Sequence[CommandRecord]) -> str:
    """Count the nodes by outcome, and name those that failed: a few with the reason."""
    counts = Counter(record.outcome.value for record in records)
    counted = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    failed = [record for record in records if record.is_failure]
    lines = [f"node {record.node_id!r}: {_reason(record)}" for record in failed[:_EXPLAINED]]
    rest = ", ".join(repr(record.node_id) for record in failed[_EXPLAINED:])
    return "\n  ".join([f"{counted}.", *lines, *([f"and {rest}"] if rest else [])])


def _reason(record: CommandRecord) -> str:
    if record.error is not None:
        return record.error
    last = (record.stderr or record.stdout).strip().splitlines()[-1:]
    return f"exit code {record.exit_code}" + "".join(f": {line}" for line in last)
