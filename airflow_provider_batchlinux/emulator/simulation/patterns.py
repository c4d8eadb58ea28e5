"""Regular expressions that cannot take long, whatever a client writes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Union

_LONGEST = 256
# Nested repetitions multiply: 300 states take milliseconds for any text.
_MOST_STATES = 300
_CACHED_STEPS = 4096
_TOKEN = re.compile(
    r"(?P<open>\((?:\?:|\?P<\w+>)?(?!\?))|(?P<close>\))|(?P<or>\|)|(?P<start>\^|\\A)|(?P<end>\$|\\Z)"
    r"|(?P<repeat>(?:[*+?]|\{\d+(?:,\d*)?\}|\{,\d+\})\??(?![+]))"
    r"|(?P<char>\\[^0-9bB]|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[(*+?])",
    re.DOTALL,
)


@dataclass(frozen=True)
class _State:
    """
    A place in a pattern.

    :param char: matches the next character; ``None`` goes on without one.
    :param anchor: ``start`` or ``end`` goes on only there.
    """

    after: tuple[int, ...]
    char: re.Pattern[str] | None = None
    anchor: str | None = None


class Pattern:
    """
    A regular expression that is searched for in a time that is proportional to the text.

    Python's ``re`` tries all ways to match: ``(a+)+$`` takes it years for forty letters. Meanwhile the
    service would not answer. Here all ways are followed concurrently. What cannot be followed so, or has no
    use in the pattern of a path, is refused: back references, lookaround, word boundaries, flags, and
    repeated groups. A group may be optional.

    :param text: in the syntax of ``re``.
    :raises ValueError: it is no regular expression, or one that is refused.
    """

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            msg = f"It has {len(text)} characters; {_LONGEST} are allowed."
            raise ValueError(msg)
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            msg = f"It is no regular expression: {error}."
            raise ValueError(msg) from None
        # State 0 is the end: who reaches it has found a match.
        self._states = [_State(())]
        self._first = self._build(_read_alternatives(deque(_scan(text))), 0)
        self._step = lru_cache(_CACHED_STEPS)(self._find_step)

    def search(self, text: str) -> bool:
        """Return whether the expression matches somewhere in a text."""
        reached: frozenset[int] = frozenset()
        for position, char in enumerate(text):
            is_match, reached = self._step(reached, char, position == 0)
            if is_match:
                return True
        return self._step(reached, "", not text)[0]

    def _find_step(self, reached: frozenset[int], char: str, is_start: bool) -> tuple[bool, frozenset[int]]:
        """
        Return whether the end is reached, and which states a character leads to.

        :param reached: the states that the text has led to.
        :param char: what comes next in the text; empty at its end.
        """
        passed = {None, *(["start"] if is_start else []), *([] if char else ["end"])}
        states = {self._first, *reached}
        left = list(states)
        while left:
            state = self._states[left.pop()]
            if state.char is None and state.anchor in passed:
                left += set(state.after) - states
                states.update(state.after)
        found = [self._states[number] for number in states] if char else []
        return 0 in states, frozenset(each.after[0] for each in found if each.char and each.char.match(char))

    def _build(self, part: _Part, after: int) -> int:
        """Add the states of a part of the pattern, and return the first; ``after`` follows it."""
        if isinstance(part, str):
            return self._add(_State((after,), anchor=part))
        if isinstance(part, _Repeat):
            return self._build_repeat(part, after)
        firsts = []
        for sequence in part:
            first = after
            for inner in reversed(sequence):
                first = self._build(inner, first)
            firsts.append(first)
        return self._add(_State(tuple(firsts)))

    def _build_repeat(self, part: _Repeat, after: int) -> int:
        first = after
        if part.most is None:
            # The state is a loop: it leads to the character, which leads back to it.
            first = self._add(_State(()))
            self._states[first] = _State((self._add(_State((first,), part.char)), after))
        for _ in range((part.most or part.least) - part.least):
            first = self._add(_State((self._add(_State((first,), part.char)), after)))
        for _ in range(part.least):
            first = self._add(_State((first,), part.char))
        return first

    def _add(self, state: _State) -> int:
        if len(self._states) > _MOST_STATES:
            msg = f"Its repetitions are more than {_MOST_STATES}."
            raise ValueError(msg)
        self._states.append(state)
        return len(self._states) - 1


@dataclass(frozen=True)
class _Repeat:
    """A character and how often it comes; ``most`` is ``None`` without a limit."""

    char: re.Pattern[str]
    least: int = 1
    most: int | None = 1


_Part = Union[str, _Repeat, "list[list[_Part]]"]
"""An anchor, a repeated character, or a group: its alternatives, each a sequence of parts."""

_Tokens = deque[tuple[str, str]]


def _read_alternatives(tokens: _Tokens) -> list[list[_Part]]:
    """Return the content up to the end of a group, and consume its tokens."""
    found: list[list[_Part]] = [[]]
    while tokens:
        kind, text = tokens.popleft()
        if kind == "close":
            return found
        if kind == "or":
            found.append([])
        elif kind == "open":
            group = _read_alternatives(tokens)
            found[-1].append(_with_repeat(group, tokens))
        elif kind == "char":
            found[-1].append(_with_repeat(_Repeat(re.compile(text)), tokens))
        else:
            found[-1].append(kind)
    return found


def _with_repeat(part: _Repeat | list[list[_Part]], tokens: _Tokens) -> _Part:
    if not tokens or tokens[0][0] != "repeat":
        return part
    text = tokens.popleft()[1]
    short = {"*": "0,", "+": "1,", "?": "0,1"}.get(text[0], text.rstrip("?").strip("{}"))
    least, comma, most = short.partition(",")
    if isinstance(part, _Repeat):
        limit = int(most) if most else None if comma else int(least)
        return _Repeat(part.char, int(least or 0), limit)
    if text[0] != "?":
        msg = (
            f"A group cannot be repeated by {text!r}: that may take a long time to match. It may be optional."
        )
        raise ValueError(msg)
    return [*part, []]


def _scan(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            msg = f"{text[position:]!r} cannot be used here: it may take a long time to match."
            raise ValueError(msg)
        yield match.lastgroup or "", match[0]
        position = match.end()
