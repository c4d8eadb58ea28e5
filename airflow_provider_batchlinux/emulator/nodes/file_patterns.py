"""Finds files by the patterns of output files; knows no HTTP."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

__all__ = ["FilePattern", "expand_variables"]

_WILDCARD = re.compile(r"[*?\[]")
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")
_ANY_DIRECTORY = "**"


def expand_variables(text: str, environment: Mapping[str, str]) -> str:
    """Return a text with ``$NAME`` and ``${NAME}`` replaced; those that are not set stay as they are."""
    return _VARIABLE.sub(lambda match: environment.get(match[1].strip("{}"), match[0]), text)


@dataclass(frozen=True)
class FilePattern:
    """
    A pattern in which ``*`` and ``?`` stay within a name, and ``**`` stands for any directories.

    Names that begin with a dot match only a part that does, too. Brackets hold a set of characters.

    :param text: as the task gives it, relative to its working directory.
    """

    text: str

    @property
    def has_wildcards(self) -> bool:
        """Whether it may mean several files."""
        return _WILDCARD.search(self.text) is not None

    def base(self, directory: Path) -> Path:
        """Return the directory below which all that it means lies."""
        return Path(os.path.normpath(directory.joinpath(*self._parts[: self._fixed])))

    def files(self, directory: Path) -> Iterator[Path]:
        """
        Return the files it means, in order; links to directories are not followed.

        :param directory: what it is relative to.
        """
        base, wanted = self.base(directory), self._parts[self._fixed :]
        for folder, folders, names in os.walk(base):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if _matches(path.relative_to(base).parts, wanted) and path.is_file():
                    yield path

    @property
    def _parts(self) -> Sequence[str]:
        head = ["/"] if self.text.startswith("/") else []
        return [*head, *(part for part in self.text.split("/") if part not in ("", "."))]

    @property
    def _fixed(self) -> int:
        """How many parts come before the first that has a wildcard, or before the last."""
        parts = self._parts
        wild = (index for index, part in enumerate(parts) if _WILDCARD.search(part))
        return next(wild, max(len(parts) - 1, 0))


def _matches(names: Sequence[str], wanted: Sequence[str]) -> bool:
    if not names or not wanted:
        return not names and not wanted
    if wanted[0] != _ANY_DIRECTORY:
        return _fits(names[0], wanted[0]) and _matches(names[1:], wanted[1:])
    if len(wanted) == 1:
        return not any(name.startswith(".") for name in names)
    if _matches(names, wanted[1:]):
        return True
    return not names[0].startswith(".") and _matches(names[1:], wanted)


def _fits(name: str, part: str) -> bool:
    if name.startswith(".") and not part.startswith("."):
        return False
    return fnmatchcase(name, part)
