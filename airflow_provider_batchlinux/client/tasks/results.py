"""Read the output and the result of a command that has ended, and clean up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.files import task_file
from airflow_provider_batchlinux.core.pool_metadata import (
    READ_KEY,
    SETTLED_KEY,
    metadata_of,
    rest_metadata,
)
from airflow_provider_batchlinux.core.tasks.job import DeleteJob
from airflow_provider_batchlinux.core.tasks.output import Progress, first_to_read
from airflow_provider_batchlinux.core.tasks.result import FileEnd, parse_result, why_lost
from airflow_provider_batchlinux.core.tasks.spec.exit_codes import ENDS_WELL, Ending
from airflow_provider_batchlinux.core.tasks.task import (
    TASK_ID,
    TaskOutcome,
    TaskSnapshot,
    ending_of,
    task_outcome,
)
from airflow_provider_batchlinux.core.text import indented
from airflow_provider_batchlinux.exceptions import (
    BatchLinuxError,
    BatchRequestError,
    BatchUnreachableError,
    TaskFailedError,
    TaskFailedForGoodError,
)

log = logging.getLogger(__name__)

MAX_RESULT_SIZE = 48 * 1024
"""Bytes of a result file: XComs are to stay small."""

_STDERR_IN_ERROR = 2_000


@dataclass(frozen=True)
class EndedTask:
    """
    A command that ended well, and the content of its result file.

    :param is_skipped: whether its exit code means that its Airflow task is skipped.
    """

    job_id: str
    task: TaskSnapshot
    result: Any
    is_skipped: bool = False


@dataclass(frozen=True)
class Reading:
    """
    What to read from a command that has ended.

    :param output_limit: bytes of each output stream at most.
    :param result_file: a JSON file in the working directory; ``None`` for none.
    :param delete_job: when to delete the job.
    :param progress: how much of the output was shown while the command ran; ``None`` for nothing.
    :param exit_codes: what exit codes mean.
    """

    output_limit: int
    result_file: str | None
    delete_job: DeleteJob
    progress: Progress | None = None
    exit_codes: Mapping[int, Ending] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskFile:
    """
    The end of a file of a command, or why it was not read.

    :param error: what the service answered instead.
    :param loss: why the file can never be read; empty if it may be later.
    """

    end: FileEnd | None = None
    error: BatchLinuxError | None = None
    loss: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether the node answered that it has no such file."""
        return isinstance(self.error, BatchRequestError) and self.error.code == "FileNotFound"

    @property
    def may_be_read_later(self) -> bool:
        """Whether a later try may read it."""
        return self.error is not None and not self.loss and not self.is_missing


async def finish_task(client: BatchLinuxClient, job_id: str, reading: Reading) -> EndedTask:
    """
    Log the output of a command that has ended, and return its result.

    The job of a command that ended well is left to :func:`discard`, after Airflow has stored the success.

    :raises TaskFailedError: if it failed, or its result is lost or not usable.
    :raises BatchLinuxError: if it succeeded, and its output or result cannot be read now. The job is kept,
        and a retry reads it.
    """
    task = await client.find_task(job_id, TASK_ID)
    if task is None:
        msg = f"Task {TASK_ID!r} of job {job_id!r} was deleted before its result was read."
        raise TaskFailedError(msg)
    ending = ending_of(task, reading.exit_codes)
    outputs = await show_output(client, job_id, task, reading.output_limit, reading.progress)
    if ending not in ENDS_WELL:
        if reading.delete_job == "always" and not any(file.may_be_read_later for file in outputs.values()):
            await discard(client, job_id)
        msg = f"Task {TASK_ID!r} in job {job_id!r} failed: {task.why_failed()}.\n{_output_end(outputs)}"
        kind = TaskFailedForGoodError if ending == "fail" else TaskFailedError
        raise kind(msg, exit_code=task.exit_code, node_id=task.node_id)
    files = list(outputs.values())
    reads_result = reading.result_file and ending == "success"
    if reads_result and not any(file.loss for file in files):
        files.append(await read_file(client, job_id, task, f"wd/{reading.result_file}", MAX_RESULT_SIZE))
    for file in files:
        if file.error is not None and file.may_be_read_later:
            outlook = (
                f"The command of job {job_id!r} has succeeded; its job is kept, and a retry reads its files."
            )
            file.error.args = (f"{file.error} {outlook}",)
            raise file.error
    result = await _result(client, job_id, task, reading, files) if reads_result else None
    return EndedTask(job_id, task, result, is_skipped=ending == "skip")


async def show_output(
    client: BatchLinuxClient, job_id: str, task: TaskSnapshot, limit: int, progress: Progress | None
) -> dict[str, TaskFile]:
    """
    Log the output that was not shown yet, and return the end of both streams.

    :param limit: bytes of each stream to log at most.
    :param progress: how much was shown; ``None`` for nothing.
    """
    known = progress if progress is not None and progress.run == task.run else Progress()
    least = 0 if task_outcome(task) is TaskOutcome.SUCCEEDED else min(_STDERR_IN_ERROR, limit)
    outputs = {}
    for stream in ("stderr", "stdout"):
        first_of = partial(first_to_read, limit=limit, shown=known.at(stream), least=least)
        outputs[stream] = await read_file(client, job_id, task, f"{stream}.txt", first_of)
    if task_outcome(task) is TaskOutcome.SUCCEEDED and all(file.is_missing for file in outputs.values()):
        # Every command that ran leaves both; one that could not start leaves none.
        loss = f"node {task.node_id!r} no longer has its files, as after a reimage"
        outputs = {stream: replace(file, loss=loss) for stream, file in outputs.items()}
    for stream, file in outputs.items():
        _log_output(job_id, stream, file, known.at(stream))
    return outputs


