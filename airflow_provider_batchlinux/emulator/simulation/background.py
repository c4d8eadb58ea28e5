"""Work that runs beside requests. Its errors are read: asyncio reports the others much later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger(__name__)


class Background:
    """Coroutines that run beside requests. Each is kept until it ends."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine; the event loop itself keeps no reference to it."""
        run = start_logged(work)
        self._running.add(run)
        run.add_done_callback(self._running.discard)

    def cancel(self) -> None:
        """Cancel all."""
        for run in self._running:
            run.cancel()

    async def wait(self) -> None:
        """Wait until all have ended, in whatever way."""
        await asyncio.gather(*self._running, return_exceptions=True)


def start_logged(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run a coroutine as a task whose error is logged when it ends: it is a bug of the embedded service."""
    run = asyncio.get_running_loop().create_task(work)
    run.add_done_callback(_log_error)
    return run


def expect_error(future: asyncio.Future[Any]) -> None:
    """Read the error of a future at its end, also if all that wait for it have been cancelled by then."""
    future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


def _log_error(run: asyncio.Task[None]) -> None:
    error = None if run.cancelled() else run.exception()
    if error is not None:
        _log.error("Unexpected error in %s", run.get_coro(), exc_info=error)
