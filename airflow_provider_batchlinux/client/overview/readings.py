"""Read an account, a pool or a node for people to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.calls import Body
from airflow_provider_batchlinux.client.api.files import start_task_output, task_file
from airflow_provider_batchlinux.client.api.management import open_management
from airflow_provider_batchlinux.client.transport.account import AccountSettings
from airflow_provider_batchlinux.core.images.catalog import SupportedImage
from airflow_provider_batchlinux.core.overview.nodes import NODE_OVERVIEW_FIELDS
from airflow_provider_batchlinux.core.pools.preflight import Region
from airflow_provider_batchlinux.core.pools.summary import SUMMARY_FIELDS
from airflow_provider_batchlinux.core.secrets import without_secrets, without_signatures
from airflow_provider_batchlinux.core.tasks.job import pool_of_job
from airflow_provider_batchlinux.exceptions import BatchLinuxError, BatchRequestError

# One screen of the page; all of it is in the log of the task.
_OUTPUT_LIMIT = 4_000
_MOST_OUTPUTS = 4
"""Running tasks of a node whose output is read: each takes two requests."""


@dataclass(frozen=True)
class AccountReading:
    """
    All pools of an account.

    :param pools: their REST bodies with ``SUMMARY_FIELDS``.
    :param counts: their nodes by state, by pool id in lower case.
    """

    pools: Sequence[Body]
    counts: Mapping[str, Mapping[str, int]]

    def pool(self, pool_id: str) -> Body | None:
        """Return a pool; ``None`` if it does not exist."""
        return next((pool for pool in self.pools if str(pool["id"]).lower() == pool_id.lower()), None)

    def counts_of(self, pool_id: str) -> Mapping[str, int]:
        """Return the nodes of a pool by state."""
        return self.counts.get(pool_id.lower(), {})


@dataclass(frozen=True)
class PoolReading:
    """
    The nodes and jobs of a pool.

    :param nodes: their REST bodies with ``NODE_OVERVIEW_FIELDS``; ``None`` if the pool does not exist.
    :param jobs: the REST bodies of the jobs on the pool.
    """

    nodes: Sequence[Body] | None
    jobs: Sequence[Body]


@dataclass(frozen=True)
class TaskOutput:
    """
    The end of a running task's output.

    :param job: the REST body of its job, which says whose it is; ``None`` if it no longer exists.
    :param text: the last lines, or why they are not available.
    """

    job_id: str
    task_id: str
    job: Body | None
    text: str


@dataclass(frozen=True)
class NodeReading:
    """
    A node with the output of its programs.

    :param node: its REST body with ``NODE_OVERVIEW_FIELDS``; ``None`` if it does not exist.
    :param start_task: the end of the output of its start task; empty if it has none.
    """

    node: Body | None
    start_task: str = ""
    tasks: Sequence[TaskOutput] = ()


@dataclass(frozen=True)
class AccountFacts:
    """
    What changes rarely.

    :param images: the images that the service supports.
    :param region: the quotas and VM sizes; ``None`` if the management plane is out of reach.
    :param gap: why it is; empty if it is not.
    """

    images: Sequence[SupportedImage] = ()
    region: Region | None = None
    gap: str = ""


async def read_account(client: BatchLinuxClient) -> AccountReading:
    """Read all pools of an account with two requests, as long as one page each is enough."""
    pools, counts = await asyncio.gather(client.list_pools(SUMMARY_FIELDS), client.all_node_counts())
    return AccountReading(pools, {pool_id.lower(): states for pool_id, states in counts.items()})


async def read_pool(client: BatchLinuxClient, pool_id: str) -> PoolReading:
    """Read the nodes and jobs of a pool with two requests, as long as one page each is enough."""
    try:
        nodes, jobs = await asyncio.gather(
            client.list_node_bodies(pool_id, NODE_OVERVIEW_FIELDS), client.find_jobs()
        )
    except BatchRequestError as error:
        if error.code != "PoolNotFound":
            raise
        return PoolReading(None, ())
    return PoolReading(nodes, [job for job in jobs if pool_of_job(job).lower() == pool_id.lower()])


async def read_node(
    client: BatchLinuxClient, settings: AccountSettings, pool_id: str, node_id: str
) -> NodeReading:
    """
    Read a node, the end of its start task's output, and that of the tasks that run on it.

    :param settings: the account, whose secrets a program may have printed.
    """
    secrets = [secret for secret in (settings.account_key, settings.client_secret) if secret]

    def shown(text: str) -> str:
        return without_secrets(without_signatures(text), secrets)

    node = await client.find_node_body(pool_id, node_id, NODE_OVERVIEW_FIELDS)
    if node is None:
        return NodeReading(None)
    running = [
        task for task in node.get("recentTasks") or () if str(task.get("taskState")).lower() == "running"
    ]

    async def output(task: Body) -> TaskOutput:
        job_id, task_id = str(task.get("jobId")), str(task.get("taskId"))
        job = await client.find_job(job_id)
        try:
            end = await task_file(client, job_id, task_id, "stdout.txt").tail(_OUTPUT_LIMIT)
        except BatchLinuxError as error:
            return TaskOutput(job_id, task_id, job, f"not available ({error})")
        return TaskOutput(job_id, task_id, job, shown(end.text()))

    async def startup() -> str:
        if not node.get("startTaskInfo"):
            return ""
        return shown(await start_task_output(client, pool_id, node_id))

    start, outputs = await asyncio.gather(startup(), asyncio.gather(*map(output, running[:_MOST_OUTPUTS])))
    return NodeReading(node, start, outputs)


async def read_facts(client: BatchLinuxClient, settings: AccountSettings) -> AccountFacts:
    """Read the images, and the quotas if the management plane is in reach."""
    images = await client.list_images()
    if gaps := settings.management_gaps():
        return AccountFacts(images, gap=f"the connection lacks {', '.join(gaps)}")
    try:
        async with open_management(settings) as plane:
            return AccountFacts(images, await plane.region())
    except (BatchLinuxError, ValueError) as error:
        return AccountFacts(images, gap=str(error))
