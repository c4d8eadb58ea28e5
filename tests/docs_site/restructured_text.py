"""Pieces of reStructuredText, the language of our docstrings."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["code", "definitions", "heading", "indented", "linked", "listed", "page", "table"]

_GUIDE = re.compile(r"``docs/([\w/-]+)\.md``")
_EXAMPLE = re.compile(r"``example_dags/(\w+)\.py``")


def heading(text: str, line: str = "=") -> str:
    """Return a heading; ``=``, ``-`` and ``~`` are the levels."""
    return f"{text}\n{line * len(text)}"


def code(value: object) -> str:
    """Return a value as inline code."""
    return f"``{value}``" if str(value) else "empty"


def indented(text: str) -> str:
    """Return a block of text, four columns further to the right."""
    return textwrap.indent(text, "    ")


def listed(items: Iterable[str]) -> str:
    """Return a bullet list."""
    return "\n".join(f"- {textwrap.indent(item, '  ').strip()}" for item in items)


def definitions(entries: Mapping[str, str]) -> str:
    """Return a list of terms with what is to be said of each."""
    return "\n\n".join(f"{term}\n{indented(said)}" for term, said in entries.items())


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose cells may be of any length."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (header, *rows):
        for number, cell in enumerate(row):
            text = textwrap.indent(cell, " " * 7).strip()
            lines.append(f"   {'* -' if number == 0 else '  -'} {text}")
    return "\n".join(lines)


def linked(text: str) -> str:
    """Return a docstring with links in place of the names of pages and example Dags."""
    return _EXAMPLE.sub(r":doc:`/examples/\1`", _GUIDE.sub(r":doc:`/\1`", text))


def page(title: str, *parts: str) -> str:
    """Return a whole page; empty parts are left out."""
    return "\n\n".join([heading(title), *filter(None, parts)]) + "\n"
