"""An event loop in which hours pass at once, because its time jumps to whatever is due next."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_ENDLESS = 10_000_000.0
"""Seconds, some months, that no scenario takes: one that does waits for what never comes."""


class _JumpingSelector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Wait for nothing: move the time on instead."""
        assert timeout is not None, "Nothing will ever happen: all tasks wait for each other."
        self.now += max(timeout, 0.0)
        assert self.now < _ENDLESS, "Months have passed: something is waited for that never comes."
        return super().select(0)


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_virtually(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario in virtual time from 0 on, and hold that it leaves no task behind."""
    loop = _VirtualLoop()
    try:
        result = loop.run_until_complete(scenario)
        assert asyncio.all_tasks(loop) == set()
        return result
    finally:
        loop.close()


def now() -> float:
    """Give the time of the running loop."""
    return asyncio.get_running_loop().time()


async def at(moment: float) -> None:
    """Go on at a moment of the running loop's time."""
    over = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_at(moment, over.set_result, None)
    await over
