"""Removes the files of tasks once the time to keep them is over; knows no HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_provider_batchlinux.emulator.protocol.instants import parse_duration, parse_instant
from airflow_provider_batchlinux.emulator.simulation.clock import Clock
from airflow_provider_batchlinux.emulator.state.records import Task
from airflow_provider_batchlinux.emulator.state.store import Store

_ENDLESS = 10 * 365 * 86400.0
"""Retention times from here on are taken as without end."""


def end_of_retention(task: Task) -> datetime | None:
    """Return from when on the files of a completed task are not kept; ``None`` means they are."""
    seconds = parse_duration(task.spec["constraints"]["retentionTime"])
    if task.state != "completed" or "endTime" not in task.execution or seconds >= _ENDLESS:
        return None
    return parse_instant(task.execution["endTime"]) + timedelta(seconds=seconds)


@dataclass
class TaskRetention:
    """
    Watches over completed tasks, which may be deleted, run again or get another retention time meanwhile.

    The service may keep files for longer than it has to; here they go at once, so that tests can see it.

    :param discard_files: removes what a task left on its node.
    """

    store: Store
    clock: Clock
    discard_files: Callable[[Task], None]

    def watch(self, task: Task) -> None:
        """Remove the files of a completed task in time; one that is not completed is left alone."""
        end = end_of_retention(task)
        if end is not None:
            left = max(0.0, (end - self.clock.now()).total_seconds())
            self.clock.call_later(left, lambda: self._look_at(task.job_id, task.id))

    def _look_at(self, job_id: str, task_id: str) -> None:
        task = self.store.tasks(job_id).get(task_id)
        end = None if task is None else end_of_retention(task)
        if task is not None and end is not None and end <= self.clock.now():
            self.discard_files(task)
