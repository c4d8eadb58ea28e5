"""Submit a command as a job with one task, or adopt the job of an earlier try."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.storage.access import StorageAccess
from airflow_provider_batchlinux.client.tasks.results import settle
from airflow_provider_batchlinux.client.tasks.secrets import delete_secrets, secrets_mark, secrets_of
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.client.waits.loop import WaitSchedule, wait_for
from airflow_provider_batchlinux.core.pool_metadata import (
    DELETE_JOB_KEY,
    FINGERPRINT_KEY,
    METADATA_PREFIX,
    SECRETS_KEY,
    SETTLED_KEY,
    SUBMISSION_KEY,
    VERSION_KEY,
    metadata_of,
)
from airflow_provider_batchlinux.core.storage.grants import Grant
from airflow_provider_batchlinux.core.tasks.job import (
    JOB_MARKS_VERSION,
    DeleteJob,
    Tries,
    is_active,
    job_state,
)
from airflow_provider_batchlinux.core.tasks.spec.exit_codes import ENDS_WELL, Ending
from airflow_provider_batchlinux.core.tasks.spec.job import JobSpec
from airflow_provider_batchlinux.core.tasks.task import (
    FAILED_TASKS,
    TASK_ID,
    TaskOutcome,
    ending_of,
    task_outcome,
)
from airflow_provider_batchlinux.exceptions import BatchConflictError, BatchLinuxError, BatchRequestError

log = logging.getLogger(__name__)

# The deletion of a job takes the service seconds; nothing else of the task waits meanwhile.
_POLL_INTERVAL = 2.0
_TERMINATE = "terminatejob"
_OLD_JOB_LIMIT = 600.0
"""Seconds to wait for the deletion of an old job with the same id."""


@dataclass(frozen=True)
class Submission:
    """
    A job to submit.

    :param spec: the job with its commands.
    :param tries: the try, whose number is part of the job id, so that a new try never reads an old result;
        and the earlier ones whose jobs count.
    :param token: unique to this submission. If a job with this id exists, it shows whether
        this submission created it.
    :param owner: the task instance that submits, for the metadata of the job.
    :param storage: the storage accounts of its inputs, outputs and secrets.
    :param rerun_finished: whether to run a command again that an earlier try has run with success, although
        its result was never read.
    :param exit_codes: what exit codes mean.
    :param delete_job: when the job is deleted, for a sweep that finds it.
    """

    spec: JobSpec
    tries: Tries
    token: str
    owner: Mapping[str, str]
    storage: StorageAccess
    rerun_finished: bool = False
    exit_codes: Mapping[int, Ending] = field(default_factory=dict)
    delete_job: DeleteJob = "always"

    @property
    def job_id(self) -> str:
        """The job id of this try."""
        return self.tries.job_id

    @cached_property
    def blobs(self) -> dict[str, Grant]:
        """The blobs with secrets, by the ids of the tasks that read them."""
        return self.spec.secrets(f"{self.job_id}/{self.token}")

    def job_rest(self, urls: Mapping[Grant, str]) -> dict[str, Any]:
        """Return the REST body of the job."""
        marks = {f"{METADATA_PREFIX}{name}": value for name, value in self.owner.items()}
        marks |= {FINGERPRINT_KEY: self.fingerprint(), SUBMISSION_KEY: self.token}
        marks |= {DELETE_JOB_KEY: self.delete_job, VERSION_KEY: str(JOB_MARKS_VERSION)}
        if self.blobs:
            marks[SECRETS_KEY] = secrets_mark(self.blobs.values())
        return self.spec.job_rest(self.job_id, marks, urls, self.blobs)

    def fingerprint(self) -> str:
        """Return the digest by which a retry knows its own job."""
        return self.spec.fingerprint()

    async def urls(self, grants: Iterable[Grant], task_ids: Iterable[str] | None = None) -> dict[Grant, str]:
        """
        Return the URLs for the node, also of the blobs with secrets.

        :param task_ids: the tasks whose secrets are meant; ``None`` for all.
        """
        keys = self.blobs if task_ids is None else [key for key in task_ids if key in self.blobs]
        return await self.storage.urls([*grants, *(self.blobs[key] for key in keys)], self.spec.lifetime)

    async def put_secrets(self) -> None:
        """Write the blobs with secrets."""
        task_ids = {blob: task_id for task_id, blob in self.blobs.items()}

        async def put(blob: Grant) -> None:
            content = self.spec.secrets_content(task_ids[blob])
            await self.storage.put(blob.location, blob.conn_id, content)

        await fan_out(task_ids, put)


async def submit_task(client: BatchLinuxClient, submission: Submission) -> str:
    """
    Submit the command, or adopt the job of an earlier try that runs the same command; return the job id.

    A command that has ended is adopted if it succeeded and its result was never read, or only by a try whose
    worker was lost then. All other jobs of tries are retired. The job ends when its command has ended, and
    then holds no quota.

    :raises BatchQuotaError: the account has too many active jobs.
    """
    adopted = await _adopt_earlier(client, submission)
    if adopted is not None:
        return adopted
    # The URLs come first: if storage refuses them, no job is left behind.
    urls = await submission.urls(submission.spec.commands[TASK_ID].task.grants())
    await create_job(client, submission, urls)
    body = submission.spec.task_rest(TASK_ID, urls, submission.blobs.get(TASK_ID))
    try:
        await client.create_task(submission.job_id, body)
    except BatchRequestError as error:
        # TaskExists: the answer to an earlier try of this request was lost.
        if error.code != "TaskExists":
            await delete_empty_job(client, submission)
            raise
    await end_with_commands(client, submission.job_id)
    return submission.job_id


@dataclass
class _JobGoneWait:
    """Wait until a job no longer exists."""

    client: BatchLinuxClient
    job_id: str
    status: str = field(default="", init=False)

    async def poll(self) -> dict[str, Any] | None:
        """Return the job id if the job no longer exists, or ``None`` if it is too early."""
        found = await self.client.find_job(self.job_id)
        self.status = f"Job {self.job_id!r} is {found.get('state') if found else 'gone'}."
        return None if found else {"job_id": self.job_id}


async def _adopt_earlier(client: BatchLinuxClient, submission: Submission) -> str | None:
    adopted, tries = None, submission.tries
    for job in tries.own(await client.find_jobs(tries.id_stem)):
        job_id = str(job["id"])
        may_count = adopted is None and tries.number > 1 and tries.counts(job)
        if may_count and (status := await _adoptable(client, submission, job)):
            log.info("Job %r of an earlier try %s", job_id, status)
            adopted = job_id
            # The worker of that try may have been lost before it could set this.
            if job_state(job) == "active" and job.get("onAllTasksComplete") != _TERMINATE:
                await end_with_commands(client, job_id)
        else:
            await retire(client, submission, job)
    return adopted


async def end_job(client: BatchLinuxClient, job: Mapping[str, Any], storage: StorageAccess) -> None:
    """End what may still run of a job, and delete its secrets."""
    if is_active(job):
        log.info("Ending job %r.", job["id"])
        await client.end_job(str(job["id"]))
    await delete_secrets(metadata_of(job).get(SECRETS_KEY), storage)


async def retire(client: BatchLinuxClient, submission: Submission, job: Mapping[str, Any]) -> None:
    """
    Delete a job of another try, of which nothing is left to read, with its secrets.

    A job that ``delete_job`` is to keep is ended instead, and no try reads it again.
    """
    job_id = str(job["id"])
    if job_id == submission.job_id or job_state(job) == "deleting":
        return  # create_job replaces its own
    if submission.delete_job != "always":
        # A command that has failed is kept for inspection; one that never ended shows nothing.
        where = FAILED_TASKS if submission.delete_job == "on_success" else None
        has_any = await client.read_tasks(job_id, dict, where=where, select=["id"], most=1)
        if has_any and (SETTLED_KEY in metadata_of(job) or await settle(client, job_id)):
            await end_job(client, job, submission.storage)
            return
    await delete_secrets(metadata_of(job).get(SECRETS_KEY), submission.storage)
    log.info("Deleting job %r, which an earlier try left.", job_id)
    await client.delete_job(job_id)


async def _adoptable(client: BatchLinuxClient, submission: Submission, job: Mapping[str, Any]) -> str | None:
    """Return what is adopted with a job, as the end of a log line; ``None`` if its command is run again."""
    marks = metadata_of(job)
    if marks.get(FINGERPRINT_KEY) != submission.spec.fingerprint():
        return None
    task = await client.find_task(str(job["id"]), TASK_ID)
    if task is None:
        return None
    if task_outcome(task) is TaskOutcome.STILL_RUNNING:
        return "still runs the same command; going on with it." if is_active(job) else None
    ends_well = ending_of(task, submission.exit_codes) in ENDS_WELL
    if ends_well and not submission.rerun_finished:
        return "has run the same command with success; its result was never read, and is read now."
    return None


async def end_with_commands(client: BatchLinuxClient, job_id: str) -> None:
    """Let a job end with its last command; log a warning if the service refuses."""
    # Not when the job is created: by the documentation a job without tasks counts as complete.
    try:
        await client.update_job(job_id, {"onAllTasksComplete": _TERMINATE})
    except BatchLinuxError as error:
        log.warning(
            "Job %r holds quota until it is deleted: it could not be told to end with its commands: %s",
            job_id,
            error,
        )


async def create_job(client: BatchLinuxClient, submission: Submission, urls: Mapping[Grant, str]) -> None:
    """
    Create the job in place of an older one with the same id, and write its secrets.

    :param urls: the URLs for the nodes of the job's own tasks.
    """
    job_id, body = submission.job_id, submission.job_rest(urls)
    deadline = time.time() + _OLD_JOB_LIMIT
    while True:
        try:
            await client.create_job(body)
        except BatchConflictError as error:
            if error.code not in ("JobExists", "JobBeingDeleted"):
                raise
        else:
            break
        found = await client.find_job(job_id)
        # The answer to an earlier try of this request was lost.
        if found is not None and metadata_of(found).get(SUBMISSION_KEY) == submission.token:
            break
        log.info("Waiting until the old job %r with the same id is deleted.", job_id)
        await delete_secrets(metadata_of(found or {}).get(SECRETS_KEY), submission.storage)
        await client.delete_job(job_id)
        await wait_for(_JobGoneWait(client, job_id), WaitSchedule(_POLL_INTERVAL, deadline))
    try:
        await submission.put_secrets()
    except (BatchLinuxError, ValueError):
        await delete_empty_job(client, submission)
        raise


async def delete_empty_job(client: BatchLinuxClient, submission: Submission) -> None:
    """Delete a job without commands; log a warning if the service refuses."""
    # It never ends, and would count against the job quota of the account forever.
    try:
        if submission.blobs:
            await delete_secrets(await secrets_of(client, submission.job_id), submission.storage)
        await client.delete_job(submission.job_id)
    except BatchLinuxError as refusal:
        log.warning("Job %r has no task, but could not be deleted: %s", submission.job_id, refusal)


async def require_engine(client: BatchLinuxClient, pool_id: str, image: str) -> None:
    """
    Raise ValueError if the nodes of a pool have no container engine.

    The service would take the command, wait for a node, and fail it there. A pool that does not exist is left
    to the service, which says so immediately.

    :param image: the container image to run, for the message.
    """
    pool = await client.find_pool_body(pool_id, ["id", "virtualMachineConfiguration"])
    if pool is None or (pool.get("virtualMachineConfiguration") or {}).get("containerConfiguration"):
        return
    msg = (
        f"Pool {pool_id!r} has no container engine, which container={image!r} needs. Create it with "
        "containers=ContainerSpec() and an image that contains an engine, such as 'ubuntu-hpc 24.04'; "
        "the engine of an existing pool cannot be added."
    )
    raise ValueError(msg)
