"""Creates and deletes pools, also those that jobs and job schedules only describe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from airflow_provider_batchlinux.emulator.pools.allocation import Allocation
from airflow_provider_batchlinux.emulator.pools.scaler import AutoScaler
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.rules.auto_pools import complete_auto_pool, scheduling_error
from airflow_provider_batchlinux.emulator.rules.caller import Caller
from airflow_provider_batchlinux.emulator.simulation.clock import Clock
from airflow_provider_batchlinux.emulator.state.persisted_settings import Quotas
from airflow_provider_batchlinux.emulator.state.records import Job, JobSchedule, Json, Pool
from airflow_provider_batchlinux.emulator.state.store import Store


@dataclass
class PoolLifecycle:
    """
    Create and delete pools. In between, allocation and scaling manage them.

    :param is_legacy: whether new pools are open for SSH unless they say otherwise.
    """

    store: Store
    quotas: Quotas
    allocation: Allocation
    scaler: AutoScaler
    is_legacy: bool = False

    def add(self, pool_id: str, spec: Json, now: datetime) -> Pool:
        """
        Create a pool, and start its first resize.

        :param spec: its description, with the defaults of the service.
        :raises ServiceError: the pool exists, or the pool quota is reached.
        """
        self._check_absent(pool_id)
        described = dict(spec)
        targets = described.pop("targetDedicatedNodes", 0), described.pop("targetLowPriorityNodes", 0)
        version = self.store.next_version(now)
        pool = Pool(pool_id, described, now, version, "active", now, "resizing", now, *targets)
        pool = replace(pool, is_legacy=self.is_legacy)
        pool = self.allocation.resize(pool, *targets, now)
        return self.scaler.enable(pool, now) if pool.is_auto_scaled else pool

    def delete(self, pool: Pool, now: datetime) -> None:
        """Start to delete a pool."""
        self.scaler.disable(pool.id)
        self.allocation.delete(pool, now)

    def _check_absent(self, pool_id: str) -> None:
        existing = self.store.pools.get(pool_id)
        if existing is not None:
            raise ServiceError(Code.POOL_EXISTS if existing.state == "active" else Code.POOL_BEING_DELETED)
        if self.quotas.pools is not None and len(self.store.pools) >= self.quotas.pools:
            raise ServiceError(Code.POOL_QUOTA_REACHED)


@dataclass
class AutoPools:
    """
    Auto pools: pools that exist as long as their job or job schedule.

    Like the service, the emulator does not prevent users from changing or deleting them.

    :param caller: who creates them. That a job may describe its pool is checked when the job is created.
    """

    caller: Caller
    clock: Clock
    pools: PoolLifecycle

    def assign(self, job: Job) -> Job:
        """
        Create the auto pool of a new job, and return the job with its id.

        If the pool cannot be created, the job is completed with a scheduling error. A job that names its pool
        is returned unchanged.
        """
        auto = _auto_pool_of(job.spec)
        if auto is None:
            return job
        try:
            return replace(job, auto_pool=self._pool_of_schedule(job, auto) or self._create(auto))
        except ServiceError as error:
            problem = scheduling_error(error)
            if problem is None:
                raise
            return replace(job, state="completed", ended=job.created, scheduling_error=problem)

    def job_ended(self, job: Job) -> None:
        """Delete the auto pool of a completed or deleted job, if its lifetime is that of the job."""
        auto = _auto_pool_of(job.spec)
        if auto is not None and auto["poolLifetimeOption"] == "job":
            self._delete(job.auto_pool, auto)

    def schedule_ended(self, schedule: JobSchedule) -> None:
        """Delete the auto pool of a completed or deleted job schedule."""
        auto = _auto_pool_of(schedule.spec["jobSpecification"])
        if auto is not None:
            self._delete(schedule.auto_pool, auto)

    def _pool_of_schedule(self, job: Job, auto: Json) -> str | None:
        schedule = self.caller.store.schedules.get(job.id.partition(":")[0])
        if schedule is None or auto["poolLifetimeOption"] == "job":
            return None
        if schedule.auto_pool is None:
            schedule = self.caller.store.put_schedule(replace(schedule, auto_pool=self._create(auto)))
        return schedule.auto_pool

    def _create(self, auto: Json) -> str:
        """Create a pool. Recorded: its id is ``prefix_`` and a GUID in capitals. Without prefix: assumed."""
        prefix, unique = auto.get("autoPoolIdPrefix"), str(uuid4()).upper()
        pool_id = f"{prefix}_{unique}" if prefix else unique
        spec = complete_auto_pool(auto["pool"], self.caller)
        return self.pools.add(pool_id, spec, self.clock.now()).id

    def _delete(self, pool_id: str | None, auto: Json) -> None:
        pool = None if pool_id is None else self.caller.store.pools.get(pool_id)
        if pool is not None and pool.state == "active" and not auto["keepAlive"]:
            self.pools.delete(pool, self.clock.now())


def _auto_pool_of(spec: Json) -> Json | None:
    auto: Json | None = spec["poolInfo"].get("autoPoolSpecification")
    return auto
