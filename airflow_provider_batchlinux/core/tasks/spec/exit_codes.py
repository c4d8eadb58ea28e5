"""The meaning of the exit codes of a command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias, get_args

from airflow_provider_batchlinux.core.parameters.kinds import Kind, decoded, whole_number_of

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
