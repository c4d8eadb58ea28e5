"""Running one command as a job with one task: submit or adopt, look, read back, clean up."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_batchlinux.client.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.files import task_file_tail
from airflow_provider_batchlinux.client.waiting import Pace, wait_for
from airflow_provider_batchlinux.core.pool_spec import METADATA_PREFIX, metadata_of
from airflow_provider_batchlinux.core.tasks import (
    TASK_ID,
    TaskOutcome,
    TaskSnapshot,
    TaskSpec,
    task_outcome,
)
from airflow_provider_batchlinux.core.text import indented
from airflow_provider_batchlinux.exceptions import BatchConflictError, BatchLinuxError, TaskFailedError

__all__ = [
    "EndedTask",
    "Reading",
    "Submission",
    "TaskWait",
    "abandon_task",
    "finish_task",
    "submit_task",
]

log = logging.getLogger(__name__)

_FINGERPRINT = f"{METADATA_PREFIX}fingerprint"
_SUBMISSION = f"{METADATA_PREFIX}submission"
_LOOK_INTERVAL = 2.0
_LEFTOVER_LIMIT = 600.0
_STDERR_IN_ERROR = 2_000
MAX_RESULT_SIZE = 48 * 1024
"""Bytes of a result file; what goes through XCom stays small."""


@dataclass(frozen=True)
class Submission:
    """
    One command to submit.

    :param spec: the command.
    :param id_stem: what the ids of all tries of this task instance begin with.
    :param try_number: the try; part of the job's id, so a new try never meets an old result.
    :param token: unique to this submission, to tell an own lost answer from a leftover of the same id.
    :param owner: what submits, kept in the job's metadata.
    """

    spec: TaskSpec
    id_stem: str
    try_number: int
    token: str
    owner: Mapping[str, str]

    @property
    def job_id(self) -> str:
        """Give the id of this try's job."""
        return f"{self.id_stem}{self.try_number}"

    def job_rest(self) -> dict[str, Any]:
        """Build the body of the job."""
        marks = {f"{METADATA_PREFIX}{name}": value for name, value in self.owner.items()}
        marks |= {_FINGERPRINT: self.spec.fingerprint(), _SUBMISSION: self.token}
        return self.spec.job_rest(self.job_id, marks)


async def submit_task(client: BatchLinuxClient, submission: Submission) -> str:
    """
    Submit the command, or adopt the same command that an earlier try left running; return the job's id.

    An earlier try's finished command is never taken for this try's result, and an earlier try's other
    command is ended.

    :raises BatchQuotaError: the account has too many active jobs.
    """
    if submission.try_number > 1:
        adopted = await _adopt_earlier(client, submission)
        if adopted is not None:
            return adopted
    await _create_job(client, submission)
    try:
        await client.create_task(submission.job_id, submission.spec.task_rest())
    except BatchConflictError as error:
        if error.code != "TaskExists":
            raise
    return submission.job_id


@dataclass
class TaskWait:
    """Wait until a submitted command is over, well or badly."""

    client: BatchLinuxClient
    pool_id: str
    job_id: str
    progress: str = field(default="", init=False)

    async def look(self) -> dict[str, Any] | None:
        """
        Look once: the job's id when the command is over, ``None`` to go on waiting.

        :raises TaskFailedError: it will never end by itself: it was deleted, or its pool was.
        """
        task = await self.client.find_task(self.job_id, TASK_ID)
        if task is None:
            msg = f"Task {TASK_ID!r} of job {self.job_id!r} does not exist any more: somebody deleted it."
            raise TaskFailedError(msg)
        where = f" on node {task.node_id!r}" if task.node_id else ""
        self.progress = f"Task {TASK_ID!r} of job {self.job_id!r} is {task.state}{where}."
        if task_outcome(task) is not TaskOutcome.STILL_RUNNING:
            return {"job_id": self.job_id}
        if task.state == "active":
            await self._require_pool()
        return None

    async def _require_pool(self) -> None:
        if await self.client.find_pool_body(self.pool_id, ["id"]) is None:
            msg = f"Task {TASK_ID!r} of job {self.job_id!r} cannot run: pool {self.pool_id!r} does not exist."
            raise TaskFailedError(msg)


@dataclass
class JobGoneWait:
    """Wait until the service knows no job of an id."""

    client: BatchLinuxClient
    job_id: str
    progress: str = field(default="", init=False)

    async def look(self) -> dict[str, Any] | None:
        """Look once: the job's id when it is gone, ``None`` to go on waiting."""
        found = await self.client.find_job(self.job_id)
        self.progress = f"Job {self.job_id!r} is {found.get('state') if found else 'gone'}."
        return None if found else {"job_id": self.job_id}


@dataclass(frozen=True)
class EndedTask:
    """A command that is over well: how it ended, its output, and what its result file held."""

    job_id: str
    task: TaskSnapshot
    result: Any


@dataclass(frozen=True)
class Reading:
    """
    What to read back of a command that is over.

    :param output_limit: bytes of each output stream at most.
    :param result_file: a JSON file in the working directory; ``None`` for none.
    :param delete_job: ``always``, ``on_success`` or ``never``.
    """

    output_limit: int
    result_file: str | None
    delete_job: str


