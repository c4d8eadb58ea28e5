"""Run many calls concurrently, up to a limit, and keep every result or every error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from airflow_provider_batchlinux.exceptions import BatchAuthenticationError, BatchRequestError

MAX_CONCURRENCY = 8
"""Calls in flight by default: an account answers a limited number of requests, which many tasks share."""

T = TypeVar("T")
R = TypeVar("R")


async def fan_out(
    items: Iterable[T], work: Callable[[T], Awaitable[R]], *, max_concurrency: int = MAX_CONCURRENCY
) -> list[R]:
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
        # A cancelled worker may be inside a request: the caller must not close the session under it.
        await asyncio.gather(*workers, return_exceptions=True)
    return [results[position] for position in sorted(results)]


async def read_each(
    ids: Sequence[str], read: Callable[[str], Awaitable[R | None]]
) -> dict[str, tuple[R | None, BatchRequestError | None]]:
    """
    Read every subject, and return for each what was read, and why the service refused it.

    Such an error is that of one subject, for example an id that the service does not accept. Refused
    credentials concern all of them, and are raised.
    """

    async def one(subject_id: str) -> tuple[R | None, BatchRequestError | None]:
        try:
            return await read(subject_id), None
        except BatchAuthenticationError:
            raise
        except BatchRequestError as error:
            return None, error

    return dict(zip(ids, await fan_out(ids, one), strict=True))