async def output_end(client: BatchLinuxClient, job_id: str, task_id: str, task: TaskSnapshot) -> str:
    """Return the end of the output of a command that has failed, as further lines of a message."""
    files = {}
    for stream in ("stderr", "stdout"):
        path = f"{stream}.txt"
        files[stream] = await read_file(client.within(0), job_id, task, path, _STDERR_IN_ERROR, task_id)
        end = files[stream].end
        if end is None or end.text():
            break
    return f"\n{_output_end(files)}"


async def _result(
    client: BatchLinuxClient, job_id: str, task: TaskSnapshot, reading: Reading, files: Sequence[TaskFile]
) -> Any:
    path, file = reading.result_file, files[-1]
    loss = next((file.loss for file in files if file.loss), "")
    if loss or file.end is None:
        await give_up(client, job_id, delete=reading.delete_job == "always")
        flaw = f"left no {path!r} in its working directory: {file.error}"
        msg = f"Job {job_id!r} succeeded but " + (f"its result is lost: {loss}." if loss else flaw)
        raise TaskFailedError(msg, exit_code=0, node_id=task.node_id) from file.error
    try:
        return parse_result(file.end)
    except ValueError as error:
        # The job has the only copy of what the command made.
        await give_up(client, job_id, delete=False)
        msg = f"{path!r} of job {job_id!r} {error}. The job is kept with the file."
        raise TaskFailedError(msg, exit_code=0) from error


async def read_file(
    client: BatchLinuxClient,
    job_id: str,
    task: TaskSnapshot,
    path: str,
    limit: int | Callable[[int], int],
    task_id: str = TASK_ID,
) -> TaskFile:
    """Return the end of a file of a command that has ended, or why it was not read."""
    try:
        return TaskFile(await task_file(client, job_id, task_id, path).tail(limit))
    except BatchRequestError as error:
        return TaskFile(error=error, loss=await _loss(client, task, error))
    except BatchLinuxError as error:
        return TaskFile(error=error)


async def _loss(client: BatchLinuxClient, task: TaskSnapshot, error: BatchRequestError) -> str:
    state = None
    if error.code == "TaskFilesUnavailable":
        try:
            node = await client.find_node_body(task.pool_id or "", task.node_id or "", ["id", "state"])
        except BatchLinuxError:
            return ""
        state = str(node["state"]).lower() if node else None
    return why_lost(error.code, task.node_id, state) or ""


def _log_output(job_id: str, stream: str, file: TaskFile, shown: int) -> None:
    if file.end is not None:
        rest = file.end.after(shown)
        if rest.content or not shown:
            log.info("%s of job %r:\n%s", stream, job_id, indented(rest.text()) or "    (empty)")
    elif file.loss:
        log.warning("The %s of job %r is lost: %s. %s", stream, job_id, file.loss, file.error)
    else:
        log.warning("The %s of job %r is not available: %s", stream, job_id, file.error)


def _output_end(outputs: Mapping[str, TaskFile]) -> str:
    stderr = outputs["stderr"]
    ends = {name: file.end.last(_STDERR_IN_ERROR).text() for name, file in outputs.items() if file.end}
    if stderr.end is None:
        return f"Its stderr is {'lost: ' + stderr.loss if stderr.loss else 'not available'}: {stderr.error}"
    name = "stderr" if ends["stderr"] or not ends.get("stdout") else "stdout"
    return f"The end of its {name}:\n" + indented(ends[name] or "(empty)")


async def discard(client: BatchLinuxClient, job_id: str) -> None:
    """Delete a job that is no longer needed; log a warning if that fails."""
    try:
        await client.delete_job(job_id)
    except BatchLinuxError as error:
        log.warning("Job %r is no longer needed, but could not be deleted: %s", job_id, error)


async def give_up(client: BatchLinuxClient, job_id: str, *, delete: bool) -> None:
    """Let no retry adopt a job whose result is lost: delete it, or mark it; log a warning if that fails."""
    try:
        if delete:
            try:
                await client.delete_job(job_id)
            except BatchRequestError as error:
                log.warning("Job %r could not be deleted: %s", job_id, error)
            else:
                return
        await settle(client, job_id)
    except BatchUnreachableError as error:
        log.warning("Job %r could not be marked as read; a retry may adopt it: %s", job_id, error)


async def mark_read(client: BatchLinuxClient, job_id: str, try_number: int) -> None:
    """
    Mark a job before its task succeeds: what it has done counts for retries, not once the task is cleared.

    :raises BatchUnreachableError: the service does not answer. A retry reads the results again.
    """
    try:
        await mark_job(client, job_id, READ_KEY, str(try_number))
    except BatchRequestError as error:
        # Whether the service lets a job be changed that has ended is not documented.
        log.warning(
            "Job %r could not be marked as read. Unless it is deleted, a clear of the task finds it done: %s",
            job_id,
            error,
        )


async def settle(client: BatchLinuxClient, job_id: str) -> bool:
    """
    Mark a job as one of which nothing is left to read; return whether the service has taken that.

    :raises BatchUnreachableError: the service does not answer.
    """
    try:
        await mark_job(client, job_id, SETTLED_KEY, "true")
    except BatchRequestError as error:
        log.warning("Job %r could not be marked as read; a retry may adopt it: %s", job_id, error)
        return False
    return True


async def mark_job(client: BatchLinuxClient, job_id: str, key: str, value: str | None) -> None:
    """Set an entry in the metadata of a job that exists; ``None`` removes it."""
    job = await client.find_job(job_id)
    if job is not None:
        marks = {**metadata_of(job), key: value}
        # The service replaces all entries.
        kept = {name: mark for name, mark in marks.items() if mark is not None}
        await client.update_job(job_id, {"metadata": rest_metadata(kept)})
