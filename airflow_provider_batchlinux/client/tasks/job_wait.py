"""Wait for a job with many commands: its counts decide when to look closer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.calls import Body
from airflow_provider_batchlinux.client.api.files import node_file
from airflow_provider_batchlinux.client.tasks.obstacles import LOOK_EVERY, PoolObstacle
from airflow_provider_batchlinux.client.tasks.results import output_end
from airflow_provider_batchlinux.core.tasks.job import (
    ENDING_JOB_STATES,
    job_state,
    why_never_starts,
    why_paused,
)
from airflow_provider_batchlinux.core.tasks.plan import blocked_tasks, starts_of
from airflow_provider_batchlinux.core.tasks.records import TaskCounts, progress_text
from airflow_provider_batchlinux.core.tasks.spec.exit_codes import ENDS_WELL, Ending
from airflow_provider_batchlinux.core.tasks.start import may_have_node
from airflow_provider_batchlinux.core.tasks.task import FAILED_TASKS, TASK_FIELDS, TaskSnapshot, ending_of
from airflow_provider_batchlinux.core.text import counted, indented, joined
from airflow_provider_batchlinux.exceptions import BatchLinuxError, TaskFailedError

log = logging.getLogger(__name__)

SHOWN_FAILURES = 3
"""Failed commands whose output is in the log as soon as they have failed."""

_STEPS = 50
"""Lines of the log about progress, at most, if nothing fails."""

_NOT_ENDED = "state ne 'completed'"


@dataclass
class JobWait:
    """
    Wait until the commands of a job have ended, or can never end.

    A poll is one request, whatever their number. Failed ones are listed when there are more of them.

    :param total: how many there are at least.
    :param done: commands that have succeeded in other jobs, for the log.
    :param exit_codes: what exit codes mean.
    :param has_dependencies: whether some wait for others.
    :param prepares: whether the job has a preparation task.
    :param start_by: seconds since the epoch until which the first command may wait for its start; ``None``
        for no limit.
    :param starts: the starts in the job before this wait, which do not count as the first.
    :param shown: the failed ones whose output is in the log already.
    :param clock: seconds since the epoch; a test passes its own.
    :param shows_output: whether the log may have the output of failed commands.
    """

    client: BatchLinuxClient
    pool_id: str
    job_id: str
    total: int
    done: int = 0
    exit_codes: Mapping[int, Ending] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)
    has_dependencies: bool = False
    prepares: bool = False
    start_by: float | None = None
    starts: int = 0
    clock: Callable[[], float] = time.time
    shows_output: bool = True
    knows_total: ClassVar[bool] = True
    """Whether the job has fewer tasks than the total only if some were deleted."""
    _or_missing: ClassVar[str] = " or were deleted"

    status: str = field(default="", init=False)
    _counts: TaskCounts = field(default_factory=TaskCounts, init=False)
    _reported: int = field(default=-1, init=False)
    _well: set[str] = field(default_factory=set, init=False)
    _since: str = field(default="", init=False)
    _looked_at: float = field(default=0.0, init=False)
    _note: str = field(default="", init=False)

    async def poll(self) -> dict[str, Any] | None:
        """
        Return the job's id if nothing of it can change any more, or ``None`` if it is too early.

        :raises TaskFailedError: if the job or its pool does not exist, or nothing of it has started in time.
        """
        counts = await self.client.task_counts(self.job_id)
        if counts is None:
            msg = f"Job {self.job_id!r} does not exist any more: it was deleted."
            raise TaskFailedError(msg)
        self._looked_at = self._looked_at or self.clock()
        if counts.running:
            self._note, self.start_by = "", None
        has_failed_more = counts.failed > self._counts.failed
        if has_failed_more:
            await self._show_failures()
        is_over = await self._is_over(counts)
        self._update_status(counts, is_over=is_over)
        self._counts = counts
        if not is_over and self.start_by is not None and self.clock() > self.start_by:
            await self._require_start_in_time()
        return {"job_id": self.job_id, "note": self._note} if is_over else None

    def _update_status(self, counts: TaskCounts, *, is_over: bool) -> None:
        # The log gets a line whenever the status changes: of thousands of commands, not one for each.
        total = max(self.total, counts.total)
        is_step = counts.ended - self._reported >= max(1, total // _STEPS)
        has_note = self.status and self._note in self.status
        if not is_over and not is_step and counts.failed == self._counts.failed and has_note:
            return
        self._reported = counts.ended
        before = f" ({counted(self.done, 'command')} before)" if self.done else ""
        self.status = f"Job {self.job_id!r}: {progress_text(counts, total, len(self._well))}{before}."
        if self._note:
            self.status = f"{self.status} {self._note}"

    async def _require_start_in_time(self) -> None:
        # The counts may be outdated, and a command that has lost its node has started before.
        tasks = await self.client.read_tasks(self.job_id, TaskSnapshot.from_rest, select=TASK_FIELDS)
        if starts_of(tasks) > self.starts:
            self.start_by = None
            return
        obstacle = await self._obstacle.newest(is_urgent=True) or self._note
        msg = f"No command of job {self.job_id!r} has started after start_limit. {obstacle}"
        raise TaskFailedError(msg.rstrip())

    async def _is_over(self, counts: TaskCounts) -> bool:
        """Return whether all have ended, by an exact query; the counts alone may be outdated."""
        has_left = counts.active or counts.running
        # Nothing runs: what is left may wait for nodes, or for commands that have failed.
        is_due = counts != self._counts or self.clock() >= self._looked_at + LOOK_EVERY
        if not has_left and (counts.ended >= self.total or self.clock() >= self._looked_at + LOOK_EVERY):
            self._looked_at = self.clock()
            return not await self.client.read_tasks(
                self.job_id, dict, where=_NOT_ENDED, select=["id"], most=1
            )
        if counts.running or not counts.active or not is_due:
            return False
        self._looked_at = self.clock()
        is_quiet = counts == self._counts and (not self.knows_total or counts.total < self.total)
        return await self._never_ends(has_failed=counts.failed > 0, is_quiet=is_quiet)

    async def _never_ends(self, *, has_failed: bool, is_quiet: bool) -> bool:
        """
        Return whether what is left will never start; nothing runs.

        :param is_quiet: whether nothing has changed for a while although tasks may have been deleted, so that
            a closer look is worth its requests.
        """
        job = await self.client.find_job(self.job_id)
        if job is not None and job_state(job) in ENDING_JOB_STATES:
            # Whatever has ended it: what has not begun by now never does.
            reason = why_never_starts(self.job_id, job) or f"job {self.job_id!r} has ended"
            self._note = f"{reason[:1].upper()}{reason[1:]}."
        elif (
            self.has_dependencies
            and (has_failed or is_quiet)
            and (by_failures := await self._are_blocked(is_quiet=is_quiet)) is not None
        ):
            self._note = f"What is left waits for commands that have failed{self._or_missing * is_quiet}."
            if not by_failures and not self.knows_total:
                return False  # the client that has created the job may add them later
        elif job is not None and (paused := why_paused(self.job_id, job)):
            self._note = paused
            return False
        else:
            unprepared = await self._unprepared() if self.prepares else None
            obstacle = await self._obstacle.newest() if self.pool_id and not unprepared else None
            self._note = unprepared or obstacle or ""
            return False
        # The counts may be outdated, so that something may run after all.
        running = f"{_NOT_ENDED} and state ne 'active'"
        return not await self.client.read_tasks(self.job_id, dict, where=running, select=["id"], most=1)

    async def _unprepared(self) -> str | None:
        """
        Return on which nodes the preparation task has failed; ``None`` if on none. They run no command.

        :raises TaskFailedError: it has failed on all that the pool has.
        """
        failed = await self.client.failed_preparations(self.job_id)
        if not failed:
            return None
        node_id, run = next(iter(failed.items()))
        note = (
            f"The preparation task has failed on {joined(sorted(failed))}: exit code {run.get('exitCode')}."
        )
        nodes = await self.client.list_nodes(self.pool_id)
        if any(node.node_id not in failed for node in nodes if may_have_node([node.state])):
            return note
        path = f"{run.get('taskRootDirectory')}/stderr.txt"
        try:
            end = (await node_file(self.client, self.pool_id, node_id, path).tail(2_000)).text()
        except BatchLinuxError as error:
            end = f"(not available: {error})"
        msg = f"Job {self.job_id!r} cannot run. {note} The end of its stderr:\n{indented(end or '(empty)')}"
        raise TaskFailedError(msg)

    async def _are_blocked(self, *, is_quiet: bool) -> bool | None:
        """
        Return whether failures alone block all that is left; ``None`` if something may still start.

        :param is_quiet: whether tasks that do not exist count, too, as they may have been deleted.
        """
        failed = await self.client.read_tasks(
            self.job_id, dict, where=FAILED_TASKS, select=["id", "executionInfo", "exitConditions"]
        )
        left = await self.client.read_tasks(self.job_id, dict, where=_NOT_ENDED, select=["id", "dependsOn"])
        by_id = {str(body["id"]).lower(): body for body in failed}
        if len(blocked_tasks(left, by_id)) == len(left) > 0:
            return True
        if not is_quiet:
            return None
        # The service does not say what it does with a task that waits for one that was deleted.
        there = await self.client.read_tasks(self.job_id, lambda body: str(body["id"]), select=["id"])
        return False if len(blocked_tasks(left, by_id, there)) == len(left) > 0 else None

    @cached_property
    def _obstacle(self) -> PoolObstacle:
        return PoolObstacle(self.client, self.pool_id, f"Job {self.job_id!r}", self.clock)

    async def _show_failures(self) -> None:
        """Log the first failures with the end of their output, and count those that exit codes excuse."""
        if len(self.shown) >= SHOWN_FAILURES and not self.exit_codes:
            return

        def read(body: Body) -> tuple[str, TaskSnapshot, str]:
            return str(body["id"]), TaskSnapshot.from_rest(body), str(body.get("stateTransitionTime") or "")

        # Only newer ones; those of the same instant come again, and are known by their ids.
        later = f" and stateTransitionTime ge datetime'{self._since}'" if self._since else ""
        rows = await self.client.read_tasks(
            self.job_id, read, where=FAILED_TASKS + later, select=[*TASK_FIELDS, "stateTransitionTime"]
        )
        self._since = max((at for _, _, at in rows), default=self._since)
        for task_id, task, _ in rows:
            if ending_of(task, self.exit_codes) in ENDS_WELL:
                self._well.add(task_id)
            elif task_id not in self.shown and len(self.shown) < SHOWN_FAILURES:
                self.shown.append(task_id)
                end = ""
                if self.shows_output:
                    end = await output_end(self.client, self.job_id, task_id, task)
                log.warning("Task %r of job %r failed: %s.%s", task_id, self.job_id, task.why_failed(), end)
