"""Many calls at once, never more than a bound, and every result kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

__all__ = ["fan_out"]

T = TypeVar("T")
R = TypeVar("R")


async def fan_out(items: Iterable[T], work: Callable[[T], Awaitable[R]], *, max_concurrency: int) -> list[R]:
    """
    Do the work for every item and return the results in the items' order.

    A fixed number of workers draws from the items, so the memory does not grow with their number.
    The first error ends all work and is raised; work that reports failures returns them.

    :param max_concurrency: the calls in flight at most.
    """
    pending = enumerate(items)
    results: dict[int, R] = {}

    async def worker() -> None:
        for position, item in pending:
            results[position] = await work(item)

    workers = [asyncio.ensure_future(worker()) for _ in range(max(1, max_concurrency))]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [results[position] for position in sorted(results)]
