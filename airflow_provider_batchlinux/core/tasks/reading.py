"""How a command that has ended is interpreted; its task carries this from the submission."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_batchlinux.core.tasks.spec.exit_codes import Ending, exit_codes_of
from airflow_provider_batchlinux.core.tasks.spec.task import TaskSpec

_LARGEST = 1024
"""Characters of the display name of a task that the service takes."""

_MARK = re.compile(r"([0-9a-f]{32})(?: (\{.*\}))?")


@dataclass(frozen=True)
class TaskReading:
    """
    What is needed to interpret a command that has ended.

    :param exit_codes: what its exit codes mean.
    :param result_file: the file in its working directory whose content is its result; ``None`` for none.
    :param outputs: where the service puts its outputs, by path.
    """

    exit_codes: Mapping[int, Ending] = field(default_factory=dict)
    result_file: str | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, task: TaskSpec) -> TaskReading:
        """Return how a command is interpreted."""
        return cls(dict(task.exit_codes or {}), task.result_file, task.output_places())

    def mark(self, digest: str) -> str:
        """Return the display name of its task: its digest, and these values if there is room for them."""
        given = {name: value for name, value in vars(self).items() if value}
        mark = f"{digest} {json.dumps(given, separators=(',', ':'))}"
        return mark if len(mark) <= _LARGEST else digest


def read_mark(name: str | None) -> tuple[str | None, TaskReading | None]:
    """
    Return the digest of a command and how it is interpreted, from the display name of its task.

    The digest is ``None`` for a task that is not a listed command; the other if there was no room for it.
    """
    found = _MARK.fullmatch(name or "")
    if found is None:
        return None, None
    if found[2] is None:
        return found[1], None
    try:
        given = json.loads(found[2])
        codes, places = exit_codes_of(given.get("exit_codes", {})), dict(given.get("outputs", {}))
    except (ValueError, TypeError):  # another client has added the task
        return None, None
    return found[1], TaskReading(codes or {}, given.get("result_file"), places)
