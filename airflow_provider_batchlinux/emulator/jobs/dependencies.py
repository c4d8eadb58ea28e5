"""Holds tasks back until those that they depend on have ended well; knows no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from airflow_provider_batchlinux.emulator.jobs.task_queue import TaskKey, task_key
from airflow_provider_batchlinux.emulator.rules.exit_conditions import dependency_action
from airflow_provider_batchlinux.emulator.state.records import Json, Task
from airflow_provider_batchlinux.emulator.state.store import Store


def required_ids(depends_on: Json) -> Iterator[str]:
    """Return the ids of the tasks that a ``dependsOn`` names, one by one; ranges can be long."""
    yield from depends_on.get("taskIds", ())
    for ids in depends_on.get("taskIdRanges", ()):
        yield from map(str, range(ids["start"], ids["end"] + 1))


@dataclass
class TaskDependencies:
    """
    Where tasks wait for others of their job, each for one at a time.

    So the end of a task costs no more than the number of those that wait for just this one. A task
    that does not exist holds back those that name it, until it is added and ends. That it runs again
    later changes nothing for those it has let pass; this is not documented; assumed.

    :param on_ready: called with a task that waits for no other.
    """

    store: Store
    on_ready: Callable[[Task], None]
    _held: dict[TaskKey, list[tuple[TaskKey, Iterator[str]]]] = field(default_factory=dict)

    def add(self, task: Task) -> None:
        """Let a task pass as soon as what it depends on is satisfied."""
        self._advance(task_key(task), required_ids(task.spec.get("dependsOn", {})))

    def completed(self, task: Task) -> None:
        """Let those pass that waited for a task, if it ended as they need it."""
        if not _is_satisfied(task):
            return
        for waiting, others in self._held.pop(task_key(task), []):
            self._advance(waiting, others)

    def delete_job(self, job_id: str) -> None:
        """Forget the tasks of a job that is gone."""
        for key in [key for key in self._held if key[0] == job_id.lower()]:
            del self._held[key]

    def _advance(self, key: TaskKey, others: Iterator[str]) -> None:
        tasks = self.store.tasks(key[0])
        task = tasks.get(key[1])
        if task is None or task.state != "active":
            return
        for other_id in others:
            other = tasks.get(other_id)
            if other is None or not _is_satisfied(other):
                self._held.setdefault((key[0], other_id.lower()), []).append((key, others))
                return
        self.on_ready(task)


def _is_satisfied(task: Task) -> bool:
    return task.state == "completed" and dependency_action(task.spec, task.execution) == "satisfy"
