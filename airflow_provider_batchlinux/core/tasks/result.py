"""Read the result file and the output of a command."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from airflow_provider_batchlinux.core.node_states import AWAY_STATES
from airflow_provider_batchlinux.core.tasks.output import readable

_INTEGERS = range(-(2**63), 2**64)
"""What Airflow can pass between its processes."""


@dataclass(frozen=True)
class FileEnd:
    """
    The last bytes of a file.

    :param omitted: the number of bytes before them.
    """

    content: bytes
    omitted: int = 0

    def text(self) -> str:
        """Return whole lines as text; a first line says how many bytes are left out."""
        if not self.omitted:
            return readable(self.content)
        _part, newline, lines = self.content.partition(b"\n")
        # Of a file that is one long line, the end of the line is all that can be shown.
        shown = lines if newline and lines else self.content
        omitted = self.omitted + len(self.content) - len(shown)
        return f"[{omitted} bytes left out]\n{readable(shown)}"

    def after(self, shown: int) -> FileEnd:
        """Return what follows the bytes of the file that were shown before; those count as not omitted."""
        return FileEnd(self.content[max(0, shown - self.omitted) :], max(0, self.omitted - shown))

    def last(self, limit: int) -> FileEnd:
        """Return the last bytes of these."""
        surplus = max(0, len(self.content) - limit)
        return FileEnd(self.content[surplus:], self.omitted + surplus)


def why_lost(code: str | None, node_id: str | None, node_state: str | None) -> str | None:
    """
    Return why the files of a command can never be read again; ``None`` if a later try may read them.

    :param code: the error code of the refusal.
    :param node_id: the node that ran the command.
    :param node_state: the present state of that node; ``None`` if the node no longer exists.
    """
    if code in _CODES_OF_LOSS:
        return _CODES_OF_LOSS[code]
    if code not in ("TaskFilesUnavailable", "NodeNotFound"):
        return None
    if node_state is None:
        return f"node {node_id!r} no longer exists"
    return f"node {node_id!r} is {node_state}" if node_state in AWAY_STATES else None


_CODES_OF_LOSS = {
    "TaskFilesCleanedup": "their retention time is over",
    "TaskNotFound": "the task was deleted",
    "JobNotFound": "the job was deleted",
    "JobBeingDeleted": "the job is being deleted",
}


def parse_result(file: FileEnd) -> Any:
    """
    Parse the content of a result file.

    :param file: the file, or as much of its end as a result may have.

    :raises ValueError: it is not JSON, or holds what Airflow cannot store as an XCom. The message follows
        the name of the file.
    """
    if file.omitted:
        msg = f"is over {len(file.content)} bytes; put data into storage instead"
        raise ValueError(msg)
    try:
        result = json.loads(
            file.content, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_small_integer
        )
    except _NotStorable:
        raise
    except RecursionError:
        msg = "is nested too deeply"
        raise ValueError(msg) from None
    except ValueError as error:
        msg = f"is not JSON: {error}"
        raise ValueError(msg) from error
    if any("\x00" in text for text in _texts(result)):
        msg = "holds the character NUL, which Airflow's database does not store"
        raise ValueError(msg)
    if any("\ud800" <= character <= "\udfff" for text in _texts(result) for character in text):
        msg = "holds half of a surrogate pair, which is no character"
        raise ValueError(msg)
    return result


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


class _NotStorable(ValueError):
    pass


def _refuse_constant(name: str) -> Any:
    msg = f"holds {name}, which JSON does not have; write null instead"
    raise _NotStorable(msg)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        msg = f"holds {text}, which is larger than a number can be"
        raise _NotStorable(msg)
    return number


def _small_integer(text: str) -> int:
    number = int(text)
    if number not in _INTEGERS:
        msg = f"holds {text}, an integer of more than 64 bits; write it as text"
        raise _NotStorable(msg)
    return number
