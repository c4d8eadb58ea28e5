"""Wait for a submitted command, read its output and result, and clean up."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.files import task_file_tail
from airflow_provider_batchlinux.core.tasks.cleanup import DeleteJob
from airflow_provider_batchlinux.core.tasks.task import (
    TASK_ID,
    TaskOutcome,
    TaskSnapshot,
    task_outcome,
)
from airflow_provider_batchlinux.core.text import indented
from airflow_provider_batchlinux.exceptions import BatchLinuxError, TaskFailedError

log = logging.getLogger(__name__)

MAX_RESULT_SIZE = 48 * 1024
"""Bytes of a result file: XComs are to stay small."""

_STDERR_IN_ERROR = 2_000


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


@dataclass(frozen=True)
class EndedTask:
    """A command that succeeded, and the content of its result file."""

    job_id: str
    task: TaskSnapshot
    result: Any


@dataclass(frozen=True)
class Reading:
    """
    What to read from a command that has ended.

    :param output_limit: bytes of each output stream at most.
    :param result_file: a JSON file in the working directory; ``None`` for none.
    :param delete_job: when to delete the job.
    """

    output_limit: int
    result_file: str | None
    delete_job: DeleteJob


async def finish_task(client: BatchLinuxClient, job_id: str, reading: Reading) -> EndedTask:
    """
    Log the output of a command that has ended, return its result, and clean up.

    :raises TaskFailedError: if it failed, or its result cannot be read.
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


async def abandon_task(client: BatchLinuxClient, job_id: str, delete_job: DeleteJob) -> None:
    """
    Terminate a command that is no longer waited for.

    :param delete_job: ``always`` deletes the job, too; otherwise its files are kept for inspection.
    """
    await client.terminate_task(job_id, TASK_ID)
    if delete_job == "always":
        await client.delete_job(job_id)


async def _read_back(client: BatchLinuxClient, job_id: str, reading: Reading) -> EndedTask:
    task = await client.find_task(job_id, TASK_ID)
    if task is None:
        msg = f"Task {TASK_ID!r} of job {job_id!r} was deleted before its result was read."
        raise TaskFailedError(msg)
    outputs = await _output(client, job_id, reading.output_limit)
    for stream, text in outputs.items():
        log.info("%s of job %r:\n%s", stream, job_id, indented(text) or "    (empty)")
    if task_outcome(task) is TaskOutcome.FAILED:
        tail = indented(outputs["stderr"][-_STDERR_IN_ERROR:] or "(empty)")
        msg = (
            f"Task {TASK_ID!r} in job {job_id!r} failed: {task.why_failed()}.\nThe end of its stderr:\n{tail}"
        )
        raise TaskFailedError(msg, exit_code=task.exit_code, node_id=task.node_id)
    result = await _read_result(client, job_id, reading.result_file) if reading.result_file else None
    return EndedTask(job_id, task, result)


async def _output(client: BatchLinuxClient, job_id: str, limit: int) -> dict[str, str]:
    """
    Return the end of stdout and stderr; empty if the node no longer serves them.

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


async def _read_result(client: BatchLinuxClient, job_id: str, path: str) -> Any:
    """
    Return the content of a JSON file in the working directory of the command.

    :param path: relative to the working directory.
    :raises TaskFailedError: if the file is missing, too large, or not JSON.
    """
    try:
        content = await task_file_tail(client, job_id, TASK_ID, f"wd/{path}", MAX_RESULT_SIZE + 1)
    except BatchLinuxError as error:
        msg = f"Job {job_id!r} succeeded but left no {path!r} in its working directory: {error}"
        raise TaskFailedError(msg, exit_code=0) from error
    if len(content) > MAX_RESULT_SIZE:
        msg = f"{path!r} of job {job_id!r} is over {MAX_RESULT_SIZE} bytes; put data into storage instead."
        raise TaskFailedError(msg, exit_code=0)
    try:
        return json.loads(content)
    except ValueError as error:
        msg = f"{path!r} of job {job_id!r} is not JSON: {error}"
        raise TaskFailedError(msg, exit_code=0) from error
