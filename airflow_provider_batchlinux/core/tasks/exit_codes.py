"""What the exit code of a command means for its Airflow task; imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias, get_args

from airflow_provider_batchlinux.core.parameters.kinds import Kind, decoded, whole_number_of
from airflow_provider_batchlinux.core.tasks.task import TaskOutcome, TaskSnapshot, task_outcome

Ending: TypeAlias = Literal["success", "skip", "fail", "retry"]
"""How an Airflow task ends: ``fail`` without a further try, ``retry`` with the ones that are left."""

ENDS_WELL: frozenset[Ending] = frozenset({"success", "skip"})
"""Endings that are no failure."""

_ENDINGS: Mapping[str, Ending] = {ending: ending for ending in get_args(Ending)}
_HIGHEST_CODE = 255


def exit_codes_of(value: object) -> Mapping[int, Ending] | None:
    """Return endings by exit code; a template makes text of the codes."""
    found = decoded(value)
    if not isinstance(found, Mapping):
        return None
    codes: dict[int, Ending] = {}
    for key, ending in found.items():
        code, known = whole_number_of(key), _ENDINGS.get(str(ending).strip().lower())
        if code is None or not 0 <= code <= _HIGHEST_CODE or known is None:
            return None
        codes[code] = known
    return codes


ExitCodes: TypeAlias = Annotated[
    Mapping[int, Ending],
    Kind("a mapping of exit codes from 0 to 255 to success, skip, fail or retry", exit_codes_of),
]
"""The meaning of exit codes."""


def ending_of(task: TaskSnapshot, exit_codes: Mapping[int, Ending]) -> Ending:
    """
    Return how the Airflow task of a command that has ended is to end.

    Only an exit code that the command itself returned is looked up. One that was terminated or could not
    start has none that counts: it fails, and may be retried.
    """
    is_own = task.failure is None or task.failure.is_exit_code
    if task.exit_code is not None and is_own and task.exit_code in exit_codes:
        return exit_codes[task.exit_code]
    return "success" if task_outcome(task) is TaskOutcome.SUCCEEDED else "retry"
