"""Submit many commands as one job; a retry goes on with the job of an earlier try, or runs what is left."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.api.calls import Body
from airflow_provider_batchlinux.client.tasks.jobs import (
    Submission,
    create_job,
    delete_empty_job,
    end_job,
    end_with_commands,
    retire,
)
from airflow_provider_batchlinux.client.tasks.secrets import delete_secrets, secrets_mark
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.pool_metadata import (
    FINGERPRINT_KEY,
    SECRETS_KEY,
    SUBMISSION_KEY,
    TASKS_KEY,
    metadata_of,
    rest_metadata,
)
from airflow_provider_batchlinux.core.secrets import without_signatures
from airflow_provider_batchlinux.core.storage.grants import Grant
from airflow_provider_batchlinux.core.tasks.job import Tries, job_state
from airflow_provider_batchlinux.core.tasks.plan import (
    MOST_IN_COLLECTION,
    EarlierJob,
    RerunPlan,
    SentTask,
    answers_by_task,
    collections_of,
    rerun_plan,
)
from airflow_provider_batchlinux.core.tasks.reading import TaskReading, read_mark
from airflow_provider_batchlinux.core.tasks.spec.job import OWN_IDS
from airflow_provider_batchlinux.core.tasks.task import TASK_FIELDS, TaskSnapshot
from airflow_provider_batchlinux.core.text import counted
from airflow_provider_batchlinux.exceptions import BatchRequestError

log = logging.getLogger(__name__)

_SENDS = 5
"""How often a task is sent if the service answers with a server error."""

_PLANS = 3
"""How often a try is planned: the job of an earlier try may end in the meantime."""

_ENDED_MEANWHILE = ("JobNotFound", "JobCompleted", "JobBeingTerminated", "JobBeingDeleted")
_NAMED = 5
"""Refused tasks that an error names."""


@dataclass(frozen=True)
class ManySubmission(Submission):
    """A job with many commands to submit; see :class:`Submission`."""

    def job_rest(self, urls: Mapping[Grant, str]) -> dict[str, Any]:
        """Return the REST body of the job."""
        body = super().job_rest(urls)
        return {**body, "metadata": [*body["metadata"], *rest_metadata({TASKS_KEY: len(self.spec.commands)})]}

    def fingerprint(self) -> str:
        """Return the digest of the job without its commands, which each have their own."""
        return self.spec.fingerprint(with_commands=False)

    def going_on(self, job_id: str, token: str) -> ManySubmission:
        """Return the submission of more commands to the job of an earlier try."""
        tries = replace(self.tries, number=int(job_id[len(self.tries.id_stem) :]))
        return replace(self, tries=tries, token=token)


@dataclass(frozen=True)
class Submitted:
    """
    The job that runs the commands now.

    :param job_id: the job; ``None`` if every command has succeeded in an earlier try.
    :param total: how many tasks it has at least.
    :param done: commands that have succeeded in jobs of earlier tries.
    :param starts: the starts in the job before this try.
    """

    job_id: str | None
    total: int
    done: int = 0
    starts: int = 0


async def submit_job(client: BatchLinuxClient, submission: ManySubmission) -> Submitted:
    """
    Submit the commands that have not succeeded in an earlier try.

    The job of an earlier try that is still active goes on: what is missing is added, what has failed in it
    runs again. Other active jobs of earlier tries are ended. A new job ends with its last command, and then
    holds no quota.

    :raises BatchQuotaError: the account has too many active jobs.
    :raises BatchRequestError: the service has refused some commands. Nothing runs any more.
    """
    plans = 1
    while True:
        found = await _found_jobs(client, submission)
        plan = await _plan(client, submission, found)
        try:
            return await _carry_out(client, submission, found, plan)
        except BatchRequestError as error:
            if plan.job_id is None or error.code not in _ENDED_MEANWHILE or plans == _PLANS:
                raise
            log.info("Job %r of an earlier try has ended meanwhile.", plan.job_id)
        plans += 1


async def _found_jobs(client: BatchLinuxClient, submission: ManySubmission) -> dict[str, Body]:
    """Return the jobs of earlier tries that count, the latest first. Others are retired."""
    tries = submission.tries
    jobs = tries.own(await client.find_jobs(tries.id_stem))
    found = of_many(jobs, tries) if tries.number > 1 else {}
    for job in jobs:
        if job["id"] not in found:
            await retire(client, submission, job)
    return found


def of_many(jobs: Iterable[Body], tries: Tries) -> dict[str, Body]:
    """Return the jobs with many commands that count for a try, the latest first."""
    own = [job for job in jobs if TASKS_KEY in metadata_of(job) and tries.counts(job)]
    own.sort(key=lambda job: tries.number_of(job) or 0, reverse=True)
    return {str(job["id"]): job for job in own}


async def _plan(client: BatchLinuxClient, submission: ManySubmission, found: Mapping[str, Body]) -> RerunPlan:
    async def read(job_id: str) -> EarlierJob:
        def sent(body: Body) -> SentTask:
            digest, _ = read_mark(body.get("displayName"))
            return SentTask(job_id, str(body["id"]), digest, TaskSnapshot.from_rest(body))

        job = found[job_id]
        marks = metadata_of(job)
        is_same = marks.get(FINGERPRINT_KEY) == submission.fingerprint()
        blobs = submission.going_on(job_id, marks[SUBMISSION_KEY]).blobs
        # A job with other blobs does not go on: its metadata would not name the new ones, for deletion.
        is_same = is_same and marks.get(SECRETS_KEY) == (secrets_mark(blobs.values()) if blobs else None)
        tasks = await client.read_tasks(job_id, sent, select=[*TASK_FIELDS, "displayName"])
        return EarlierJob(job_id, is_same and job_state(job) == "active", tasks)

    earlier = await fan_out(found, read)
    codes = {task_id: command.task.exit_codes or {} for task_id, command in submission.spec.commands.items()}
    return rerun_plan(submission.spec.digests, codes, earlier, has_manager="manager" in submission.spec.own)


async def _carry_out(
    client: BatchLinuxClient, submission: ManySubmission, found: Mapping[str, Body], plan: RerunPlan
) -> Submitted:
    for job_id, job in found.items():
        if job_id != plan.job_id:
            if job_id in plan.done.values():
                await end_job(client, job, submission.storage)
            else:
                await retire(client, submission, job)
    await fan_out(plan.superseded, lambda task: client.delete_task(*task))
    if plan.done:
        log.info("%s succeeded in earlier tries.", counted(len(plan.done), "command"))
    if plan.job_id is not None:
        return await _go_on(client, submission, found[plan.job_id], plan)
    has_manager = "manager" in submission.spec.own
    if not plan.to_send and not has_manager:
        return Submitted(None, 0, len(plan.done))
    # The URLs come first: if storage refuses them, no job is left behind.
    await create_job(
        client, submission, await submission.urls(submission.spec.own_grants(), OWN_IDS.values())
    )
    await _send_all(client, submission, plan)
    await end_with_commands(client, submission.job_id)
    return Submitted(submission.job_id, len(plan.to_send) + has_manager, len(plan.done))


async def _go_on(
    client: BatchLinuxClient, submission: ManySubmission, job: Body, plan: RerunPlan
) -> Submitted:
    """Send what is missing in the job of an earlier try, and run again what has failed there."""
    job_id = str(job["id"])
    earlier = submission.going_on(job_id, metadata_of(job)[SUBMISSION_KEY])
    log.info(
        "Job %r of an earlier try goes on: %s added, %d run again.",
        job_id,
        counted(len(plan.to_send), "command"),
        len(plan.to_reactivate),
    )
    if plan.to_send or plan.to_reactivate:
        # First: a command that starts without its secrets fails.
        await earlier.put_secrets()
    await fan_out(plan.to_reactivate, lambda task_id: client.reactivate_task(job_id, task_id))
    await _send_all(client, earlier, plan)
    await end_with_commands(client, job_id)
    elsewhere = sum(of != job_id for of in plan.done.values())
    return Submitted(job_id, len(submission.spec.commands) - elsewhere, elsewhere, plan.starts)


@dataclass
class _Sending:
    """
    The commands that are being sent to a job, and how the service has answered.

    :param refused: what the service refused, and why, by the ids of the tasks.
    """

    client: BatchLinuxClient
    job_id: str
    accepted: int = 0
    refused: dict[str, str] = field(default_factory=dict)

    async def send(self, bodies: Sequence[Body], times: int = 1) -> None:
        """Send tasks in one request, or in several if the service says that it is too large."""
        try:
            rows = await self.client.create_tasks(self.job_id, bodies)
        except BatchRequestError as error:
            if error.code != "RequestBodyTooLarge":
                raise
            if len(bodies) == 1:
                self.refused[str(bodies[0]["id"])] = str(error)
                return
            middle = len(bodies) // 2
            await self.send(bodies[:middle])
            await self.send(bodies[middle:])
            return
        again = []
        for body, row in answers_by_task(bodies, rows):
            problem = row.get("error") or {}
            if problem.get("code") in _ENDED_MEANWHILE:
                raise BatchRequestError(_refusal_text(problem), code=problem["code"])
            status = str(row.get("status")).lower()
            # TaskExists: the answer to an earlier request was lost.
            if status == "success" or problem.get("code") == "TaskExists":
                self.accepted += 1
            elif status == "servererror" and times < _SENDS:
                again.append(body)
            else:
                self.refused[str(body["id"])] = _refusal_text(problem)
        if again:
            # The same waits as between tries of a request that has failed as a whole.
            await self.client.retry.sleep(self.client.retry.first_wait * 2 ** (times - 1))
            await self.send(again, times + 1)


async def _send_all(client: BatchLinuxClient, submission: ManySubmission, plan: RerunPlan) -> None:
    spec, digests = submission.spec, submission.spec.digests
    sending = _Sending(client.paced(), submission.job_id)

    async def send(task_ids: Sequence[str]) -> None:
        grants = [grant for task_id in task_ids for grant in spec.commands[task_id].task.grants()]
        urls = await submission.urls(grants, task_ids)
        bodies = (
            {
                **spec.task_rest(task_id, urls, submission.blobs.get(task_id), elsewhere),
                "displayName": TaskReading.of(spec.commands[task_id].task).mark(digests[task_id]),
            }
            for task_id in task_ids
        )
        for group in collections_of(bodies):
            await sending.send(group)

    elsewhere = {task_id for task_id, job_id in plan.done.items() if job_id != submission.job_id}
    starts = range(0, len(plan.to_send), MOST_IN_COLLECTION)
    chunks = [plan.to_send[start : start + MOST_IN_COLLECTION] for start in starts]
    await fan_out(chunks, send)
    if sending.refused:
        await _end_refused(client, submission, sending, len(plan.to_send))


async def _end_refused(
    client: BatchLinuxClient, submission: ManySubmission, sending: _Sending, total: int
) -> None:
    """End a job of whose commands some were refused, and raise BatchRequestError with the reasons."""
    if sending.accepted:
        await client.end_job(submission.job_id)
        if submission.blobs:
            await delete_secrets(secrets_mark(submission.blobs.values()), submission.storage)
    else:
        await delete_empty_job(client, submission)
    shown = [f"- {task_id!r}: {reason}" for task_id, reason in list(sending.refused.items())[:_NAMED]]
    if len(sending.refused) > _NAMED:
        shown.append(f"- and {len(sending.refused) - _NAMED:,} more.")
    refused = f"{len(sending.refused):,} of {counted(total, 'command')}"
    msg = f"The service has refused {refused}; job {submission.job_id!r} was ended."
    raise BatchRequestError("\n".join([msg, *shown]))


def _refusal_text(problem: Mapping[str, Any]) -> str:
    said = problem.get("message")
    text = said.get("value") if isinstance(said, Mapping) else said
    details = "; ".join(
        f"{item.get('key')}: {item.get('value')}" for item in problem.get("values") or () if item.get("key")
    )
    line = str(text or "no reason given").strip().splitlines()[0]
    # It may quote a URL with its SAS.
    return without_signatures(" ".join(filter(None, [f"{line} ({problem.get('code')})", details])))
