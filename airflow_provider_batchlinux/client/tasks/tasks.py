"""Wait for a submitted command, or end it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.core.tasks.cleanup import DeleteJob
from airflow_provider_batchlinux.core.tasks.task import (
    TASK_ID,
    TaskOutcome,
    task_outcome,
)
from airflow_provider_batchlinux.exceptions import TaskFailedError


@dataclass
class TaskWait:
    """Wait until a submitted command has ended, with or without success."""

    client: BatchLinuxClient
    pool_id: str
    job_id: str
    status: str = field(default="", init=False)

    async def poll(self) -> dict[str, Any] | None:
        """
        Return the job's id if the command has ended, or ``None`` if it is too early.

        :raises TaskFailedError: if the command or its pool was deleted, so that it can never end.
        """
        task = await self.client.find_task(self.job_id, TASK_ID)
        if task is None:
            msg = f"Task {TASK_ID!r} of job {self.job_id!r} does not exist any more: it was deleted."
            raise TaskFailedError(msg)
        where = f" on node {task.node_id!r}" if task.node_id else ""
        self.status = f"Task {TASK_ID!r} of job {self.job_id!r} is {task.state}{where}."
        if task_outcome(task) is not TaskOutcome.STILL_RUNNING:
            return {"job_id": self.job_id}
        if task.state == "active":
            await self._require_pool()
        return None

    async def _require_pool(self) -> None:
        if await self.client.find_pool_body(self.pool_id, ["id"]) is None:
            msg = f"Task {TASK_ID!r} of job {self.job_id!r} cannot run: pool {self.pool_id!r} does not exist."
            raise TaskFailedError(msg)


async def abandon_task(client: BatchLinuxClient, job_id: str, delete_job: DeleteJob) -> None:
    """
    Terminate a command that is no longer waited for.

    :param delete_job: ``always`` deletes the job, too; otherwise its files are kept for inspection.
    """
    await client.terminate_task(job_id, TASK_ID)
    if delete_job == "always":
        await client.delete_job(job_id)
