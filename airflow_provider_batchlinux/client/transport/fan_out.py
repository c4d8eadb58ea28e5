"""Run many calls concurrently, up to a limit, and keep every result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def fan_out(items: Iterable[T], work: Callable[[T], Awaitable[R]], *, max_concurrency: int) -> list[R]:
    """
    Run the work for every item, and return the results in the order of the items.

    A fixed number of workers takes the items one by one, so the number of tasks does not grow with the items.
    The first error cancels the rest and is raised; to continue after failures, return them as results.

    :param max_concurrency: the maximum number of items that are worked on concurrently.
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
