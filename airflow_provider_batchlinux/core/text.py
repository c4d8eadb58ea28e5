"""Text laid out for logs and errors; imports only the standard library."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["indented", "joined", "table"]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out in columns under a header."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    padded = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(padded)


def indented(text: str, prefix: str = "    ") -> str:
    """Set every line of a text off to the right."""
    return "\n".join(prefix + line for line in text.splitlines())


def joined(names: Sequence[str], limit: int = 5) -> str:
    """List names, the first few by name and the rest by number."""
    shown = ", ".join(repr(name) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown
