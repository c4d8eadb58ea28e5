"""A user's shell command as a Batch command line; imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COMMAND_VARIABLE = "AIRFLOW_BATCHLINUX_COMMAND"

MAX_COMMAND_SIZE = 96 * 1024
"""Bytes. Linux takes at most 128 KiB in one argument or environment variable."""

_NEEDS_CARRYING = frozenset("'\\\n\r")


def command_line(command: str) -> tuple[str, dict[str, str]]:
    """
    Return the command line that runs a command under bash, and the environment it needs.

    The service starts a program, not a shell, and does not document how it splits a command line.
    Its own examples use one pair of single quotes, so a command without single quotes, backslashes and
    line breaks is sent in that form; any other travels unchanged in an environment setting. So does one
    that bash would take for an option of its own.

    :param command: what one would type at a bash prompt.
    """
    if _NEEDS_CARRYING.isdisjoint(command) and not command.startswith(("-", "+")):
        return f"/bin/bash -c '{command}'", {}
    return f"/bin/bash -c 'eval -- \"${COMMAND_VARIABLE}\"'", {COMMAND_VARIABLE: command}


def environment_settings(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Write environment variables as the service reads them."""
    return [{"name": name, "value": str(value)} for name, value in environment.items()]
