"""Wait for a submitted command, or end it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from async_timeout import timeout

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.tasks.obstacles import LOOK_EVERY, PoolObstacle
from airflow_provider_batchlinux.client.tasks.output import OutputFollower
from airflow_provider_batchlinux.client.tasks.results import show_output
from airflow_provider_batchlinux.core.tasks.job import DeleteJob, why_never_starts, why_paused
from airflow_provider_batchlinux.core.tasks.output import Progress
from airflow_provider_batchlinux.core.tasks.task import (
    NOT_STARTED,
    TASK_ID,
    TaskOutcome,
    task_outcome,
)
from airflow_provider_batchlinux.core.text import counted
from airflow_provider_batchlinux.exceptions import BatchLinuxError, TaskFailedError

log = logging.getLogger(__name__)

_LAST_OUTPUT = 1.5
"""Seconds to read the last output of a command that is ended: a killed worker has only a few."""


@dataclass
class TaskWait:
    """
    Wait until a submitted command has ended, with or without success.

    :param start_by: seconds since the epoch until which the command may wait for its start; ``None`` for no
        limit.
    :param make_follower: returns what logs the output while the command runs; ``None`` does not. Thousands of
        waits that are listed together need none.
    :param clock: seconds since the epoch; a test passes its own.
    """

    client: BatchLinuxClient
    pool_id: str
    job_id: str
    start_by: float | None = None
    make_follower: Callable[[], OutputFollower] | None = None
    clock: Callable[[], float] = time.time
    status: str = field(default="", init=False)
    _has_started: bool = field(default=False, init=False)
    _paused: str | None = field(default=None, init=False)
    _follower: OutputFollower | None = field(default=None, init=False)

    @cached_property
    def _obstacle(self) -> PoolObstacle:
        what = f"Task {TASK_ID!r} of job {self.job_id!r}"
        return PoolObstacle(self.client, self.pool_id, what, self.clock)

    async def poll(self) -> dict[str, Any] | None:
        """
        Return the job's id if the command has ended, or ``None`` if it is too early.

        :raises TaskFailedError: if the command or its pool was deleted or its job terminated, so that it can
            never end, or if it has not started in time.
        """
        # With thousands of commands, the poller lists jobs instead of reading each task; see JobReader.
        if not self._is_late() and not await self.client.may_have_ended(self.job_id):
            return None
        task = await self.client.find_task(self.job_id, TASK_ID)
        if task is None:
            msg = f"Task {TASK_ID!r} of job {self.job_id!r} does not exist any more: it was deleted."
            raise TaskFailedError(msg)
        where = f" on node {task.node_id!r}" if task.node_id else ""
        again = f" (run again after {counted(task.requeues, 'lost node')})" if task.requeues else ""
        status = f"Task {TASK_ID!r} of job {self.job_id!r} is {task.state}{where}{again}."
        if task_outcome(task) is TaskOutcome.STILL_RUNNING and task.state in NOT_STARTED:
            obstacle = await self._newest_obstacle() if task.state == "active" else None
            status = f"{status} {obstacle}" if obstacle else status
            # A command that lost its node has started before.
            self._has_started |= task.requeues > 0
            if self._is_late():
                msg = f"Task {TASK_ID!r} of job {self.job_id!r} is still {task.state} after start_limit."
                raise TaskFailedError(f"{msg} {obstacle}" if obstacle else msg)
        else:
            self._has_started = True
        self.status = status
        is_over = task_outcome(task) is not TaskOutcome.STILL_RUNNING
        if self.make_follower is not None and (is_over or task.state == "running"):
            self._follower = self._follower or self.make_follower()
            await (self._follower.restore() if is_over else self._follower.follow(task))
        return {"job_id": self.job_id} if is_over else None

    def _is_late(self) -> bool:
        return self.start_by is not None and not self._has_started and self.clock() > self.start_by

    async def _newest_obstacle(self) -> str | None:
        """Return why the command cannot start."""
        obstacle = self._obstacle
        is_urgent = self._is_late()
        if is_urgent or self.clock() >= obstacle.looked_at + LOOK_EVERY:
            job = await self.client.find_job(self.job_id)
            if job is not None and (reason := why_never_starts(self.job_id, job)):
                msg = f"{obstacle.what} cannot run: {reason}."
                raise TaskFailedError(msg)
            self._paused = why_paused(self.job_id, job) if job is not None else None
        return self._paused or await obstacle.newest(is_urgent=is_urgent)


async def abandon_task(
    client: BatchLinuxClient,
    job_id: str,
    delete_job: DeleteJob,
    *,
    is_killed: bool,
    output_limit: int | None = None,
    progress: Progress | None = None,
) -> None:
    """
    Terminate a command that is no longer waited for, and log the output that was not shown yet.

    :param delete_job: ``always`` deletes the job, too; otherwise its files are kept for inspection.
    :param is_killed: whether a person has ended the Airflow task. Otherwise the job of a command that has
        succeeded is kept, because nothing has read its result.
    :param output_limit: bytes of each stream to log at most; ``None`` logs nothing.
    :param progress: how much was shown while the command ran; ``None`` for nothing.
    """
    was_running = await client.terminate_task(job_id, TASK_ID)
    if output_limit is not None:
        await _show_last_output(client.within(0), job_id, output_limit, progress)
    if delete_job != "always":
        return
    if not was_running and not is_killed:
        task = await client.find_task(job_id, TASK_ID)
        if task is not None and task_outcome(task) is TaskOutcome.SUCCEEDED:
            log.warning("Job %r is kept: its command has succeeded, and its result was not read.", job_id)
            return
    await client.delete_job(job_id)


async def _show_last_output(
    client: BatchLinuxClient, job_id: str, limit: int, progress: Progress | None
) -> None:
    try:
        async with timeout(_LAST_OUTPUT):
            task = await client.find_task(job_id, TASK_ID)
            if task is not None and task.started_at is not None:
                await show_output(client, job_id, task, limit, progress)
    except (BatchLinuxError, asyncio.TimeoutError) as error:
        log.warning("The last output of job %r is not available: %s", job_id, error)
