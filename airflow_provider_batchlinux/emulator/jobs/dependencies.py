"""Task dependencies: tasks wait until those they depend on are completed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

from airflow_provider_batchlinux.emulator.jobs.task_queue import TaskKey, task_key
from airflow_provider_batchlinux.emulator.rules.exit_conditions import dependency_action
from airflow_provider_batchlinux.emulator.simulation.clock import MANY, Clock, in_turns
from airflow_provider_batchlinux.emulator.state.records import Json, Task
from airflow_provider_batchlinux.emulator.state.store import Store


def required_ids(depends_on: Json) -> Iterator[str]:
    """Yield the ids of the tasks in a ``dependsOn``. A generator, since ranges can be long."""
    yield from depends_on.get("taskIds", ())
    for ids in depends_on.get("taskIdRanges", ()):
        yield from map(str, range(ids["start"], ids["end"] + 1))


@dataclass
class TaskDependencies:
    """
    Tasks that wait for others of their job, each for one task at a time.

    So the cost of completing a task depends only on the number of tasks that wait for it at that time. A task
    waits for dependencies that do not exist yet. Assumed: if a dependency is reactivated, tasks that it has
    released stay released.

    :param on_ready: called with each task whose dependencies are satisfied.
    """

    store: Store
    clock: Clock
    on_ready: Callable[[Task], None]
    _waiting: dict[TaskKey, list[tuple[TaskKey, Iterator[str]]]] = field(default_factory=dict)

    def add(self, task: Task) -> None:
        """Add a task. It is ready when its dependencies are satisfied."""
        self._advance(task_key(task), required_ids(task.spec.get("dependsOn", {})))

    def completed(self, task: Task) -> None:
        """Release the tasks that wait for a completed task, if it satisfies them."""
        if not _is_satisfied(task):
            return
        in_turns(self.clock, self._waiting.pop(task_key(task), []), lambda waiting: self._advance(*waiting))

    def delete_job(self, job_id: str) -> None:
        """Remove the waiting tasks of a deleted job."""
        for key in [key for key in self._waiting if key[0] == job_id.lower()]:
            del self._waiting[key]

    def _advance(self, key: TaskKey, others: Iterator[str]) -> None:
        tasks = self.store.tasks(key[0])
        task = tasks.get(key[1])
        if task is None or task.state != "active":
            return
        for other_id in islice(others, MANY):
            other = tasks.get(other_id)
            if other is None or not _is_satisfied(other):
                self._waiting.setdefault((key[0], other_id.lower()), []).append((key, others))
                return
        following = next(others, None)
        if following is None:
            self.on_ready(task)
        else:
            # A range may have any number of ids: others have their turn.
            self.clock.call_later(0, lambda: self._advance(key, chain([following], others)))


def _is_satisfied(task: Task) -> bool:
    return task.state == "completed" and dependency_action(task.spec, task.execution) == "satisfy"
