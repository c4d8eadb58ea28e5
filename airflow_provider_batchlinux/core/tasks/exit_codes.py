"""What the exit code of a command means for its Airflow task."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_batchlinux.core.tasks.spec.exit_codes import Ending
from airflow_provider_batchlinux.core.tasks.task import TaskOutcome, TaskSnapshot, task_outcome


def ending_of(task: TaskSnapshot, exit_codes: Mapping[int, Ending]) -> Ending:
    """
    Return how the Airflow task of a command that has ended is to end.

    Only an exit code that the command itself returned is looked up. One that was terminated or could not
    start has none that counts: it fails, and may be retried.
    """
    if task.own_exit_code is not None and task.own_exit_code in exit_codes:
        return exit_codes[task.own_exit_code]
    return "success" if task_outcome(task) is TaskOutcome.SUCCEEDED else "retry"
