"""Random numbers that depend only on a seed and a key, not on the order of calls."""

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
    Reproducible random numbers: the same seed and key always give the same number.

    There is no state, so numbers for different keys do not influence each other.
    """

    seed: int

    def draw(self, *key: object) -> float:
        """Return a uniformly distributed number from 0 to, but excluding, 1."""
        return int.from_bytes(self._digest(key)[:_BYTES], "big") / _RANGE

    def token(self, *key: object) -> str:
        """Return 64 hexadecimal digits."""
        return self._digest(key).hex()

    def _digest(self, key: tuple[object, ...]) -> bytes:
        return sha256(repr((self.seed, *key)).encode()).digest()


@dataclass(frozen=True)
class Span:
    """A range of durations in seconds: the typical, shortest and longest."""

    typical: float
    shortest: float
    longest: float

    def at(self, draw: float, jitter: float) -> float:
        """
        Return a duration of a triangular distribution around the typical one.

        :param draw: a number from 0 to 1; a higher number gives a longer duration.
        :param jitter: 0 gives the typical duration, 1 uses the whole range.
        """
        below, above = self.typical - self.shortest, self.longest - self.typical
        width = below + above
        if draw * width < below:
            offset = sqrt(draw * width * below) - below
        else:
            offset = above - sqrt((1 - draw) * width * above)
        return self.typical + offset * jitter

    def __truediv__(self, factor: float) -> Span:
        return Span(self.typical / factor, self.shortest / factor, self.longest / factor)


def make_seed() -> int:
    """Return a random seed."""
    return randbelow(2**32)
