"""The data of a command: what its node downloads before it, and uploads after it."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, TypeAlias

from airflow_provider_batchlinux.core.parameters.kinds import Flag, Kind, Text, required_text_of
from airflow_provider_batchlinux.core.parameters.spec import Spec
from airflow_provider_batchlinux.core.storage.grants import Grant
from airflow_provider_batchlinux.core.storage.locations import (
    GivenLocation,
    StorageLocation,
    location_text,
    parse_location,
)
from airflow_provider_batchlinux.core.tasks.spec.files import path_problems

_MODE = re.compile(r"0?[0-7]{3}")
_WILDCARD = re.compile(r"[*?\[]")
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")

FileMode: TypeAlias = Annotated[
    str,
    Kind(
        "permissions in octal, such as 0755",
        lambda value: (
            text if (text := required_text_of(value)) is not None and _MODE.fullmatch(text) else None
        ),
    ),
]
"""The permissions of a file."""


@dataclass(frozen=True)
class InputSpec(Spec):
    """
    A blob, or the blobs of a container or prefix, that the node downloads before a command.

    .. code-block:: python

        BatchLinuxTaskOperator(
            task_id="load",
            pool_id="etl",
            command="./load.sh flights.csv",
            inputs={
                "flights.csv": "abfs://raw/{{ ds }}/flights.csv",
                "load.sh": InputSpec("abfs://tools/load.sh", mode="0755"),
            },
        )

    :param source: the blob; or a prefix, which ends with ``/`` or ``*``, or a container.
    :param mode: the permissions of the files in octal; ``None`` is the service's default, ``0770``.
    :param conn_id: the Airflow connection to the storage account; ``None`` for that of the command.
    :param identity: the ARM id of a managed identity of the pool that may read the blobs, instead of a SAS;
        ``None`` for that of the command.
    :param optional: whether a prefix or container may have no blob. Otherwise the command fails without one.
    """

    source: GivenLocation
    mode: FileMode | None = None
    conn_id: Text | None = None
    identity: Text | None = None
    optional: Flag = False

    @property
    def location(self) -> StorageLocation:
        """The place that it names."""
        return parse_location(location_text(self.source) or "")

    def problems(self, path: str) -> list[str]:
        """List what is wrong with it as the input at a path."""
        name = f"inputs[{path!r}]"
        if not self.location.is_prefix:
            if self.optional:
                return [f"{name}: only a prefix or container can be optional; a single blob has to exist."]
            return path_problems("inputs", path)
        if self.location.web_url is None and self._folder(path) and path_problems("inputs", path.rstrip("/")):
            return [f"{name} leaves the task's directory."]
        return []

    def grant(self, conn_id: str, identity: str | None) -> Grant:
        """
        Return what the node may do for it.

        :param conn_id: the connection, if neither this input nor its place names one; likewise ``identity``.
        """
        location = self.location
        chosen = self.conn_id or location.conn_id or conn_id
        access: Literal["read", "list"] = "list" if location.is_prefix else "read"
        return Grant(location, access, chosen, self.identity or identity)

    def rest(self, path: str, grant: Grant, url: str) -> dict[str, Any]:
        """Return it as one of the task's resource files."""
        body: dict[str, Any] = {"fileMode": self.mode} if self.mode else {}
        if grant.identity is not None and not grant.location.has_access:
            body["identityReference"] = {"resourceId": grant.identity}
        if grant.access == "read":
            return {"httpUrl": url, "filePath": path, **body}
        if grant.location.path:
            body["blobPrefix"] = grant.location.path
        if folder := self._folder(path):
            body["filePath"] = folder
        return {"storageContainerUrl": url, **body}

    def check(self, path: str, inputs: Mapping[str, InputSpec]) -> str:
        """
        Return the bash command that fails if nothing was downloaded; empty for none.

        The service takes a prefix without blobs for a success.

        :param inputs: all inputs of the command by their paths: what the others download does not count.
        """
        location = self.location
        if not location.is_prefix or self.optional:
            return ""
        # Blobs keep their whole names. Hidden files in the working directory itself are not from storage.
        folder = self._folder(path)
        start = shlex.quote(f"{folder}/{location.path}" if folder else location.path)
        hidden = " dotglob" if folder or location.path else ""
        missing = shlex.quote(f"No blob begins with {location}, the source of input {path!r}.")
        others = "|".join(spec.downloaded(at) for at, spec in inputs.items() if at != path)
        if others and not folder and not location.path:
            return (
                '(cd -- "${AZ_BATCH_TASK_WORKING_DIR:-.}" && shopt -s nullglob dotglob globstar && '
                f'for file in **; do case "$file" in .*|{others}) ;; '
                '*) [ -d "$file" ] || exit 0 ;; esac; done; exit 1) || '
                f'{{ printf "%s\\n" {missing} >&2; exit {MISSING_INPUT}; }}'
            )
        return (
            f'(cd -- "${{AZ_BATCH_TASK_WORKING_DIR:-.}}" && shopt -s nullglob{hidden} && set -- {start}* && '
            f'[ $# -gt 0 ]) || {{ printf "%s\\n" {missing} >&2; exit {MISSING_INPUT}; }}'
        )

    def downloaded(self, path: str) -> str:
        """Return the files that it downloads below the working directory, as a pattern of bash."""
        if not self.location.is_prefix:
            return shlex.quote(posixpath.normpath(path))
        folder = self._folder(path)
        return shlex.quote((posixpath.normpath(folder) + "/" if folder else "") + self.location.path) + "*"

    @staticmethod
    def _folder(path: str) -> str:
        return "" if path in (".", "./") else path.rstrip("/")


