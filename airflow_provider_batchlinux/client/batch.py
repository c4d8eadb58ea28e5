"""The verbs of the Batch service, each once and asynchronous; REST bodies in, plain values out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from azure.batch import models
from azure.batch.aio import BatchClient
from azure.core.exceptions import HttpResponseError

from airflow_provider_batchlinux.client.account import AccountSettings
from airflow_provider_batchlinux.client.errors import error_code
from airflow_provider_batchlinux.client.retry import RetryPolicy
from airflow_provider_batchlinux.client.session import open_sdk_client
from airflow_provider_batchlinux.core.images import SupportedImage
from airflow_provider_batchlinux.core.pool_state import (
    NODE_FIELDS,
    POOL_FIELDS,
    Endpoint,
    NodeSnapshot,
    PoolSnapshot,
    counts_from_rest,
)
from airflow_provider_batchlinux.core.tasks import TASK_FIELDS, TaskSnapshot

__all__ = ["BatchLinuxClient", "open_client"]

T = TypeVar("T")
Body = Mapping[str, Any]


@asynccontextmanager
async def open_client(
    settings: AccountSettings, retry: RetryPolicy | None = None
) -> AsyncIterator[BatchLinuxClient]:
    """
    Open a client of an account, and close its connections at the end.

    :param settings: the account and the identity.
    :param retry: how to try again; ``None`` takes the budget from the settings.
    :raises ValueError: the settings have problems; nothing was called.
    """
    problems = settings.problems()
    if problems:
        raise ValueError("\n".join(problems))
    async with open_sdk_client(settings) as sdk:
        yield BatchLinuxClient(sdk, retry or RetryPolicy(budget=settings.retry_budget))


class BatchLinuxClient:
    """
    What this provider asks of the Batch service.

    Verbs: ``create`` fails when the thing exists, ``find`` answers ``None`` when it does not,
    ``delete`` says whether there was anything to delete. Every verb tries again within the retry
    budget and raises the errors of :mod:`airflow_provider_batchlinux.exceptions`.

    :param sdk: the SDK's open client.
    :param retry: how to try again.
    """

    def __init__(self, sdk: BatchClient, retry: RetryPolicy) -> None:
        self.sdk = sdk
        self.retry = retry

    # --- account

    async def check(self) -> None:
        """Make the cheapest authenticated call."""

        async def first_pool() -> None:
            async for _ in self.sdk.list_pools(max_results=1, select=["id"]):
                break

        await self.retry.run("list pools", first_pool)

    async def list_images(self) -> list[SupportedImage]:
        """List the images the service supports, in the service's order."""
        rows = await self._all("list supported images", self.sdk.list_supported_images)
        return [SupportedImage.from_rest(row) for row in rows]

    # --- pools and nodes

    async def create_pool(self, body: Body) -> None:
        """Create a pool from its REST body."""
        pool = models.BatchPoolCreateOptions(body)
        await self.retry.run(f"create pool {body['id']!r}", lambda: self.sdk.create_pool(pool))

    async def find_pool_body(self, pool_id: str, select: Sequence[str] | None = None) -> Body | None:
        """Get a pool's REST body, all of it or the selected properties."""
        fields = list(select) if select else None
        return await self._found(
            f"get pool {pool_id!r}",
            "PoolNotFound",
            lambda: self.sdk.get_pool(pool_id, select=fields),
        )

    async def find_pool(self, pool_id: str) -> PoolSnapshot | None:
        """Get what a wait needs to know of a pool."""
        body = await self.find_pool_body(pool_id, POOL_FIELDS)
        return PoolSnapshot.from_rest(body) if body is not None else None

    async def delete_pool(self, pool_id: str) -> bool:
        """Ask for a pool's deletion; ``False`` when there is none, ``True`` also when it is under way."""
        return await self._deleted(
            f"delete pool {pool_id!r}",
            lambda: self.sdk.begin_delete_pool(pool_id),
            gone="PoolNotFound",
            under_way="PoolBeingDeleted",
        )

    async def node_counts(self, pool_id: str) -> dict[str, int]:
        """Count a pool's nodes by state: cheap for any size, and possibly a little late."""
        rows = await self._all(
            f"count nodes of pool {pool_id!r}",
            self.sdk.list_pool_node_counts,
            filter=f"poolId eq '{pool_id}'",
        )
        return counts_from_rest(rows[0]) if rows else {}

    async def list_nodes(self, pool_id: str) -> list[NodeSnapshot]:
        """List a pool's nodes exactly, with :data:`NODE_FIELDS`."""
        what = f"list nodes of pool {pool_id!r}"
        rows = await self._all(what, self.sdk.list_nodes, pool_id, select=list(NODE_FIELDS))
        return [NodeSnapshot.from_rest(row) for row in rows]

    # --- node users

    async def create_node_user(self, pool_id: str, node_id: str, body: Body) -> None:
        """Add a user to a node."""
        user = models.BatchNodeUserCreateOptions(body)
        what = f"add user {body['name']!r} to node {node_id!r}"
        await self.retry.run(what, lambda: self.sdk.create_node_user(pool_id, node_id, user))

    async def replace_node_user(self, pool_id: str, node_id: str, username: str, body: Body) -> None:
        """Replace a user's key, password and expiry; what the body leaves out is removed."""
        options = models.BatchNodeUserReplaceOptions(body)
        what = f"update user {username!r} on node {node_id!r}"
        await self.retry.run(what, lambda: self.sdk.replace_node_user(pool_id, node_id, username, options))

    async def delete_node_user(self, pool_id: str, node_id: str, username: str) -> bool:
        """Remove a user from a node; ``False`` when the node has no such user."""
        return await self._deleted(
            f"remove user {username!r} from node {node_id!r}",
            lambda: self.sdk.delete_node_user(pool_id, node_id, username),
            gone="NodeUserNotFound",
        )

    async def remote_login(self, pool_id: str, node_id: str) -> Endpoint:
        """
        Get where a node's SSH server is reached from outside.

        What the service answers for a node without a mapping is not documented; any refusal is raised.
        """
        what = f"get the remote login settings of node {node_id!r}"
        settings = await self.retry.run(
            what, lambda: self.sdk.get_node_remote_login_settings(pool_id, node_id)
        )
        return Endpoint(str(settings["remoteLoginIPAddress"]), int(settings["remoteLoginPort"]), public=True)

    # --- jobs and tasks

    async def create_job(self, body: Body) -> None:
        """Create a job from its REST body."""
        job = models.BatchJobCreateOptions(body)
        await self.retry.run(f"create job {body['id']!r}", lambda: self.sdk.create_job(job))

    async def find_active_jobs(self, id_prefix: str) -> list[Body]:
        """List the jobs whose id begins so and that are not over, with id, pool and metadata."""
        return await self._all(
            f"list jobs that begin with {id_prefix!r}",
            self.sdk.list_jobs,
            filter=f"startswith(id,'{id_prefix}') and state eq 'active'",
            select=["id", "poolInfo", "metadata"],
        )

    async def find_job(self, job_id: str) -> Body | None:
        """Get a job's id, state and metadata; ``None`` when it does not exist."""
        fields = ["id", "state", "metadata"]
        return await self._found(
            f"get job {job_id!r}", "JobNotFound", lambda: self.sdk.get_job(job_id, select=fields)
        )

    async def delete_job(self, job_id: str) -> bool:
        """Delete a job with its tasks, ending what still runs; ``False`` when there is none."""
        return await self._deleted(
            f"delete job {job_id!r}",
            lambda: self.sdk.begin_delete_job(job_id),
            gone="JobNotFound",
            under_way="JobBeingDeleted",
        )

    async def create_task(self, job_id: str, body: Body) -> None:
        """Add a task to a job."""
        task = models.BatchTaskCreateOptions(body)
        what = f"create task {body['id']!r} in job {job_id!r}"
        await self.retry.run(what, lambda: self.sdk.create_task(job_id, task))

    async def find_task(self, job_id: str, task_id: str) -> TaskSnapshot | None:
        """Get a task; ``None`` when it, or its job, does not exist."""
        body = await self._found(
            f"get task {task_id!r} of job {job_id!r}",
            ("TaskNotFound", "JobNotFound"),
            lambda: self.sdk.get_task(job_id, task_id, select=list(TASK_FIELDS)),
        )
        return TaskSnapshot.from_rest(body) if body is not None else None

    async def terminate_task(self, job_id: str, task_id: str) -> bool:
        """End a task and its processes; ``False`` when it is over or does not exist."""
        return await self._deleted(
            f"end task {task_id!r} of job {job_id!r}",
            lambda: self.sdk.terminate_task(job_id, task_id),
            gone=("TaskNotFound", "JobNotFound", "TaskCompleted"),
        )

    # --- plumbing

    async def _all(self, what: str, verb: Callable[..., Any], *args: Any, **options: Any) -> list[Body]:
        async def every_page() -> list[Body]:
            return [row async for row in verb(*args, **options)]

        return await self.retry.run(what, every_page)

    async def _found(
        self, what: str, absent: str | Sequence[str], get: Callable[[], Awaitable[T]]
    ) -> T | None:
        async def attempt() -> T | None:
            try:
                return await get()
            except HttpResponseError as error:
                if error_code(error) in _codes(absent):
                    return None
                raise

        return await self.retry.run(what, attempt)

    async def _deleted(
        self,
        what: str,
        delete: Callable[[], Awaitable[object]],
        *,
        gone: str | Sequence[str],
        under_way: str | Sequence[str] = (),
    ) -> bool:
        async def attempt() -> bool:
            try:
                await delete()
            except HttpResponseError as error:
                if error_code(error) in _codes(gone):
                    return False
                if error_code(error) not in _codes(under_way):
                    raise
            return True

        return await self.retry.run(what, attempt)


def _codes(codes: str | Sequence[str]) -> Sequence[str]:
    return (codes,) if isinstance(codes, str) else codes
