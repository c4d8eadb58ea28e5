"""Removes the files of completed tasks after their retention time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_provider_batchlinux.emulator.protocol.instants import parse_duration, parse_instant
from airflow_provider_batchlinux.emulator.simulation.clock import Clock
from airflow_provider_batchlinux.emulator.state.records import Task
from airflow_provider_batchlinux.emulator.state.store import Store

_ENDLESS = 10 * 365 * 86400.0
"""Retention times from here on mean no limit."""


def end_of_retention(task: Task) -> datetime | None:
    """Return the end of the retention time of a completed task; ``None`` for no end."""
    seconds = parse_duration(task.spec["constraints"]["retentionTime"])
    if task.state != "completed" or "endTime" not in task.execution or seconds >= _ENDLESS:
        return None
    return parse_instant(task.execution["endTime"]) + timedelta(seconds=seconds)


@dataclass
class TaskRetention:
    """
    Removes the files of completed tasks at the end of their retention time.

    The service may keep files longer. Here they are removed immediately, so that tests can see it.

    :param discard_files: removes the files of a task from its nodes.
    """

    store: Store
    clock: Clock
    discard_files: Callable[[Task], None]

    def watch(self, task: Task) -> None:
        """Schedule the removal of the files of a completed task; do nothing for other tasks."""
        end = end_of_retention(task)
        if end is not None:
            left = max(0.0, (end - self.clock.now()).total_seconds())
            self.clock.call_later(left, lambda: self._remove_if_due(task.job_id, task.id))

    def _remove_if_due(self, job_id: str, task_id: str) -> None:
        # Meanwhile the task may have been deleted or reactivated, or have another retention time.
        task = self.store.tasks(job_id).get(task_id)
        end = None if task is None else end_of_retention(task)
        if task is not None and end is not None and end <= self.clock.now():
            self.discard_files(task)
