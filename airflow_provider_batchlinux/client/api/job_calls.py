"""Operations on jobs and tasks: they take REST bodies and return plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from azure.batch import models

from airflow_provider_batchlinux.client.api.calls import Body, Calls
from airflow_provider_batchlinux.core.tasks.job import JOB_FIELDS
from airflow_provider_batchlinux.core.tasks.task import TASK_FIELDS, TaskSnapshot


class JobCalls(Calls):
    """The operations on jobs and tasks that this provider uses."""

    async def create_job(self, body: Body) -> None:
        """Create a job from its REST body."""
        job = models.BatchJobCreateOptions(body)
        await self.retry.run(f"create job {body['id']!r}", lambda: self.sdk.create_job(job))

    async def find_jobs(
        self, id_prefix: str = "", *, state: str | None = None, select: Sequence[str] = JOB_FIELDS
    ) -> list[Body]:
        """List the jobs whose ids have a prefix, in one state or in any."""
        wanted = [f"startswith(id,'{id_prefix}')"] if id_prefix else []
        wanted += [f"state eq '{state}'"] if state else []
        options = {"filter": " and ".join(wanted)} if wanted else {}
        what = f"list jobs that begin with {id_prefix!r}" if id_prefix else "list jobs"
        return await self._all(what, self.sdk.list_jobs, select=list(select), **options)

    async def find_job(self, job_id: str, select: Sequence[str] = JOB_FIELDS) -> Body | None:
        """Get a job with some properties; ``None`` if it does not exist."""
        return await self._found(
            f"get job {job_id!r}", "JobNotFound", lambda: self.sdk.get_job(job_id, select=list(select))
        )

    async def update_job(self, job_id: str, body: Body) -> None:
        """Change the given properties of a job."""
        changes = models.BatchJobUpdateOptions(body)
        await self.retry.run(f"update job {job_id!r}", lambda: self.sdk.update_job(job_id, changes))

    async def delete_job(self, job_id: str) -> bool:
        """Delete a job and its tasks, terminating running ones; return whether the job existed."""
        return await self._deleted(
            f"delete job {job_id!r}",
            lambda: self.sdk.begin_delete_job(job_id),
            gone="JobNotFound",
            under_way="JobBeingDeleted",
        )

    async def end_job(self, job_id: str) -> bool:
        """Terminate a job and its running tasks, and keep it; return whether it was still active."""
        # The SDK takes the body as it is, and cannot do without one.
        body: Any = {"terminateReason": "UserTerminate"}
        return await self._deleted(
            f"end job {job_id!r}",
            lambda: self.sdk.begin_terminate_job(job_id, body),
            gone=("JobNotFound", "JobCompleted", "JobBeingDeleted"),
            under_way="JobBeingTerminated",
        )

    async def create_task(self, job_id: str, body: Body) -> None:
        """Add a task to a job."""
        task = models.BatchTaskCreateOptions(body)
        what = f"create task {body['id']!r} in job {job_id!r}"
        await self.retry.run(what, lambda: self.sdk.create_task(job_id, task))

    async def find_task(self, job_id: str, task_id: str) -> TaskSnapshot | None:
        """Get a task; ``None`` if the task or its job does not exist."""
        body = await self.find_task_body(job_id, task_id, TASK_FIELDS)
        return TaskSnapshot.from_rest(body) if body is not None else None

    async def find_task_body(self, job_id: str, task_id: str, select: Sequence[str]) -> Body | None:
        """Get some properties of a task; ``None`` if the task or its job does not exist."""
        return await self._found(
            f"get task {task_id!r} of job {job_id!r}",
            ("TaskNotFound", "JobNotFound"),
            lambda: self.sdk.get_task(job_id, task_id, select=list(select)),
        )

    async def list_tasks(self, job_id: str, select: Sequence[str] = TASK_FIELDS) -> list[Body]:
        """List the tasks of a job with some properties."""
        return await self._all(
            f"list the tasks of job {job_id!r}", self.sdk.list_tasks, job_id, select=list(select)
        )

    async def may_have_ended(self, job_id: str) -> bool:  # noqa: ARG002  # a watched client knows better
        """Return whether the command of a job is to be asked for, because nothing is known of it."""
        return True

    async def terminate_task(self, job_id: str, task_id: str) -> bool:
        """Terminate a task and its processes; return whether it was still active or running."""
        return await self._deleted(
            f"end task {task_id!r} of job {job_id!r}",
            lambda: self.sdk.terminate_task(job_id, task_id),
            gone=("TaskNotFound", "JobNotFound", "TaskCompleted"),
        )
