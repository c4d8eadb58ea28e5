"""A client of a Batch account in memory, as far as the poller of commands asks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_batchlinux.core.tasks.task import TaskSnapshot
from tests.unit.client.virtual_time import now


@dataclass
class JobsInMemory:
    """
    The account.

    :param ended: when the command of each job ends; its job leaves the list of active jobs right then.
    :param lag: seconds by which a job leaves the list later than its command ends.
    :param stays: jobs that do not end with their command.
    :param pools: the pools that exist; all jobs are on ``etl``.
    :param asked: when each question came, and what it was.
    """

    ended: dict[str, float] = field(default_factory=dict)
    lag: float = 0.0
    stays: set[str] = field(default_factory=set)
    pools: list[str] = field(default_factory=lambda: ["etl"])
    asked: list[tuple[float, str]] = field(default_factory=list)

    async def find_jobs(self, id_prefix: str, *, state: str, select: Sequence[str]) -> list[dict[str, Any]]:
        assert state == "active"
        active = [
            {
                "id": job_id,
                "poolInfo": {"poolId": "etl"},
                "onAllTasksComplete": "noaction" if job_id in self.stays else "terminatejob",
            }
            for job_id, end in self.ended.items()
            if job_id.startswith(id_prefix) and (now() < end + self.lag or job_id in self.stays)
        ]
        self.asked += [(now(), "list jobs")] * max(1, -(-len(active) // 1000))
        return [{name: row[name] for name in select} for row in active]

    async def find_task(self, job_id: str, _task_id: str) -> TaskSnapshot | None:
        self.asked.append((now(), f"get {job_id}"))
        if job_id not in self.ended:
            return None
        return TaskSnapshot("completed" if now() >= self.ended[job_id] else "running")

    async def list_pools(self, _select: Any) -> list[dict[str, Any]]:
        self.asked.append((now(), "list pools"))
        return [{"id": pool_id, "state": "active"} for pool_id in self.pools]
