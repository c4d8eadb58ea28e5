"""Read the records of a job with many commands at its end, and clean up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.calls import Body
from airflow_provider_batchlinux.client.storage.access import StorageAccess
from airflow_provider_batchlinux.client.tasks.jobs import end_job
from airflow_provider_batchlinux.client.tasks.many import of_many
from airflow_provider_batchlinux.client.tasks.results import (
    MAX_RESULT_SIZE,
    discard,
    mark_job,
    mark_read,
    output_end,
    read_file,
)
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.instants import parse_instant, rest_instant
from airflow_provider_batchlinux.core.pool_metadata import COUNTED_KEY, metadata_of
from airflow_provider_batchlinux.core.tasks.job import Tries
from airflow_provider_batchlinux.core.tasks.reading import TaskReading, read_mark
from airflow_provider_batchlinux.core.tasks.records import TaskRecord, ordered_records
from airflow_provider_batchlinux.core.tasks.result import parse_result
from airflow_provider_batchlinux.core.tasks.spec.job import MANAGER_ID
from airflow_provider_batchlinux.core.tasks.task import TASK_FIELDS, TaskSnapshot
from airflow_provider_batchlinux.core.text import counted, joined
from airflow_provider_batchlinux.exceptions import BatchLinuxError, BatchUnreachableError, TaskFailedError

log = logging.getLogger(__name__)

_FIELDS = (*TASK_FIELDS, "displayName")
SHOWN_ENDS = 5
"""Failed commands whose output is in the error."""


@dataclass(frozen=True)
class JobsOfTries:
    """
    The jobs in which the commands of a task instance ran, the latest first.

    :param bodies: their REST bodies, by their ids.
    """

    bodies: Mapping[str, Body]

    async def end(self, client: BatchLinuxClient, storage: StorageAccess) -> None:
        """End what may still run, and delete the secrets."""
        for job in self.bodies.values():
            await end_job(client, job, storage)

    def require(self, job_id: str | None, records: Sequence[TaskRecord], *, has_manager: bool) -> None:
        """Raise TaskFailedError if a job that was waited for is not there any more, or not its manager."""
        managed = {record.job_id for record in records if record.task_id == MANAGER_ID}
        if job_id is not None and job_id not in (managed if has_manager else self.bodies):
            msg = f"Job {job_id!r}, or its manager, was deleted before its records were read."
            raise TaskFailedError(msg)

    async def mark_read(self, client: BatchLinuxClient, try_number: int) -> None:
        """Mark the jobs before the task succeeds, so that it runs all commands again once it is cleared."""
        for job_id in self.bodies:
            await mark_read(client, job_id, try_number)

    def uncounted(self, records: Sequence[TaskRecord]) -> list[TaskRecord]:
        """Return the records of the commands that no earlier try has counted."""
        marks = {job_id: metadata_of(job).get(COUNTED_KEY) for job_id, job in self.bodies.items()}
        counted_until = {job_id: parse_instant(mark) for job_id, mark in marks.items()}
        return [record for record in records if not record.ended_by(counted_until.get(record.job_id or ""))]

    async def mark_counted(self, client: BatchLinuxClient, records: Sequence[TaskRecord]) -> None:
        """Let no later try count what has ended; if the service refuses that, it counts them again."""
        for job_id in self.bodies:
            ends = [record.task.ended_at for record in records if record.job_id == job_id and record.task]
            if last := max((end for end in ends if end is not None), default=None):
                try:
                    await mark_job(client, job_id, COUNTED_KEY, rest_instant(last))
                except BatchLinuxError as error:
                    log.info("A retry counts the commands of job %r again in metrics: %s", job_id, error)

    async def delete(self, client: BatchLinuxClient) -> None:
        """Delete the jobs; log a warning for each that the service refuses to delete."""
        for job_id in self.bodies:
            await discard(client, job_id)


async def jobs_of_tries(client: BatchLinuxClient, tries: Tries) -> JobsOfTries:
    """Return the jobs in which the commands of a task instance ran, as far as they count for this try."""
    return JobsOfTries(of_many(tries.own(await client.find_jobs(tries.id_stem)), tries))


@dataclass(frozen=True)
class CommandList:
    """
    The commands as the parameters list them when their job has ended.

    :param tasks: how each is read, by the ids of their tasks.
    :param digests: returns the digest of each; to compute them takes a moment.
    :param shared: how a task is read of which nothing else is known.
    :param submitted: how many were submitted; ``None`` if that is unknown, as with a manager, which adds
        others.
    :param is_known: whether the list could be read; otherwise it is the tasks in the jobs that have a digest.
    """

    tasks: Mapping[str, TaskReading]
    digests: Callable[[], Mapping[str, str]]
    shared: TaskReading
    submitted: int | None
    is_known: bool = True

    def counts(self, task_id: str, digest: str | None) -> bool:
        """Return whether a task is one of the commands that were submitted, as far as that is known."""
        is_ours = task_id in self.tasks or self.submitted is not None
        return is_ours or (not self.is_known and digest is not None)

    def reading_of(self, task_id: str, digest: str | None, sent: TaskReading | None) -> TaskReading | None:
        """
        Return how a task in a job is interpreted; ``None`` if that is not known any more.

        :param digest: what it was asked to do; ``None`` if it was not sent as a command of the list.
        :param sent: how it was to be read when it was submitted; ``None`` if it is unknown.
        """
        listed = self.tasks.get(task_id)
        if digest is None:
            return TaskReading() if listed is None and self.submitted is None else self.shared
        # The list may have changed since: another command may have this id now.
        if listed is not None and (listed == sent or self.digests().get(task_id) == digest):
            return listed
        return sent


async def read_records(
    client: BatchLinuxClient, jobs: JobsOfTries, commands: CommandList, *, is_strict: bool = True
) -> list[TaskRecord]:
    """
    Return the record of each command, with the content of its result file.

    A command counts by its task in the latest job, unless only an earlier one has it. Tasks that a manager
    has added follow. What was submitted decides, if the list has changed since.

    :param is_strict: whether a result that cannot be read now is an error; otherwise its record says so.
    :raises BatchLinuxError: a result cannot be read now. A later try may read it.
    """
    tasks = commands.tasks
    names = {task_id.lower(): task_id for task_id in tasks}
    found: dict[str, TaskRecord] = {}
    files: dict[str, str | None] = {}
    unread: dict[str, None] = {}

    def read(job_id: str, body: Body) -> TaskRecord:
        task_id = names.get(str(body["id"]).lower(), str(body["id"]))
        digest, sent = read_mark(body.get("displayName"))
        reading = commands.reading_of(task_id, digest, sent)
        if reading is None:
            unread.setdefault(task_id)
            reading = commands.shared
        files.setdefault(task_id, reading.result_file)
        record = TaskRecord.of(task_id, job_id, TaskSnapshot.from_rest(body), reading.exit_codes)
        return replace(record, outputs=reading.outputs, digest=digest)

    for number, job_id in enumerate(jobs.bodies):
        for record in await client.read_tasks(job_id, partial(read, job_id), select=_FIELDS):
            # Of earlier jobs with a manager, other tasks than the commands have no meaning any more.
            if record.task_id not in found and (
                number == 0 or commands.counts(record.task_id, record.digest)
            ):
                found[record.task_id] = record
    records, unsent = ordered_records(list(tasks), found, commands.submitted)
    for what, ids in {
        "added to the list after the submission; not run": unsent,
        "no longer in the list as submitted; outputs are unknown, and exit_codes and result_file are those "
        "of all commands": list(unread),
    }.items():
        if ids:
            log.warning("%s %s: %s.", counted(len(ids), "command"), what, joined(ids))
    unread_because: list[BatchLinuxError] | None = None if is_strict else []
    return await fan_out(
        records, lambda record: _with_result(client, record, files.get(record.task_id), unread_because)
    )


async def _with_result(
    client: BatchLinuxClient,
    record: TaskRecord,
    path: str | None,
    unread_because: list[BatchLinuxError] | None,
) -> TaskRecord:
    """
    Return the record of a command with the content of its result file.

    :param unread_because: why the service was asked for no further result; ``None`` raises what it answers.
    """
    if path is None or record.outcome != "succeeded":
        return record
    if unread_because:
        return replace(record, unread=f"its result was not read: {unread_because[0]}")
    assert record.job_id is not None
    assert record.task is not None
    file = await read_file(client, record.job_id, record.task, f"wd/{path}", MAX_RESULT_SIZE, record.task_id)
    if file.end is not None:
        try:
            return replace(record, result=parse_result(file.end))
        except ValueError as error:
            return replace(record, loss=f"its {path!r} {error}")
    assert file.error is not None
    if file.loss:
        return replace(record, loss=f"its result is lost: {file.loss}")
    if file.is_missing:
        return replace(record, loss=f"it left no {path!r} in its working directory")
    if unread_because is None:
        raise file.error
    if isinstance(file.error, BatchUnreachableError):
        unread_because.append(file.error)
    return replace(record, unread=f"its result was not read: {file.error}")


async def forget_lost(client: BatchLinuxClient, records: Sequence[TaskRecord]) -> None:
    """Delete the tasks that have succeeded, but whose results cannot be used: a retry runs them again."""

    async def forget(record: TaskRecord) -> None:
        try:
            await client.delete_task(str(record.job_id), record.task_id)
        except BatchLinuxError as error:
            log.warning("A retry does not run task %r again: %s", record.task_id, error)

    lost = [record for record in records if record.loss is not None]
    await fan_out(lost, forget)


async def ends_of(client: BatchLinuxClient, records: Sequence[TaskRecord]) -> dict[str, str]:
    """Return the ends of the output of the first commands that have failed, as further lines of a message."""

    async def end(record: TaskRecord) -> str:
        if record.job_id is None or record.task is None or record.task.started_at is None:
            return ""
        try:
            text = await output_end(client, record.job_id, record.task_id, record.task)
        except BatchLinuxError:
            return ""
        return "\n".join(f"  {line}" if line else "" for line in text.split("\n"))

    first = records[:SHOWN_ENDS]
    ends = await fan_out(first, end)
    return {record.task_id: text for record, text in zip(first, ends, strict=True)}