@dataclass(frozen=True)
class OutputSpec(Spec):
    """
    Files that the node uploads after a command.

    .. code-block:: python

        BatchLinuxTaskOperator(
            task_id="split",
            pool_id="etl",
            command="./split.sh",
            outputs={
                "parts/*.csv": "abfs://clean/{{ ds }}/",
                "../std*.txt": OutputSpec("abfs://logs/{{ run_id }}/", upload_on="completion"),
            },
        )

    :param destination: for a path without wildcards the blob, or a prefix that ends with ``/``; for a pattern
        the prefix.
    :param upload_on: upload after ``success``, ``failure`` or any ``completion`` of the command.
    :param optional: whether the command may leave no such file. Otherwise a command that succeeded without it
        fails.
    :param conn_id: the Airflow connection to the storage account; ``None`` for that of the command.
    :param identity: the ARM id of a managed identity of the pool that may write the blobs, instead of a SAS;
        ``None`` for that of the command.
    """

    destination: GivenLocation
    upload_on: Literal["success", "failure", "completion"] = "success"
    optional: Flag = False
    conn_id: Text | None = None
    identity: Text | None = None

    @property
    def location(self) -> StorageLocation:
        """The place that it names."""
        return parse_location(location_text(self.destination) or "")

    def problems(self, pattern: str) -> list[str]:
        """List what is wrong with it as the output of a path or pattern."""
        name, location = f"outputs[{pattern!r}]", self.location
        if location.web_url is not None:
            return [f"{name}: {location} is no place in Azure Storage, and nothing else can be uploaded to."]
        if str(location_text(self.destination)).partition("?")[0].endswith("*"):
            return [f"{name}: the destination ends with '*'; end it with '/' for a prefix."]
        if not PurePosixPath(pattern).name or pattern.endswith("/"):
            return [f"{name} is a directory and not a file; use {pattern.rstrip('/')}/** for all in it."]
        is_named = not _WILDCARD.search(pattern) and location.is_prefix and location.path
        if is_named and _VARIABLE.search(PurePosixPath(pattern).name):
            return [f"{name}: name the blob in the destination, because the file's name has a variable."]
        return []

    def grant(self, conn_id: str, identity: str | None) -> Grant:
        """Return what the node may do for it; the parameters are those of :meth:`InputSpec.grant`."""
        location = self.location
        return Grant(
            location, "write", self.conn_id or location.conn_id or conn_id, self.identity or identity
        )

    def path(self, pattern: str) -> str:
        """Return the name of the blob, or for a pattern the prefix; empty for the file's name or none."""
        path = self.location.path
        if self.location.is_prefix and path and not _WILDCARD.search(pattern):
            return f"{path.rstrip('/')}/{PurePosixPath(pattern).name}"
        return path

    def rest(self, pattern: str, grant: Grant, url: str) -> dict[str, Any]:
        """Return it as one of the task's output files."""
        container: dict[str, Any] = {"containerUrl": url}
        if path := self.path(pattern):
            container["path"] = path.rstrip("/")
        if grant.identity is not None and not grant.location.has_access:
            container["identityReference"] = {"resourceId": grant.identity}
        return {
            "filePattern": pattern,
            "destination": {"container": container},
            "uploadOptions": {"uploadCondition": f"task{self.upload_on}"},
        }


def outputs_to_one_blob(outputs: Mapping[str, OutputSpec], conn_id: str) -> list[str]:
    """
    List the outputs of which the service would keep only the one that it uploads last.

    :param conn_id: the connection of the command.
    """
    problems, seen = [], dict[tuple[str, str, str], list[tuple[str, str]]]()
    for path, spec in outputs.items():
        if _WILDCARD.search(path):
            continue
        location = spec.location
        account = location.account_url or spec.grant(conn_id, None).conn_id
        blob = (account, location.container, spec.path(path) or PurePosixPath(path).name)
        for other, condition in seen.setdefault(blob, []):
            if "completion" in (condition, spec.upload_on) or condition == spec.upload_on:
                problems.append(f"outputs[{path!r}] and outputs[{other!r}] name the same blob.")
        seen[blob].append((path, spec.upload_on))
    return problems


def output_check(outputs: Mapping[str, OutputSpec]) -> str:
    """
    Return the bash commands that fail if a file to upload after a success does not exist; empty for none.

    The service uploads what matches a pattern, and takes a pattern that matches nothing for a success.
    """
    needed = [path for path, spec in outputs.items() if spec.upload_on != "failure" and not spec.optional]
    if not needed:
        return ""
    lines = ['cd -- "${AZ_BATCH_TASK_WORKING_DIR:-.}"', "shopt -s globstar nullglob", "IFS="]
    for path in needed:
        pattern = "".join(_quoted_parts(path))
        missing = shlex.quote(f"No file matches output {path!r} after the command has succeeded.")
        lines += [
            f"pattern={pattern}; found=",
            'for file in $pattern; do if [ -f "$file" ]; then found=1; break; fi; done',
            f'if [ -z "$found" ]; then printf "%s\\n" {missing} >&2; exit {MISSING_OUTPUT}; fi',
        ]
    return "\n".join(lines)


MISSING_OUTPUT = 73
"""The exit code of a command that succeeded without leaving its outputs: EX_CANTCREAT of sysexits.h."""

MISSING_INPUT = 66
"""The exit code of a command for which no blob of an input was downloaded: EX_NOINPUT of sysexits.h."""


def _quoted_parts(path: str) -> Iterator[str]:
    """Yield a pattern as bash text in which only variables are expanded."""
    at = 0
    for match in _VARIABLE.finditer(path):
        if match.start() > at:
            yield shlex.quote(path[at : match.start()])
        yield f'"${{{match[1].strip("{}")}}}"'
        at = match.end()
    if at < len(path):
        yield shlex.quote(path[at:])
