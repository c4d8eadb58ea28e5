"""The lifecycle of jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from airflow_provider_batchlinux.emulator.jobs.dependencies import TaskDependencies
from airflow_provider_batchlinux.emulator.jobs.node_tasks import JobTasks
from airflow_provider_batchlinux.emulator.jobs.scheduler import (
    ENDED_BY_USER,
    PLACED_TASK_STATES,
    TaskScheduler,
)
from airflow_provider_batchlinux.emulator.pools.lifecycle import AutoPools
from airflow_provider_batchlinux.emulator.protocol.instants import parse_duration
from airflow_provider_batchlinux.emulator.rules.exit_conditions import job_action
from airflow_provider_batchlinux.emulator.simulation.clock import Clock, Timer, in_turns
from airflow_provider_batchlinux.emulator.simulation.lifecycle import Delays
from airflow_provider_batchlinux.emulator.state.records import Job, Json, Task
from airflow_provider_batchlinux.emulator.state.store import Store

_ENDLESS = 10 * 365 * 86400.0
"""Wall-clock limits from here on mean no limit."""

_MANAGER_PROPERTIES = frozenset({"killJobOnCompletion", "runExclusive", "allowLowPriorityNode"})
"""Properties that only a job manager task has."""

_ANY_TASK_STATE = frozenset({"active", "completed", *PLACED_TASK_STATES})
_ENDING = frozenset({"terminating", "completed", "deleting"})
_DISABLE_OPTIONS: Mapping[str, Callable[[TaskScheduler, Task], None]] = {
    "requeue": TaskScheduler.requeue,
    "terminate": TaskScheduler.terminate,
    "wait": lambda _scheduler, _task: None,
}


@dataclass
class JobLifecycle:
    """
    The only place that changes the state of jobs.

    :param on_ended: called with a job that is completed or deleted.
    """

    store: Store
    clock: Clock
    scheduler: TaskScheduler
    job_tasks: JobTasks
    auto_pools: AutoPools
    delays: Delays
    on_ended: Callable[[Job], None]
    _limits: dict[str, Timer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._dependencies = TaskDependencies(self.store, self.clock, on_ready=self.scheduler.add)

    def add(self, job: Job) -> None:
        """Add a job. It is active, or completed if its auto pool cannot be created."""
        job = self.store.put_job(self.auto_pools.assign(job))
        if job.state == "completed":
            self.clock.call_later(0, lambda: self.on_ended(job))
            return
        self._set_limit(job)
        if "jobManagerTask" in job.spec:
            self.add_task(_manager_task(job))
        else:
            self.end_if_complete(job.id)

    def resume(self, job: Job) -> None:
        """Resume a job after a restart."""
        self.job_tasks.resume(job)
        if job.state in ("terminating", "deleting"):
            then = {"terminating": lambda: self._complete(job.id), "deleting": lambda: self._forget(job)}
            self.job_tasks.release(job, then=then[job.state])
        elif job.state != "completed":
            self._set_limit(job)
            for task in self.store.tasks(job.id):
                self._resume_task(task)
            self.clock.call_later(0, lambda: self._settle(job.id))

    def _resume_task(self, task: Task) -> None:
        if task.state in PLACED_TASK_STATES:
            self.scheduler.requeue_lost(task)
        elif task.state == "active":
            self._dependencies.add(task)

    def _settle(self, job_id: str) -> None:
        self._disable_if_at_rest(job_id)
        self.end_if_complete(job_id)
        job = self.store.jobs.get(job_id)
        if job is not None and job.state == "active":
            self.scheduler.place(job.pool_id)

    def add_task(self, task: Task) -> None:
        """Add a task to a job. It runs when its dependencies are satisfied."""
        self._dependencies.add(self.store.put_task(task))

    def run_again(self, task: Task) -> None:
        """Run a completed task again, when its dependencies are satisfied."""
        self._dependencies.add(self.scheduler.reset(task))

    def end_if_complete(self, job_id: str) -> None:
        """
        Terminate a job with ``onAllTasksComplete`` if all its tasks are completed.

        Documented: a job without tasks counts as complete.
        """
        job = self.store.jobs.get(job_id)
        if job is None or job.state != "active":
            return
        if job.spec["onAllTasksComplete"] != "terminatejob":
            return
        counts = self.store.tasks(job.id).counts
        if all(state == "completed" for (state, *_), number in counts.items() if number):
            # Recorded so; the documentation leaves out the last letter.
            self.terminate(job, "AllTasksCompleted")

    def terminate(self, job: Job, reason: str) -> Job:
        """
        Start to terminate a job. Running tasks are terminated; waiting ones stay active and never run.

        :param reason: the ``terminateReason`` of the job.
        """
        awaited = _awaiting_nodes("Termination", self._nodes_of(job))
        job = self._enter(job, "terminating", terminate_reason=reason, scheduling_error=awaited)
        self.scheduler.dequeue_job(job)
        delay = 0.0 if awaited is None else self.delays.of("ending", job.id)
        self._for_each(
            self.scheduler.placed_tasks(job.id),
            PLACED_TASK_STATES,
            self.scheduler.terminate,
            then=lambda: self.job_tasks.release(job, then=lambda: self._complete_later(job, delay)),
        )
        return job

    def disable(self, job: Job, running_tasks: str) -> Job:
        """
        Disable a job, so that none of its tasks starts.

        :param running_tasks: option for running tasks: ``requeue`` runs them again when the job is enabled,
            ``terminate`` terminates them, ``wait`` lets them finish; the job is ``disabling`` until then.
        """
        job = self._enter(job, "disabling")
        self._for_each(
            self.scheduler.placed_tasks(job.id),
            PLACED_TASK_STATES,
            partial(_DISABLE_OPTIONS[running_tasks], self.scheduler),
        )
        self.clock.call_later(0, lambda: self._disable_if_at_rest(job.id))
        return job

    def enable(self, job: Job) -> Job:
        """Let the tasks of a job run again."""
        job = self._enter(job, "active")
        self.clock.call_later(0, lambda: self._settle(job.id))
        return job

    def change(self, job: Job, spec: Mapping[str, Any]) -> Job:
        """Change the description of a job. Its waiting tasks move to the pool in it."""
        now = self.clock.now()
        job = self.store.put_job(replace(job, spec=spec, version=self.store.next_version(now)))

        def move(task: Task) -> None:
            # Until its turn the job may have been moved again.
            pool_id = self.store.job(job.id).pool_id
            if task.pool_id.lower() != pool_id.lower():
                self.scheduler.move(task, pool_id)

        self._for_each(
            list(self.store.tasks(job.id)), {"active"}, move, then=lambda: self.scheduler.place(job.pool_id)
        )
        self._set_limit(job)
        self.end_if_complete(job.id)
        return job

    def delete(self, job: Job) -> Job:
        """Start to delete a job, its tasks and their files."""
        self._cancel_limit(job.id)
        self._dependencies.delete_job(job.id)
        is_released = job.state in ("terminating", "completed")

        def end() -> None:
            if is_released:
                self.clock.call_later(0, lambda: self._forget(job))
            else:
                self.job_tasks.release(job, then=lambda: self._forget(job))

        self.scheduler.dequeue_job(job)
        self._for_each(list(self.store.tasks(job.id)), _ANY_TASK_STATE, self.scheduler.remove, then=end)
        awaited = _awaiting_nodes("Deletion", self._nodes_of(job))
        return self._enter(job, "deleting", scheduling_error=awaited)

    def task_completed(self, task: Task) -> None:
        """Release the tasks that depend on a completed task, and perform its job action."""
        self._dependencies.completed(task)
        self._terminate_if_managed_by(task)
        self._perform_job_action(task)
        self.clock.call_later(0, lambda: self.end_if_complete(task.job_id))
        self.clock.call_later(0, lambda: self._disable_if_at_rest(task.job_id))

    def _forget(self, job: Job) -> None:
        self.job_tasks.forget(job)
        self.store.delete_job(job.id)
        self._end(job)

    def _terminate_if_managed_by(self, task: Task) -> None:
        job = self.store.jobs.get(task.job_id)
        manager = {} if job is None else job.spec.get("jobManagerTask", {})
        if manager.get("id", "").lower() == task.id.lower() and manager["killJobOnCompletion"]:
            self._terminate_by_id(task.job_id, "JMComplete")

    def _perform_job_action(self, task: Task) -> None:
        job = self.store.jobs.get(task.job_id)
        if job is None or job.state != "active" or job.spec["onTaskFailure"] == "noaction":
            return
        if task.execution.get("failureInfo", {}).get("message") == ENDED_BY_USER:
            # Recorded by the SDK's own tests: such a task is reactivated right after, so its job goes on.
            return
        action = job_action(task.spec, task.execution)
        if action == "disable":
            self.disable(job, "requeue")
        elif action == "terminate":
            self.terminate(job, "TaskFailed")

    def _set_limit(self, job: Job) -> None:
        if job.state in _ENDING:
            return
        self._cancel_limit(job.id)
        seconds = parse_duration(job.spec["constraints"]["maxWallClockTime"])
        if seconds < _ENDLESS:
            left = seconds - (self.clock.now() - job.created).total_seconds()
            self._limits[job.id.lower()] = self.clock.call_later(
                max(0, left), lambda: self._terminate_by_id(job.id, "MaxWallClockTimeExpiry")
            )

    def _for_each(
        self,
        tasks: Sequence[Task],
        states: Collection[str],
        work: Callable[[Task], object],
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Do something with tasks in turns, with each only if it is still in one of some states then."""

        def turn(task: Task) -> None:
            current = self.store.tasks(task.job_id).get(task.id)
            if current is not None and current.state in states:
                work(current)

        in_turns(self.clock, tasks, turn, then)

    def _disable_if_at_rest(self, job_id: str) -> None:
        job = self.store.jobs.get(job_id)
        if job is not None and job.state == "disabling" and not self.scheduler.running_tasks(job_id):
            self._go_on(job, "disabled")

    def _terminate_by_id(self, job_id: str, reason: str) -> None:
        job = self.store.jobs.get(job_id)
        if job is not None and job.state not in _ENDING:
            self.terminate(job, reason)

    def _complete_later(self, job: Job, delay: float) -> None:
        if not delay:
            self._complete(job.id)
            return
        # Recorded: its nodes take their time to report. Meanwhile it may be deleted, and another one created.
        self._cancel_limit(job.id)
        self._limits[job.id.lower()] = self.clock.call_later(delay, lambda: self._complete(job.id))

    def _complete(self, job_id: str) -> None:
        self._cancel_limit(job_id)
        job = self.store.jobs.get(job_id)
        if job is not None and job.state == "terminating":
            self._end(self._go_on(job, "completed", ended=self.clock.now(), scheduling_error=None))

    def _end(self, job: Job) -> None:
        self.auto_pools.job_ended(job)
        self.on_ended(job)

    def _cancel_limit(self, job_id: str) -> None:
        timer = self._limits.pop(job_id.lower(), None)
        if timer is not None:
            timer.cancel()

    def _nodes_of(self, job: Job) -> set[str]:
        """Return the ids of the nodes that run tasks of a job, or were prepared for it."""
        placed = {node_id for task in self.scheduler.placed_tasks(job.id) for node_id in task.node_ids}
        return placed | {place.node_id for place in self.store.job_nodes(job.id)}

    def _go_on(self, job: Job, state: str, **changes: Any) -> Job:
        """Let a job reach the state that was asked for before: recorded to be no change of its version."""
        return self.store.put_job(replace(job, state=state, state_since=self.clock.now(), **changes))

    def _enter(self, job: Job, state: str, **changes: Any) -> Job:
        """Put a job into the requested state."""
        now = self.clock.now()
        return self.store.put_job(
            replace(
                job,
                state=state,
                state_since=now,
                previous_state=job.state,
                previous_since=job.state_since,
                version=self.store.next_version(now),
                **changes,
            )
        )


def _awaiting_nodes(operation: str, nodes: set[str]) -> Json | None:
    """
    Return what a job says while nodes are still to hear of its end: no failure, in the form of one.

    Recorded of a termination; that a deletion words it alike is assumed.
    """
    if not nodes:
        return None
    return {
        "category": "ServerError",
        "code": f"Job{operation}AwaitingNodeProcessing",
        "message": f"The Job {operation.lower()} operation is waiting for processing from one or more node.",
        "details": [{"name": "Number of nodes awaiting processing", "value": str(len(nodes))}],
    }


def _manager_task(job: Job) -> Task:
    spec = {
        name: value for name, value in job.spec["jobManagerTask"].items() if name not in _MANAGER_PROPERTIES
    }
    return Task(
        id=spec.pop("id"),
        job_id=job.id,
        pool_id=job.pool_id,
        spec=spec,
        created=job.created,
        version=job.version,
        state="active",
        state_since=job.state_since,
        execution={"retryCount": 0, "requeueCount": 0},
        is_exclusive=job.spec["jobManagerTask"]["runExclusive"],
        is_dedicated=not job.spec["jobManagerTask"]["allowLowPriorityNode"],
    )
