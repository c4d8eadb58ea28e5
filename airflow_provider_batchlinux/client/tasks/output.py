"""Follow the output of a command while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.files import task_file
from airflow_provider_batchlinux.core.tasks.output import (
    LARGEST_PART,
    STREAMS,
    Progress,
    Turns,
    length_to_show,
    readable,
)
from airflow_provider_batchlinux.core.tasks.task import TASK_ID, TaskSnapshot
from airflow_provider_batchlinux.core.text import indented
from airflow_provider_batchlinux.exceptions import BatchLinuxError

log = logging.getLogger(__name__)


@dataclass
class OutputFollower:
    """
    Log the output of a command while it runs, each byte once.

    A read that fails is tried again at the next poll: output is never worth failing a wait.

    :param limit: bytes of each stream to log at most. Half of it is for the end of the output.
    :param progress: how far the output was shown; ``None`` if that is not known.
    :param load: returns the stored progress, for a new triggerer.
    :param save: stores the progress after each part.
    """

    client: BatchLinuxClient
    job_id: str
    limit: int
    progress: Progress | None
    load: Callable[[], Awaitable[object]]
    save: Callable[[Mapping[str, Any]], Awaitable[None]]
    _turns: Turns = field(default_factory=Turns, init=False)
    _paused: set[str] = field(default_factory=set, init=False)
    _is_restored: bool = field(default=False, init=False)

    async def follow(self, task: TaskSnapshot) -> None:
        """Log what is new."""
        await self.restore()
        if self.progress is None or self.progress.run != task.run:
            self._begin(task)
        assert self.progress is not None
        head = self.limit - self.limit // 2
        news = {}
        for stream in self._turns.next():
            is_followed = stream not in self._paused
            news[stream] = is_followed and await self._show(stream, head - self.progress.at(stream))
        self._turns.had_news(news)

    async def restore(self) -> None:
        """Read how far another triggerer has shown the output, if this is a new one."""
        if self.progress is not None or self._is_restored:
            return
        self._is_restored = True
        self.progress = Progress.of(await self.load())
        if self.progress is None:
            return
        shown = " and ".join(f"{self.progress.at(stream)} bytes of {stream}" for stream in STREAMS)
        log.info(
            "[a new triggerer continues the output of job %r after %s; what follows may repeat a part]",
            self.job_id,
            shown,
        )
        await self.save(self.progress.to_plain())

    def _begin(self, task: TaskSnapshot) -> None:
        if self.progress is not None:
            log.warning(
                "[job %r runs its command again (%d requeues, %d retries); its output begins again]",
                self.job_id,
                *task.run,
            )
        self._paused.clear()
        self.progress = Progress(task.run)

    async def _show(self, stream: str, room: int) -> bool:
        """
        Log the next part of a stream, and return whether there was one.

        :param room: bytes that may still be shown.
        """
        size = min(room, LARGEST_PART)
        if size <= 0:
            return False
        assert self.progress is not None
        try:
            content = await task_file(self.client, self.job_id, TASK_ID, f"{stream}.txt").part(
                self.progress.at(stream), size
            )
        except BatchLinuxError as error:
            log.debug("The %s of job %r is not available now: %s", stream, self.job_id, error)
            return False
        # A part that is not full ends where the command has got to, perhaps in the middle of a line.
        is_full = len(content) == size
        is_end = is_full and size == room
        # What is left of the limit may be less than a line.
        count = length_to_show(content, is_cut=is_full and not (is_end and self.progress.at(stream)))
        if is_end:
            self._paused.add(stream)
        if not count:
            return False
        text = indented(readable(content[:count]))
        if is_end:
            text += "\n    [half of output_limit is reached: the end of the output follows after the command]"
        log.info("%s of job %r:\n%s", stream, self.job_id, text)
        self.progress = self.progress.after(stream, count)
        # What was logged must be known to the next triggerer, also if this one is being stopped.
        saving = asyncio.ensure_future(self.save(self.progress.to_plain()))
        try:
            await asyncio.shield(saving)
        except asyncio.CancelledError:
            await asyncio.wait([saving])
            raise
        return True
