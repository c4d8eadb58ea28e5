"""Makes pools and takes them away, with all that works on them; knows no HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from airflow_provider_batchlinux.emulator.autoscale.scaler import AutoScaler
from airflow_provider_batchlinux.emulator.pools.allocation import Allocation
from airflow_provider_batchlinux.emulator.protocol.errors import Code, ServiceError
from airflow_provider_batchlinux.emulator.state.quotas import Quotas
from airflow_provider_batchlinux.emulator.state.records import Json, Pool
from airflow_provider_batchlinux.emulator.state.store import Store

__all__ = ["PoolLifecycle"]


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
