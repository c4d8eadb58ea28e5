"""
The id of an installation of Airflow, and how its workers agree on one.

Airflow has no id of its own, and its Variables cannot be created only if absent: the last write wins. So the
first worker *claims* an id, which is a Variable that ends with a question mark. A claim that has not changed
for :data:`SETTLING_TIME` is settled, by any worker that sees it. All settle the same one, provided that no
claim takes longer to arrive than that after its writer has found the Variable absent.
"""

from __future__ import annotations

import re
from enum import Enum

SETTLING_TIME = 5.0
"""Seconds until a claim is settled."""

_LEGAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_CLAIM = "?"


class Step(Enum):
    """What a worker does next with the Variable."""

    USE = "use"
    CLAIM = "claim"
    WAIT = "wait"
    SETTLE = "settle"


def next_step(found: str | None, unchanged_for: float) -> Step:
    """
    Return what a worker does next.

    :param found: the Variable; ``None`` if it is absent.
    :param unchanged_for: the seconds for which this worker has seen this value.
    """
    if found is None:
        return Step.CLAIM
    if not found.endswith(_CLAIM):
        return Step.USE
    return Step.WAIT if unchanged_for < SETTLING_TIME else Step.SETTLE


def claim_of(installation: str) -> str:
    """Return the value of the Variable that claims an id."""
    return installation + _CLAIM


def claimed_id(claim: str) -> str:
    """Return the id that a value of the Variable claims."""
    return claim.removesuffix(_CLAIM)


def require_installation_id(name: str, value: str) -> str:
    """
    Return an id without the spaces around it.

    :param name: where it was found, for the message.
    :raises ValueError: if it is not 1 to 64 letters, digits, ``-``, ``_`` or ``.``.
    """
    if not _LEGAL.fullmatch(value.strip()):
        msg = f"{name}={value!r} is not the id of an installation: 1 to 64 letters, digits, '-', '_' or '.'."
        raise ValueError(msg)
    return value.strip()
