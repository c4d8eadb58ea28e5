"""Track how much of the output of a command has been logged while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

STREAMS = ("stdout", "stderr")
"""In the order in which they are shown."""

_VERSION = 2
"""The version of a progress that Airflow stores. The first one has none."""

LARGEST_PART = 256 * 1024
"""Bytes that one request reads while the command runs."""

_OTHER_EVERY = 6
"""Polls of a stream that has news after which the other one is read, too."""

_UNSHOWABLE = {code: "\ufffd" for code in range(32) if chr(code) not in "\t\n\r\x1b"}
"""Control characters that could corrupt the log of a task; those of colours stay."""


def readable(content: bytes) -> str:
    """Return output as text; bytes that are not text are replaced."""
    return content.decode(errors="replace").translate(_UNSHOWABLE).rstrip()


def length_to_show(content: bytes, *, is_cut: bool) -> int:
    """
    Return how many of the bytes that were read are shown now: whole lines, or as much as was asked for.

    :param is_cut: whether the file has more, or the limit is reached: then a long line is cut between
        characters.
    """
    lines = max(content.rfind(b"\n"), content.rfind(b"\r")) + 1
    if lines or not is_cut:
        return lines
    # The last character may be cut: look for its first byte among the last four.
    for back in range(1, min(4, len(content)) + 1):
        byte = content[-back]
        if byte < 0x80 or byte >= 0xF8:
            break
        if byte >= 0xC0:  # the first byte of a character of two to four bytes
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(content) - back if back < size and len(content) > back else len(content)
    return len(content)


def first_to_read(size: int, limit: int, shown: int, least: int) -> int:
    """
    Return where to begin to read the rest of the output of a command that has ended.

    :param size: bytes of the file.
    :param limit: bytes to show at most, of which half are kept for the end.
    :param shown: bytes that were shown already.
    :param least: bytes of the end to read in any case.
    """
    rest = max(limit - shown, limit // 2)
    return min(max(shown, size - rest), max(0, size - least))


@dataclass(frozen=True)
class Progress:
    """
    How much of the output of a command was shown.

    :param run: the run of the command, by its requeues and retries: each begins with empty files.
    :param shown: bytes of each stream that were shown.
    """

    run: tuple[int, int] = (0, 0)
    shown: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: object) -> Progress | None:
        """Return what :meth:`to_plain` of this or an earlier release returned; ``None`` for anything else."""
        if not isinstance(plain, Mapping) or plain.get("version", 1) not in (1, _VERSION):
            return None
        try:
            requeues, retries = plain["run"]
            shown = {name: int(plain.get(name, 0)) for name in STREAMS}
            return cls((int(requeues), int(retries)), shown)
        except (KeyError, TypeError, ValueError):
            return None

    def to_plain(self) -> dict[str, Any]:
        """Return the progress as values that Airflow can store."""
        return {"version": _VERSION, "run": list(self.run), **self.shown}

    def at(self, stream: str) -> int:
        """Return how many bytes of a stream were shown."""
        return self.shown.get(stream, 0)

    def after(self, stream: str, count: int) -> Progress:
        """Return the progress after more bytes of a stream were shown."""
        return replace(self, shown={**self.shown, stream: self.at(stream) + count})


@dataclass
class Turns:
    """
    Which streams to read at a poll: mostly one, since most commands write to one of them.

    The stream that had the latest news is read at each poll, and the other one at every sixth. While neither
    has news, they take turns.
    """

    latest: str = STREAMS[0]
    polls: int = 0
    is_silent: bool = False

    def next(self) -> list[str]:
        """Return the streams to read now."""
        self.polls += 1
        other = STREAMS[1 - STREAMS.index(self.latest)]
        if self.is_silent:
            self.latest = other
            return [other]
        return [self.latest, other] if self.polls % _OTHER_EVERY == 0 else [self.latest]

    def had_news(self, news: Mapping[str, bool]) -> None:
        """Record which of the streams that were read had news."""
        self.is_silent = not any(news.values())
        if not news.get(self.latest, False):
            self.latest = next((stream for stream, has_news in news.items() if has_news), self.latest)
