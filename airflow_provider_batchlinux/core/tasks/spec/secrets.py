"""Secrets of a command as a bash script that its node downloads, and that is no part of the job."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

SECRETS_FILE = ".airflow_batchlinux_secrets"
"""The script in the task's working directory."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIRECTORY = "${AZ_BATCH_TASK_WORKING_DIR:-.}"


def secret_problems(environment: Mapping[str, str], files: Mapping[str, str]) -> list[str]:
    """List the secrets that the script cannot carry, without their values."""
    problems = [
        f"secret_environment names {name!r}, which is no name of bash: letters, digits and '_', not first a "
        "digit."
        for name in environment
        # Bash would print the value.
        if not _NAME.fullmatch(name)
    ]
    for path, text in files.items():
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            problems.append(
                f"secret_files[{path!r}] holds NUL or half of a surrogate pair, which is no text."
            )
    return problems


def secrets_script(environment: Mapping[str, str], files: Mapping[str, str]) -> bytes:
    """
    Return the script that sets variables and writes files.

    :param files: contents by path, relative to the task's working directory; several lines end with a line
        break.
    """
    # Bash refuses to replace some of its own variables, such as UID.
    lines = [f"export {name}={shlex.quote(value)} || exit 125" for name, value in environment.items()]
    for path, text in files.items():
        # Templates lose the last line break, without which a private key cannot be read.
        content = f"{text}\n" if "\n" in text and not text.endswith("\n") else text
        target = f'"{_DIRECTORY}"/{shlex.quote(path)}'
        lines += [
            f'mkdir -p -- "$(dirname -- {target})" || exit 125',
            f"(umask 077 && printf %s {shlex.quote(content)} > {target}) || exit 125",
        ]
    return "\n".join([*lines, ""]).encode()


def reading_secrets(*, is_kept: bool) -> str:
    """
    Return the bash command that runs the script.

    :param is_kept: whether a later try on the same node may need it again. Otherwise it is removed.
    """
    file = f'"{_DIRECTORY}/{SECRETS_FILE}"'
    read = f". {file} || exit 125"
    return read if is_kept else f"{read}; rm -f -- {file}"
