"""Operations on jobs and tasks: they take REST bodies and return plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from azure.batch import models

from airflow_provider_batchlinux.client.api.calls import Body, Calls
from airflow_provider_batchlinux.core.tasks.job import JOB_FIELDS
from airflow_provider_batchlinux.core.tasks.records import TaskCounts
from airflow_provider_batchlinux.core.tasks.task import TASK_FIELDS, TaskSnapshot
from airflow_provider_batchlinux.core.text import counted

T = TypeVar("T")


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

    async def create_tasks(self, job_id: str, bodies: Sequence[Body]) -> list[Body]:
        """Add up to 100 tasks to a job; return the answer to each, because each may be refused."""
        tasks = models.BatchTaskGroup({"value": [dict(body) for body in bodies]})
        answer = await self.retry.run(
            f"create {counted(len(bodies), 'task')} in job {job_id!r}",
            lambda: self.sdk.create_task_collection(job_id, tasks),
        )
        return list(answer["value"])

    async def task_counts(self, job_id: str) -> TaskCounts | None:
        """Count a job's tasks by state: possibly a little outdated; ``None`` if the job does not exist."""
        body = await self._found(
            f"count the tasks of job {job_id!r}",
            "JobNotFound",
            lambda: self.sdk.get_job_task_counts(job_id),
        )
        return TaskCounts.from_rest(body) if body is not None else None

    async def read_tasks(
        self,
        job_id: str,
        read: Callable[[Body], T],
        *,
        where: str | None = None,
        select: Sequence[str] = TASK_FIELDS,
        most: int | None = None,
    ) -> list[T]:
        """
        List the tasks of a job exactly; none if the job does not exist.

        :param read: makes what is kept of a task: ten thousand whole bodies are many megabytes.
        :param where: an OData filter.
        :param most: how many to list at most; ``None`` for all.
        """
        options: dict[str, Any] = {"filter": where} if where else {}
        if most is not None:
            options["max_results"] = most

        async def every_page() -> list[T]:
            found: list[T] = []
            async for row in self.sdk.list_tasks(job_id, select=list(select), **options):
                found.append(read(row))
                if len(found) == most:
                    break
            return found

        what = f"list the tasks of job {job_id!r}"
        return await self._found(what, "JobNotFound", every_page) or []

    async def reactivate_task(self, job_id: str, task_id: str) -> bool:
        """Run a task again that has failed, in a job that is active; return ``False`` if it has not ended."""
        return await self._deleted(
            f"run task {task_id!r} of job {job_id!r} again",
            lambda: self.sdk.reactivate_task(job_id, task_id),
            gone="TaskNotCompleted",
        )

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

    async def may_have_ended(self, job_id: str) -> bool:  # noqa: ARG002  # a watched client knows better
        """Return whether the command of a job is to be asked for, because nothing is known of it."""
        return True

    async def delete_task(self, job_id: str, task_id: str) -> bool:
        """Delete a task with its files; return whether it existed."""
        return await self._deleted(
            f"delete task {task_id!r} of job {job_id!r}",
            lambda: self.sdk.delete_task(job_id, task_id),
            gone=("TaskNotFound", "JobNotFound"),
        )

    async def failed_preparations(self, job_id: str) -> dict[str, Body]:
        """Return what is known of the preparation tasks of a job that have failed, by node."""
        rows = await self._all(
            f"list the preparation tasks of job {job_id!r}",
            self.sdk.list_job_preparation_and_release_task_status,
            job_id,
        )
        found = {str(row["nodeId"]): row.get("jobPreparationTaskExecutionInfo") or {} for row in rows}
        return {node: run for node, run in found.items() if str(run.get("result")).lower() == "failure"}

    async def terminate_task(self, job_id: str, task_id: str) -> bool:
        """Terminate a task and its processes; return whether it was still active or running."""
        return await self._deleted(
            f"end task {task_id!r} of job {job_id!r}",
            lambda: self.sdk.terminate_task(job_id, task_id),
            gone=("TaskNotFound", "JobNotFound", "TaskCompleted"),
        )
