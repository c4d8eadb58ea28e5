"""Read counts, and shares such as ``"80%"``."""

from __future__ import annotations

import re
from typing import TypeGuard

_SHARE = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*%")


def is_count(value: object) -> TypeGuard[int]:
    """Return whether a value is a whole number from 0 up; booleans are not numbers here."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def read_share(value: object) -> float | None:
    """Return a share such as ``"80%"`` as a fraction of 1; ``None`` if it is not one of 0 to 100 %."""
    match = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    percent = float(match[1]) if match else None
    return percent / 100 if percent is not None and percent <= 100 else None


def allowed_of(limit: int | str, total: int) -> int:
    """
    Return how many of some things a limit allows.

    :param limit: a number, or a share of them such as ``"5%"``, rounded down.
    """
    share = read_share(limit)
    # Rounded to six digits first: 0.29 * 100 is a little less than 29, and 0.07 * 100 a little more than 7.
    return int(limit) if share is None else int(round(share * total, 6))
