"""Find and remove the jobs for whose commands nothing waits any more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.storage.access import StorageAccess
from airflow_provider_batchlinux.client.tasks.secrets import delete_secrets, forget_secrets
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.pool_metadata import Holder
from airflow_provider_batchlinux.core.tasks.sweep import JobSweep, OwnedJob, job_sweep_of, owned_jobs
from airflow_provider_batchlinux.core.tasks.task import TASK_ID, TaskOutcome, task_outcome
from airflow_provider_batchlinux.exceptions import BatchRequestError

log = logging.getLogger(__name__)


async def jobs_to_sweep(
    client: BatchLinuxClient,
    jobs: Sequence[OwnedJob],
    has_ended: Callable[[Holder], bool],
    deleted_pools: Collection[str],
) -> list[JobSweep]:
    """
    Return the jobs to delete or end, after one request for each that may be.

    :param has_ended: returns whether a Dag run has ended, or no longer exists.
    :param deleted_pools: the ids of pools that are being deleted, or will be.
    """
    deleted = {pool_id.lower() for pool_id in deleted_pools}

    async def sweep(job: OwnedJob) -> JobSweep | None:
        # The job was listed before: a run that is cleared from now on submits another one.
        run_has_ended, pool_is_deleted = has_ended(job.run), job.pool_id.lower() in deleted
        if not run_has_ended and not pool_is_deleted:
            return None
        if job.unreadable is not None:
            log.warning("%s It is left alone.", job.unreadable)
            return None
        # Only for jobs that may be swept: it is a request for each.
        outcome = await _outcome(client, job)
        return job_sweep_of(job, outcome, run_has_ended=run_has_ended, pool_is_deleted=pool_is_deleted)

    found = await fan_out([job for job in jobs if not job.is_kept], sweep)
    return [item for item in found if item is not None]


async def _outcome(client: BatchLinuxClient, job: OwnedJob) -> TaskOutcome | None:
    if job.is_of_many:
        counts = await client.task_counts(job.job_id)
        return counts.outcome if counts is not None else None
    task = await client.find_task(job.job_id, TASK_ID)
    return task_outcome(task) if task is not None else None


async def sweep_jobs_of_pool(
    client: BatchLinuxClient,
    pool_id: str,
    installation: str,
    has_ended: Callable[[Holder], bool],
    storage: StorageAccess,
) -> None:
    """
    Delete or end the active jobs on a pool that is being deleted; log a warning for each that is refused.

    :param installation: the id of the Airflow whose jobs are considered.
    :param has_ended: returns whether a Dag run has ended, or no longer exists.
    :param storage: the storage accounts of the secrets of commands.
    """
    found = owned_jobs(await client.find_jobs(state="active"), [installation])
    jobs = [job for job in found if job.pool_id.lower() == pool_id.lower()]
    sweeps = await jobs_to_sweep(client, jobs, has_ended, [pool_id])
    for sweep, error in zip(sweeps, await sweep_jobs(client, sweeps, storage), strict=True):
        if error is not None:
            log.warning("Job %r is left for the sweeper: %s", sweep.job.job_id, error)


async def sweep_jobs(
    client: BatchLinuxClient, sweeps: Sequence[JobSweep], storage: StorageAccess
) -> list[BatchRequestError | None]:
    """Delete the secrets of jobs, then delete or end these; return for each ``None`` or a refusal."""

    async def end(sweep: JobSweep) -> BatchRequestError | None:
        job_id = sweep.job.job_id
        # Before the job, which alone names them.
        are_deleted = await delete_secrets(sweep.job.secrets, storage)
        try:
            if sweep.deletes:
                await client.delete_job(job_id)
            elif not sweep.job.is_over:
                await client.end_job(job_id)
        except BatchRequestError as error:
            return error
        if are_deleted and not sweep.deletes:
            await forget_secrets(client, job_id)
        log.info("Job %r: %s, because %s.", job_id, sweep.action, sweep.reason)
        return None

    return await fan_out(sweeps, end)
