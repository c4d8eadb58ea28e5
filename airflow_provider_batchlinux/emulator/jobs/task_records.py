"""Changes the states of tasks in their records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any

from airflow_provider_batchlinux.emulator.nodes.programs import Outcome, user_error
from airflow_provider_batchlinux.emulator.protocol.instants import format_instant
from airflow_provider_batchlinux.emulator.simulation.clock import Clock
from airflow_provider_batchlinux.emulator.state.records import Subtask, Task
from airflow_provider_batchlinux.emulator.state.store import Store


def terminated(sentence: str) -> Outcome:
    """Return the outcome of a terminated task."""
    return Outcome(failure=user_error("TaskEnded", sentence, {}))


@dataclass
class TaskRecords:
    """The only place that changes the states of tasks."""

    store: Store
    clock: Clock

    def current(self, task: Task) -> Task:
        """Return the current record of a task."""
        return self.store.task(task.job_id, task.id)

    def enter(self, task: Task, state: str, **changes: Any) -> Task:
        """Set the state of a task, which gets a new version."""
        now = self.clock.now()
        return self.store.put_task(
            replace(
                task,
                state=state,
                state_since=now,
                previous_state=task.state,
                previous_since=task.state_since,
                version=self.store.next_version(now),
                **changes,
            )
        )

    def wait_again(self, task: Task, **execution: Any) -> Task:
        """Make a task active, without a node."""
        info = {**task.execution, **execution}
        return self.enter(task, "active", execution=info, node_id=None, subtasks=())

    def requeue(self, task: Task) -> Task:
        """Make a task active, and count a requeue."""
        times = task.execution["requeueCount"] + 1
        execution = {"retryCount": 0, "requeueCount": times, "lastRequeueTime": self.time()}
        return self.enter(task, "active", execution=execution, node_id=None, subtasks=())

    def run(self, task: Task) -> Task:
        """Set a task to running. If it has a container, it gets a made-up container id."""
        execution = {**task.execution, "startTime": self.time()}
        if "containerSettings" in task.spec:
            execution["containerInfo"] = {"containerId": token_hex(32), "state": "running"}
        return self.enter(task, "running", execution=execution)

    def retry(self, task: Task) -> None:
        """Count a retry of a task."""
        retries = task.execution["retryCount"] + 1
        tried = {"retryCount": retries, "lastRetryTime": self.time()}
        self.store.put_task(replace(task, execution={**task.execution, **tried}))

    def complete(self, task: Task, outcome: Outcome) -> Task:
        """Complete a task and its subtasks."""
        task = self.end_subtasks(task)
        execution = {**task.execution, **outcome.facts(self.time())}
        if "containerInfo" in execution:
            execution["containerInfo"] = {**execution["containerInfo"], "state": "exited"}
        return self.enter(task, "completed", execution=execution)

    def note_subtask(self, task: Task, number: int, outcome: Outcome | None) -> None:
        """Set a subtask to running, or to completed if it has an outcome."""
        current = self.current(task)
        subtasks = tuple(
            self._changed(subtask, outcome) if subtask.id == number else subtask
            for subtask in current.subtasks
        )
        self.store.put_task(replace(current, subtasks=subtasks))

    def end_subtasks(self, task: Task) -> Task:
        """Complete the subtasks of a task that ends."""
        if not task.subtasks:
            return task
        outcome = terminated("The subtask was ended because its task has ended")
        subtasks = tuple(
            subtask if subtask.state == "completed" else self._changed(subtask, outcome)
            for subtask in task.subtasks
        )
        return self.store.put_task(replace(task, subtasks=subtasks))

    def time(self) -> str:
        """Return the time in the format of the service."""
        return format_instant(self.clock.now())

    def _changed(self, subtask: Subtask, outcome: Outcome | None) -> Subtask:
        if outcome is None:
            state, execution = "running", {"startTime": self.time()}
        else:
            state, execution = "completed", {**subtask.execution, **outcome.facts(self.time())}
        return replace(
            subtask,
            state=state,
            state_since=self.clock.now(),
            previous_state=subtask.state,
            previous_since=subtask.state_since,
            execution=execution,
        )
