"""What commands print: tables for people, JSON for programs. Text of others is made harmless."""

from __future__ import annotations

import argparse
import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from airflow_provider_batchlinux.core.text import harmless

T = TypeVar("T")

_PACKAGE_LOG = logging.getLogger("airflow_provider_batchlinux")
_ANY_WIDTH = 100_000
"""Columns of a table: more than any has."""

_ID = re.compile(r"(?!\.+$)[A-Za-z0-9_.:-]+")
"""Jobs of a schedule have ids with a colon; ids of nodes are the service's own."""
_DURATION = re.compile(r"([1-9]\d{0,5})([smhd])")
_DURATION_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s"))


class NothingDoneError(ValueError):
    """Nothing was done, although something was asked for."""


def print_json(value: object) -> None:
    """Print a value as JSON. Everything but ASCII is escaped, so control characters are harmless."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_line(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{harmless(text, kept=chr(10))}\n")
    sys.stdout.flush()


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a header. No cell is folded: an id can be copied from a narrow terminal, too."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in header:
        shown.add_column(title, no_wrap=True)
    for row in rows:
        shown.add_row(*(Text(harmless(_cell(value))) for value in row))
    lines = io.StringIO()
    Console(file=lines, width=_ANY_WIDTH, force_terminal=sys.stdout.isatty(), highlight=False).print(shown)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines.getvalue().splitlines()))


def print_list(
    options: argparse.Namespace,
    items: Sequence[T],
    header: Sequence[str],
    cells: Callable[[T], Sequence[object]],
    plain: Callable[[T], object] = lambda item: item,
) -> int:
    """
    Print what a command lists, as JSON or as a table, and return the status 0.

    :param cells: returns the cells of an item in the table.
    :param plain: returns an item as plain values; the default takes it as it is.
    """
    if options.json:
        print_json([plain(item) for item in items])
    else:
        print_table(header, [cells(item) for item in items])
    return 0


def print_item(options: argparse.Namespace, item: object, facts: Mapping[str, object]) -> int:
    """
    Print what a command shows, as JSON or line by line, and return the status 0.

    :param item: the item as plain values.
    :param facts: its names and values for people.
    """
    if options.json:
        print_json(item)
    else:
        print_facts(facts)
    return 0


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, one a line; values of several lines are indented."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        lines = [_cell(item) for item in value] if isinstance(value, (list, tuple)) else [_cell(value)]
        margin = " " * (width + 2)
        text = f"\n{margin}".join(harmless(line) for line in lines or ["-"])
        sys.stdout.write(f"{name:<{width}}  {text}\n")


def say(text: str) -> None:
    """Write a line to standard error, so that standard output has only the result."""
    sys.stderr.write(f"{harmless(text, kept=chr(10))}\n")


def age(instant: datetime | None) -> str:
    """Return how long ago an instant was, such as ``2h5m``; ``-`` if it is not known."""
    return "-" if instant is None else _span(datetime.now(timezone.utc) - instant)


def time_left(instant: datetime | None) -> str:
    """Return how long it is until an instant; ``-`` for none, ``over`` if it has passed."""
    if instant is None:
        return "-"
    left = instant - datetime.now(timezone.utc)
    return "over" if left <= timedelta(0) else _span(left)


def duration(text: str) -> timedelta:
    """Read an argument such as ``90s``, ``30m``, ``2h`` or ``1d``."""
    match = _DURATION.fullmatch(text)
    if match is None:
        msg = f"{text!r} is not a time such as 90s, 30m, 2h or 1d"
        raise argparse.ArgumentTypeError(msg)
    return timedelta(**{_DURATION_UNITS[match[2]]: int(match[1])})


def batch_id(text: str) -> str:
    """Read an argument that is the id of something of the account, also one that the service has made."""
    if not _ID.fullmatch(text):
        msg = f"{text!r} is not an id: it has letters, digits, '-' and '_'"
        raise argparse.ArgumentTypeError(msg)
    return text


def at_least(least: int) -> Callable[[str], int]:
    """Return a parser of arguments that are whole numbers, with a minimum."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            msg = f"{text!r} is not a whole number of {least} or more"
            raise argparse.ArgumentTypeError(msg)
        return int(text)

    return number


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add the option that answers the question of a command that destroys something."""
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option for output that programs read."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def require_consent(options: argparse.Namespace, question: str) -> None:
    """
    Ask before something is destroyed.

    :raises NothingDoneError: the answer is no, or there is no terminal to ask in.
    """
    if options.yes:
        return
    if not sys.stdin.isatty():
        msg = f"{question} There is no terminal to answer this; pass --yes. Nothing was done."
        raise NothingDoneError(msg)
    sys.stderr.write(f"{harmless(question)} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        msg = "Nothing was done."
        raise NothingDoneError(msg)


@contextmanager
def progress(what: str) -> Iterator[bool]:
    """
    Show what a wait logs: as one changing line in a terminal, otherwise as lines on standard error.

    :param what: what is waited for, until the first status.
    :return: whether the last line stays.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stderr, highlight=False)
    if console.is_terminal:
        with console.status(Text(harmless(what))) as status, _logged(lambda line: status.update(Text(line))):
            yield False
    else:
        with _logged(say):
            yield True


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Show the warnings of this package and of Azure's libraries on standard error."""
    handler = _ToUser(logging.WARNING, say)
    logs = [_PACKAGE_LOG, *map(logging.getLogger, ("azure", "msal"))]
    before, level = [log.propagate for log in logs], _PACKAGE_LOG.level
    _PACKAGE_LOG.setLevel(logging.INFO)
    for log in logs:
        # Airflow configures the root logger: its lines are for the log of a task, and on standard output.
        log.propagate = False
        log.addHandler(handler)
    try:
        yield
    finally:
        _PACKAGE_LOG.setLevel(level)
        for log, propagate in zip(logs, before, strict=True):
            log.propagate = propagate
            log.removeHandler(handler)


@contextmanager
def _logged(show: Any) -> Iterator[None]:
    handler = _ToUser(logging.INFO, show, most=logging.WARNING)
    _PACKAGE_LOG.addHandler(handler)
    try:
        yield
    finally:
        _PACKAGE_LOG.removeHandler(handler)


class _ToUser(logging.Handler):
    """Show log lines to the user, with control characters escaped."""

    def __init__(self, level: int, show: Any, most: int = logging.CRITICAL + 1) -> None:
        super().__init__(level)
        self._show = show
        self._most = most

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < self._most:
            self._show(harmless(record.getMessage(), kept="\n"))


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return str(value)


def _span(span: timedelta) -> str:
    seconds = max(0, int(span.total_seconds()))
    for size, unit, smaller, smaller_unit in _UNITS:
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size}{unit}" + (f"{rest}{smaller_unit}" if rest else "")
    return f"{seconds}s"
