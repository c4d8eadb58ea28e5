"""Writes down what becomes of tasks; decides nothing."""

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
    """Return how a task ends that is not left to run to its end."""
    return Outcome(failure=user_error("TaskEnded", sentence, {}))


@dataclass
class TaskRecords:
    """The only place that changes records of tasks from one state to another."""

    store: Store
    clock: Clock

    def now(self, task: Task) -> Task:
        """Return a task as it is now."""
        return self.store.task(task.job_id, task.id)

    def enter(self, task: Task, state: str, **changes: Any) -> Task:
        """Put a task into a state; it becomes another version of itself."""
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
        """Let a task be one that waits for nodes."""
        facts = {**task.execution, **execution}
        return self.enter(task, "active", execution=facts, node_id=None, subtasks=())

    def requeue(self, task: Task) -> Task:
        """Let a task that ran wait for nodes once more, as if it had never run."""
        times = task.execution["requeueCount"] + 1
        execution = {"retryCount": 0, "requeueCount": times, "lastRequeueTime": self.time()}
        return self.enter(task, "active", execution=execution, node_id=None, subtasks=())

    def run(self, task: Task) -> Task:
        """Let a task run; a container of it is only a name."""
        execution = {**task.execution, "startTime": self.time()}
        if "containerSettings" in task.spec:
            execution["containerInfo"] = {"containerId": token_hex(32), "state": "running"}
        return self.enter(task, "running", execution=execution)

    def retry(self, task: Task) -> None:
        """Count another try of a task."""
        retries = task.execution["retryCount"] + 1
        tried = {"retryCount": retries, "lastRetryTime": self.time()}
        self.store.put_task(replace(task, execution={**task.execution, **tried}))

    def complete(self, task: Task, outcome: Outcome) -> Task:
        """Let a task be completed, and with it its subtasks."""
        task = self.end_subtasks(task)
        execution = {**task.execution, **outcome.facts(self.time())}
        if "containerInfo" in execution:
            execution["containerInfo"] = {**execution["containerInfo"], "state": "exited"}
        return self.enter(task, "completed", execution=execution)

    def note_subtask(self, task: Task, number: int, outcome: Outcome | None) -> None:
        """Let a subtask run, if it has no outcome yet, or be completed."""
        current = self.now(task)
        subtasks = tuple(
            self._changed(subtask, outcome) if subtask.id == number else subtask
            for subtask in current.subtasks
        )
        self.store.put_task(replace(current, subtasks=subtasks))

    def end_subtasks(self, task: Task) -> Task:
        """Complete what subtasks do, since their task does not go on."""
        outcome = terminated("The subtask was ended since its task has ended")
        subtasks = tuple(
            subtask if subtask.state == "completed" else self._changed(subtask, outcome)
            for subtask in task.subtasks
        )
        return self.store.put_task(replace(task, subtasks=subtasks))

    def time(self) -> str:
        """Return the time as the service writes it."""
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
