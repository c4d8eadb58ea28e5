"""
Digest what a pickle means: the same objects have the same digest in every process.

The bytes of a pickle differ between two processes for the same objects: sets are written in an order that
depends on the seed of hashes, also those among the constants of code; text that is one object here is two
there; and cloudpickle gives a random id to each class that it sends. Nothing of the pickle is executed.
"""

from __future__ import annotations

import hashlib
import pickletools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_MOST_VISITS = 200_000
"""Parts of a pickle that are looked at: a tangle of references could take forever."""

_TRACKER_ID = re.compile(r"str '[0-9a-f]{32}'")
_UNORDERED = frozenset({"dict", "set", "frozenset"})


class _UnknownPickleError(Exception):
    """The pickle has what is not known here; its bytes decide."""


@dataclass(eq=False)
class _Part:
    """An object of a pickle: its kind, what it is made of, and for a plain value its text."""

    kind: str
    parts: list[_Part] = field(default_factory=list)
    text: str = ""


def digest_of_pickle(data: bytes) -> str:
    """Return the digest of what a pickle means; of its bytes, if that is unknown."""
    try:
        return _Digests().of(_read(data))[0].hex()
    except (_UnknownPickleError, LookupError, ValueError, RecursionError):
        return hashlib.sha256(data).hexdigest()


class _Digests:
    """Digest parts; one that is a part of itself counts by how far above it is."""

    def __init__(self) -> None:
        self._known: dict[int, bytes] = {}
        self._above: dict[int, int] = {}
        self._visits = 0

    def of(self, part: _Part) -> tuple[bytes, int]:
        """Return the digest of a part, and how deep the highest part is that it refers back to."""
        depth, at = len(self._above), id(part)
        if at in self._known:
            return self._known[at], depth
        if at in self._above:
            return b"back %d" % (depth - self._above[at]), self._above[at]
        self._visits += 1
        if self._visits > _MOST_VISITS:
            raise _UnknownPickleError
        self._above[at] = depth
        found = [self.of(inner) for inner in part.parts]
        del self._above[at]
        highest = min((high for _, high in found), default=depth)
        digests: Iterable[bytes] = (digest for digest, _ in found)
        if part.kind in _UNORDERED:
            digests = sorted(digests)
        whole = hashlib.sha256(f"{part.kind} {part.text!r}".encode())
        for digest in digests:
            whole.update(b"%d " % len(digest) + digest)
        if highest >= depth:
            self._known[at] = whole.digest()
        return whole.digest(), highest


_NEW: Mapping[str, tuple[str, int | None]] = {
    "EMPTY_LIST": ("list", 0),
    "EMPTY_DICT": ("dict", 0),
    "EMPTY_SET": ("set", 0),
    "EMPTY_TUPLE": ("tuple", 0),
    "FROZENSET": ("frozenset", None),
    "TUPLE": ("tuple", None),
    "TUPLE1": ("tuple", 1),
    "TUPLE2": ("tuple", 2),
    "TUPLE3": ("tuple", 3),
    "STACK_GLOBAL": ("global", 2),
    "REDUCE": ("call", 2),
    "NEWOBJ": ("object", 2),
    "NEWOBJ_EX": ("object", 3),
}
"""The kind of what an opcode makes, and of how many parts; ``None`` for those since the mark."""

_CHANGES: Mapping[str, int | None] = {
    "APPEND": 1,
    "APPENDS": None,
    "ADDITEMS": None,
    "SETITEM": 2,
    "SETITEMS": None,
    "BUILD": 1,
}
"""How many parts an opcode adds to the object before them."""


def _read(data: bytes) -> _Part:
    """Return the object that a pickle describes."""
    stack: list[_Part] = []
    marks: list[int] = []
    memo: dict[int, _Part] = {}

    def taken(number: int | None) -> list[_Part]:
        at = marks.pop() if number is None else len(stack) - number
        found = stack[at:]
        del stack[at:]
        return found

    argument: Any
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name in _NEW:
            kind, number = _NEW[name]
            stack.append(_made(kind, taken(number)))
        elif name in _CHANGES:
            added = taken(_CHANGES[name])
            stack[-1].parts += _added(name, added)
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "MEMOIZE" or name.endswith("PUT"):
            memo[len(memo) if name == "MEMOIZE" else int(argument)] = stack[-1]
        elif name.endswith("GET"):
            stack.append(memo[int(argument)])
        elif name == "POP":
            # The state of a function or class is given to it by a call whose result is dropped.
            [dropped] = taken(1)
            stack[-1].parts.append(dropped)
        elif name not in {"PROTO", "FRAME", "STOP"}:
            stack.append(_plain(opcode, argument))
    [whole] = stack
    return whole


def _plain(opcode: pickletools.OpcodeInfo, argument: Any) -> _Part:
    if opcode.stack_before or not opcode.stack_after:
        raise _UnknownPickleError
    return _Part("plain", text=opcode.name if argument is None else f"{type(argument).__name__} {argument!r}")


def _made(kind: str, parts: list[_Part]) -> _Part:
    called = parts[0] if kind == "call" else None
    if called is not None and called.kind == "global" and called.parts[0].text.startswith("str 'cloudpickle"):
        kept = [part for part in parts[1].parts if not _TRACKER_ID.fullmatch(part.text)]
        return _Part(kind, [called, _Part("tuple", kept)])
    return _Part(kind, parts)


def _added(name: str, parts: list[_Part]) -> list[_Part]:
    if name.startswith("SETITEM"):
        return [_Part("pair", [key, value]) for key, value in zip(parts[::2], parts[1::2], strict=True)]
    return [_Part("state", parts)] if name == "BUILD" else parts