async def finish_task(client: BatchLinuxClient, job_id: str, reading: Reading) -> EndedTask:
    """
    Log the output of a command that is over, read its result back, and clean up.

    :raises TaskFailedError: it did not succeed, or left no readable result.
    """
    try:
        ended = await _read_back(client, job_id, reading)
    except TaskFailedError:
        if reading.delete_job == "always":
            await client.delete_job(job_id)
        raise
    if reading.delete_job != "never":
        await client.delete_job(job_id)
    return ended


async def abandon_task(client: BatchLinuxClient, job_id: str, delete_job: str) -> None:
    """
    End a command that nobody waits for any longer.

    :param delete_job: with ``always`` the job goes too; else its files stay to look at.
    """
    await client.terminate_task(job_id, TASK_ID)
    if delete_job == "always":
        await client.delete_job(job_id)


async def _read_back(client: BatchLinuxClient, job_id: str, reading: Reading) -> EndedTask:
    task = await client.find_task(job_id, TASK_ID)
    if task is None:
        msg = f"Task {TASK_ID!r} of job {job_id!r} was deleted before its result was read."
        raise TaskFailedError(msg)
    outputs = await task_output(client, job_id, reading.output_limit)
    for stream, text in outputs.items():
        log.info("%s of job %r:\n%s", stream, job_id, indented(text) or "    (empty)")
    if task_outcome(task) is TaskOutcome.FAILED:
        tail = indented(outputs["stderr"][-_STDERR_IN_ERROR:] or "(empty)")
        msg = f"Task {TASK_ID!r} in job {job_id!r} failed: {task.why_failed()}.\nThe end of its stderr:\n{tail}"
        raise TaskFailedError(msg, exit_code=task.exit_code, node_id=task.node_id)
    result = await read_result(client, job_id, reading.result_file) if reading.result_file else None
    return EndedTask(job_id, task, result)


async def task_output(client: BatchLinuxClient, job_id: str, limit: int) -> dict[str, str]:
    """
    Read the end of stdout and stderr, as far as the node still serves them; never fails for want of it.

    :param limit: bytes of each stream to read at most.
    """
    outputs = {}
    for stream in ("stdout", "stderr"):
        try:
            content = await task_file_tail(client, job_id, TASK_ID, f"{stream}.txt", limit)
        except BatchLinuxError as error:
            log.warning("The %s of job %r is not available: %s", stream, job_id, error)
            content = b""
        outputs[stream] = content.decode(errors="replace").rstrip()
    return outputs


async def read_result(client: BatchLinuxClient, job_id: str, path: str) -> Any:
    """
    Read a JSON file that the command left in its working directory.

    :param path: relative to the working directory.
    :raises TaskFailedError: the file is missing, too large, or not JSON.
    """
    try:
        content = await task_file_tail(client, job_id, TASK_ID, f"wd/{path}", MAX_RESULT_SIZE + 1)
    except BatchLinuxError as error:
        msg = f"Job {job_id!r} succeeded but left no {path!r} in its working directory: {error}"
        raise TaskFailedError(msg, exit_code=0) from error
    if len(content) > MAX_RESULT_SIZE:
        msg = f"{path!r} of job {job_id!r} is over {MAX_RESULT_SIZE} bytes; write a summary, and data to storage."
        raise TaskFailedError(msg, exit_code=0)
    try:
        return json.loads(content)
    except ValueError as error:
        msg = f"{path!r} of job {job_id!r} is not JSON: {error}"
        raise TaskFailedError(msg, exit_code=0) from error


async def _adopt_earlier(client: BatchLinuxClient, submission: Submission) -> str | None:
    adopted = None
    for job in await client.find_active_jobs(submission.id_stem):
        job_id = str(job["id"])
        if adopted is None and await _is_same_running(client, submission, job):
            log.info("Job %r of an earlier try still runs the same command; going on with it.", job_id)
            adopted = job_id
        elif job_id != submission.job_id:
            log.info("Deleting job %r, which an earlier try left.", job_id)
            await client.delete_job(job_id)
    return adopted


async def _is_same_running(client: BatchLinuxClient, submission: Submission, job: Mapping[str, Any]) -> bool:
    if metadata_of(job).get(_FINGERPRINT) != submission.spec.fingerprint():
        return False
    task = await client.find_task(str(job["id"]), TASK_ID)
    return task is not None and task_outcome(task) is TaskOutcome.STILL_RUNNING


async def _create_job(client: BatchLinuxClient, submission: Submission) -> None:
    job_id = submission.job_id
    deadline = time.time() + _LEFTOVER_LIMIT
    while not await _created(client, submission):
        found = await client.find_job(job_id)
        if found is not None and metadata_of(found).get(_SUBMISSION) == submission.token:
            return
        log.info("Waiting until job %r, a leftover of the same id, is deleted.", job_id)
        await client.delete_job(job_id)
        await wait_for(JobGoneWait(client, job_id), Pace(_LOOK_INTERVAL, deadline))


async def _created(client: BatchLinuxClient, submission: Submission) -> bool:
    try:
        await client.create_job(submission.job_rest())
    except BatchConflictError as error:
        if error.code not in ("JobExists", "JobBeingDeleted"):
            raise
        return False
    return True
