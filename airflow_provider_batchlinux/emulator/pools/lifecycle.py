"""Creates and deletes pools, also those that jobs and job schedules only describe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from airflow_provider_batchlinux.emulator.pools.allocation import Allocation
from airflow_provider_batchlinux.emulator.pools.scaler import AutoScaler
from airflow_provider_batchlinux.emulator.protocol.errors import Code, ServiceError
from airflow_provider_batchlinux.emulator.rules.auto_pools import complete_auto_pool, scheduling_error
from airflow_provider_batchlinux.emulator.simulation.clock import Clock
from airflow_provider_batchlinux.emulator.state.persisted_settings import Quotas
from airflow_provider_batchlinux.emulator.state.records import Job, JobSchedule, Json, Pool
from airflow_provider_batchlinux.emulator.state.store import Store


@dataclass
class PoolLifecycle:
    """The beginning and the end of pools; in between they belong to allocation and scaling."""

    store: Store
    quotas: Quotas
    allocation: Allocation
    scaler: AutoScaler

    def add(self, pool_id: str, spec: Json, now: datetime) -> Pool:
        """
        Make a pool and start to bring it to its targets.

        :param spec: its description, with the defaults that the service shows.
        :raises ServiceError: there is one of this id, or the account has as many as it may.
        """
        self._check_absent(pool_id)
        described = dict(spec)
        targets = described.pop("targetDedicatedNodes", 0), described.pop("targetLowPriorityNodes", 0)
        version = self.store.next_version(now)
        pool = Pool(pool_id, described, now, version, "active", now, "resizing", now, *targets)
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
    Automatic pools. One lives as long as its job is not completed, or as its job schedule is not.

    What users do to such a pool is up to them: the service says that it leads to surprises.
    """

    store: Store
    clock: Clock
    pools: PoolLifecycle

    def assign(self, job: Job) -> Job:
        """
        Return a new job with the pool that was made for it, or completed with the reason why none was.

        A job that names its pool is returned as it is.
        """
        auto = _auto_pool_of(job.spec)
        if auto is None:
            return job
        try:
            return replace(job, auto_pool=self._pool_of_schedule(job, auto) or self._make(auto))
        except ServiceError as error:
            problem = scheduling_error(error)
            if problem is None:
                raise
            return replace(job, state="completed", ended=job.created, scheduling_error=problem)

    def job_ended(self, job: Job) -> None:
        """Delete the pool of a job that is completed or deleted, if it was only for that."""
        auto = _auto_pool_of(job.spec)
        if auto is not None and auto["poolLifetimeOption"] == "job":
            self._delete(job.auto_pool, auto)

    def schedule_ended(self, schedule: JobSchedule) -> None:
        """Delete the pool of the jobs of a schedule that is completed or deleted."""
        auto = _auto_pool_of(schedule.spec["jobSpecification"])
        if auto is not None:
            self._delete(schedule.auto_pool, auto)

    def _pool_of_schedule(self, job: Job, auto: Json) -> str | None:
        schedule = self.store.schedules.get(job.id.partition(":")[0])
        if schedule is None or auto["poolLifetimeOption"] == "job":
            return None
        if schedule.auto_pool is None:
            schedule = self.store.put_schedule(replace(schedule, auto_pool=self._make(auto)))
        return schedule.auto_pool

    def _make(self, auto: Json) -> str:
        """Make a pool. Recorded: ``prefix_`` and a GUID in capitals; without a prefix it is assumed."""
        prefix, unique = auto.get("autoPoolIdPrefix"), str(uuid4()).upper()
        pool_id = f"{prefix}_{unique}" if prefix else unique
        spec = complete_auto_pool(auto["pool"], is_signed=False)
        return self.pools.add(pool_id, spec, self.clock.now()).id

    def _delete(self, pool_id: str | None, auto: Json) -> None:
        pool = None if pool_id is None else self.store.pools.get(pool_id)
        if pool is not None and pool.state == "active" and not auto["keepAlive"]:
            self.pools.delete(pool, self.clock.now())


def _auto_pool_of(spec: Json) -> Json | None:
    auto: Json | None = spec["poolInfo"].get("autoPoolSpecification")
    return auto
