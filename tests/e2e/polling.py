"""The one place of these tests that waits; knows neither Airflow nor Batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["pass_time", "until"]

T = TypeVar("T")

_PAUSE = 0.5
"""Seconds between two questions: whole processes are waited for here, and they need the processor."""


def until(ask: Callable[[], T | None], what: str, *, limit: float) -> T:
    """
    Ask until there is an answer that is true, and return it.

    :param what: what is waited for, for the error.
    :param limit: seconds after which to give up.
    """
    deadline = time.monotonic() + limit
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"After {limit:g} s still waiting for {what}."
        time.sleep(_PAUSE)
    return answer


def pass_time(seconds: float) -> None:
    """Let real time go by, where an outage of some length is what a test is about."""
    time.sleep(seconds)
