"""Draws that follow from a seed and from what they are for, in whatever order; knows nothing of Batch."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from math import sqrt
from secrets import randbelow

_BYTES = 8
_RANGE = 2.0 ** (8 * _BYTES)


@dataclass(frozen=True)
class SeededRandom:
    """
    Chance that can be repeated: the same seed and the same key always give the same draw.

    There is no state that moves on, so draws for different things do not disturb each other.
    """

    seed: int

    def draw(self, *key: object) -> float:
        """Return a number from 0 up to, but not with, 1; all are equally likely."""
        return int.from_bytes(self._digest(key)[:_BYTES], "big") / _RANGE

    def token(self, *key: object) -> str:
        """Return 64 hexadecimal digits."""
        return self._digest(key).hex()

    def _digest(self, key: tuple[object, ...]) -> bytes:
        return sha256(repr((self.seed, *key)).encode()).digest()


@dataclass(frozen=True)
class Span:
    """A length of time: seconds it usually takes, at least and at most."""

    typical: float
    shortest: float
    longest: float

    def at(self, draw: float, jitter: float) -> float:
        """
        Return a length; lengths near the typical one are likelier, by a triangular distribution.

        :param draw: from 0 to 1; higher draws give longer lengths.
        :param jitter: how far lengths stray: 0 gives the typical one, 1 the whole span.
        """
        below, above = self.typical - self.shortest, self.longest - self.typical
        width = below + above
        if draw * width < below:
            strays = sqrt(draw * width * below) - below
        else:
            strays = above - sqrt((1 - draw) * width * above)
        return self.typical + strays * jitter

    def __truediv__(self, factor: float) -> Span:
        return Span(self.typical / factor, self.shortest / factor, self.longest / factor)


def make_seed() -> int:
    """Return a seed that nobody knows beforehand."""
    return randbelow(2**32)
