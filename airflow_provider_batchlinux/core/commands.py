"""A user's shell command as a Batch command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COMMAND_VARIABLE = "AIRFLOW_BATCHLINUX_COMMAND"
CHECK_VARIABLE = "AIRFLOW_BATCHLINUX_CHECK"
COORDINATION_VARIABLE = "AIRFLOW_BATCHLINUX_COORDINATION"

MAX_COMMAND_SIZE = 96 * 1024
"""Bytes. Linux takes at most 128 KiB in one argument or environment variable."""

_MAX_VARIABLE_SIZE = 128 * 1024
"""Bytes of one variable: its name, "=", its value and an end (MAX_ARG_STRLEN of Linux)."""

_NEEDS_CARRYING = frozenset("'\\\n\r")


def command_line(command: str, variable: str = COMMAND_VARIABLE) -> tuple[str, dict[str, str]]:
    """
    Return the command line that runs a command under bash, and the environment it needs.

    The service starts a program, not a shell, and does not document how it splits a command line.
    Its own examples use one pair of single quotes, so a command without single quotes, backslashes and
    line breaks is sent in that form; any other travels unchanged in an environment setting. So does one
    that bash would take for an option of its own.

    :param command: what one would type at a bash prompt.
    :param variable: the environment setting in which it may travel.
    """
    if _NEEDS_CARRYING.isdisjoint(command) and not command.startswith(("-", "+")):
        return f"/bin/bash -c '{command}'", {}
    return f"/bin/bash -c 'eval -- \"${variable}\"'", {variable: command}


def checked_command_line(command: str, check: str) -> tuple[str, dict[str, str]]:
    """
    Return the command line that runs a command and, if it succeeds, a check; and the environment it needs.

    The command runs in a shell of its own, so that ``exit``, ``cd`` and ``set`` in it do not reach the check.
    A condition around it (``&&``) would switch off its ``set -e``.
    """
    run = f'(eval -- "${COMMAND_VARIABLE}"); code=$?; [ $code -eq 0 ] || exit $code'
    line = f"/bin/bash -c '{run}; eval -- \"${CHECK_VARIABLE}\"'"
    return line, {COMMAND_VARIABLE: command, CHECK_VARIABLE: check}


def environment_settings(environment: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Write environment variables as the service reads them; one whose value is ``None`` is left out."""
    return [{"name": name, "value": str(value)} for name, value in environment.items() if value is not None]


def environment_problems(name: str, environment: Mapping[Any, Any]) -> list[str]:
    """
    List the variables that no program on Linux can be started with; values are not repeated.

    :param name: the parameter's name, for the messages.
    """
    settings = ((key, "" if value is None else str(value)) for key, value in environment.items())
    return [f"{name}{flaw}" for key, value in settings if (flaw := variable_flaw(key, value))]


def variable_flaw(name: object, value: str) -> str | None:
    """Return why Linux refuses an environment variable, as the end of a sentence; ``None`` if it does not."""
    if not isinstance(name, str) or not name:
        return f" names a variable {name!r}; a name is text that is not empty."
    if "=" in name or "\0" in name:
        return f" names a variable {name!r}; a name has no '=' and no NUL."
    if "\0" in value:
        return f": the value of {name!r} contains NUL, which no variable can hold."
    try:
        size = len(f"{name}={value}".encode()) + 1
    except UnicodeEncodeError:
        return f": the variable {name!r} contains half of a surrogate pair, which is no character."
    if size > _MAX_VARIABLE_SIZE:
        return (
            f": the value of {name!r} is {len(value.encode())} bytes; Linux takes {_MAX_VARIABLE_SIZE} bytes "
            "with the name. Pass large values in files."
        )
    return None
