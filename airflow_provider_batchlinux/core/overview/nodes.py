"""A pool's nodes at a glance: their states, why some are broken, and what runs on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_batchlinux.core.instants import instant_text
from airflow_provider_batchlinux.core.node_states import WITHOUT_MACHINE_STATES
from airflow_provider_batchlinux.core.pool_metadata import Holder, PoolMarks
from airflow_provider_batchlinux.core.service_errors import broken_cause
from airflow_provider_batchlinux.core.snapshots import NODE_FIELDS, NodeSnapshot
from airflow_provider_batchlinux.core.tasks.job import job_state

NODE_OVERVIEW_FIELDS = (*NODE_FIELDS, "recentTasks")
"""The properties to request of each node."""

_HOUR = 3600.0


@dataclass(frozen=True)
class RunningTask:
    """A task that runs on a node."""

    job_id: str
    task_id: str
    since: str | None


@dataclass(frozen=True)
class NodeOverview:
    """
    A node at a glance.

    :param cause: why it does not become ready; ``None`` if it may.
    :param running: the tasks that run on it.
    :param node_hours: since its allocation, which a preemption does not change; ``None`` without a machine.
    """

    snapshot: NodeSnapshot
    cause: str | None
    running: tuple[RunningTask, ...]
    node_hours: float | None

    @property
    def node_id(self) -> str:
        """The node's id."""
        return self.snapshot.node_id

    @property
    def address(self) -> str | None:
        """Where its SSH server is reached: from outside, or else inside the network."""
        ssh = self.snapshot.ssh
        return f"{ssh.address}:{ssh.port}" if ssh else self.snapshot.private_address

    def to_dict(self) -> dict[str, Any]:
        """Return the node as plain JSON values."""
        seen, start = self.snapshot, self.snapshot.start_task
        return {
            "node_id": seen.node_id,
            "state": seen.state,
            "since": seen.state_since.isoformat() if seen.state_since else None,
            "dedicated": seen.dedicated,
            "address": self.address,
            "cause": self.cause,
            "start_task_exit_code": start.exit_code if start else None,
            "running": [{"job_id": task.job_id, "task_id": task.task_id} for task in self.running],
            "node_hours": self.node_hours,
        }


def node_overview(node: Mapping[str, Any], now: datetime) -> NodeOverview:
    """
    Return a node at a glance.

    :param node: its REST body with :data:`NODE_OVERVIEW_FIELDS`.
    """
    seen = NodeSnapshot.from_rest(node)
    has_machine = seen.allocated is not None and seen.state not in WITHOUT_MACHINE_STATES
    age = (now - seen.allocated).total_seconds() if seen.allocated is not None else 0.0
    return NodeOverview(
        seen,
        broken_cause(seen),
        tuple(
            RunningTask(
                str(task.get("jobId")),
                str(task.get("taskId")),
                instant_text((task.get("executionInfo") or {}).get("startTime")),
            )
            for task in node.get("recentTasks") or ()
            if str(task.get("taskState")).lower() == "running"
        ),
        round(max(0.0, age) / _HOUR, 1) if has_machine else None,
    )


@dataclass(frozen=True)
class JobOverview:
    """
    A job on a pool.

    :param run: the Dag run that submitted it; ``None`` if this Airflow did not.
    """

    job_id: str
    state: str
    run: Holder | None

    def to_dict(self) -> dict[str, Any]:
        """Return the job as plain JSON values."""
        run = {"dag_id": self.run.dag_id, "run_id": self.run.run_id} if self.run else None
        return {"job_id": self.job_id, "state": self.state, "run": run}


def job_overview(job: Mapping[str, Any], installation: str | None) -> JobOverview:
    """Return a job at a glance, given its REST body."""
    run = PoolMarks.of(job).creator
    is_own = run is not None and installation is not None and run.installation == installation
    return JobOverview(str(job["id"]), job_state(job), run if is_own else None)
