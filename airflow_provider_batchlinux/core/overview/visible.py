"""Show text of others harmlessly: control characters are written out, lengths are limited."""

from __future__ import annotations

from airflow_provider_batchlinux.core.text import harmless


def visible(text: str) -> str:
    r"""
    Return a text in which control and direction characters are written out, such as ``\x1b``.

    They could colour or hide what follows, or show it in another order. Carriage returns, which programs use
    to draw over a line, become line ends.
    """
    return harmless(text.replace("\r\n", "\n").replace("\r", "\n"), kept="\n\t")


def last_lines(text: str, most: int) -> str:
    """Return the last lines of a text."""
    return "\n".join(text.rstrip("\n").split("\n")[-most:])
