"""Pack small files from the worker into the environment of a command."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import PurePosixPath

FILES_VARIABLE = "AIRFLOW_BATCHLINUX_FILES"

MAX_PACKED_SIZE = 96 * 1024
"""
Bytes of packed text that one task carries.

Linux takes at most 128 KiB in one environment variable. The service documents no limit of its own
below its 1 MiB for a whole request; should it refuse, it says so and the task fails before it runs.
"""


def pack_files(files: Mapping[str, bytes]) -> str:
    """
    Pack files into one text that fits an environment variable; the same text whatever their order.

    :param files: contents by path, relative to the task's working directory; all become executable.
    :raises ValueError: a path leaves the working directory or names no file, or the files are too large.
    """
    problems = [problem for name in files for problem in path_problems("files", name)]
    if problems:
        raise ValueError("\n".join(problems))
    packed = base64.b64encode(_archive(files)).decode("ascii")
    if len(packed) > MAX_PACKED_SIZE:
        sizes = ", ".join(f"{name} ({len(content)} bytes)" for name, content in files.items())
        msg = (
            f"files are {len(packed)} bytes when packed; at most {MAX_PACKED_SIZE} travel with a task. "
            f"Put large data into storage that the node can reach. Given: {sizes}."
        )
        raise ValueError(msg)
    return packed


def digest_of_packed(packed: str) -> str:
    """Return a digest of packed files, which does not depend on how the worker's Python compresses."""
    return hashlib.sha256(gzip.decompress(base64.b64decode(packed))).hexdigest()


def unpacking() -> str:
    """Return the bash command that unpacks the files and then unsets the variable with them."""
    return f'printf %s "${FILES_VARIABLE}" | base64 -d | tar xz || exit 125; unset {FILES_VARIABLE}'


def path_problems(parameter: str, name: str) -> list[str]:
    """List why a path is not that of a file in a task's working directory."""
    path = PurePosixPath(name)
    if "\0" in name:
        return [f"{parameter} names {name!r}: no name of a file can hold NUL."]
    if path.is_absolute() or ".." in path.parts:
        return [f"{parameter} names {name!r}, which leaves the task's directory."]
    if not path.name or name.endswith(("/", "/.")):
        return [f"{parameter} names {name!r}, which is a directory and not a file."]
    return []


def _archive(files: Mapping[str, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755
            archive.addfile(entry, io.BytesIO(content))
    # Without the present time: the same files are the same command, which a retry recognises.
    return gzip.compress(plain.getvalue(), mtime=0)
