"""Plan a sweep of an account, and carry it out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.pools.sweep import delete_swept, idle_pools
from airflow_provider_batchlinux.client.pools.usage import record_usages, usages_now
from airflow_provider_batchlinux.client.storage.access import StorageAccess
from airflow_provider_batchlinux.client.tasks.sweep import jobs_to_sweep, sweep_jobs
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.client.users.revoke import (
    AuditedUser,
    Revocation,
    require_revoked,
    revoke_overdue,
    users_of,
)
from airflow_provider_batchlinux.core.pool_metadata import Holder
from airflow_provider_batchlinux.core.pools.sweep import (
    SWEEP_FIELDS,
    OwnedPool,
    Sweep,
    node_hours_per_day,
    owned_pools,
    pools_of_others,
    sweep_of,
)
from airflow_provider_batchlinux.core.pools.usage import usage_by_dag, usage_by_day
from airflow_provider_batchlinux.core.tasks.sweep import JobSweep, owned_jobs
from airflow_provider_batchlinux.core.text import counted
from airflow_provider_batchlinux.exceptions import BatchRequestError

log = logging.getLogger(__name__)

_NOUNS = {"username": "user", "job_id": "job", "pool_id": "pool"}
"""What an entry of ``refused`` is about: the first of its keys."""

_CONCURRENT_USERS = 4


@dataclass(frozen=True)
class SweepRules:
    """
    What may be removed.

    :param installations: the ids of the Airflows whose pools and jobs are considered.
    :param has_ended: returns whether a Dag run has ended, or no longer exists.
    :param ended_runs: whether pools without an expiry, and jobs, are removed when their Dag runs have ended.
    :param idle_after: the seconds after which an idle pool is reported; ``None`` for never.
    """

    installations: frozenset[str]
    has_ended: Callable[[Holder], bool]
    ended_runs: bool
    idle_after: float | None

    def have_ended(self, pool: OwnedPool) -> bool:
        """Return whether the Dag runs that use a pool have ended, as far as it matters."""
        if not self.ended_runs or pool.expires_at is not None or pool.is_kept:
            return False
        # Newest first: if that one still runs, which is likely, the others cost no request.
        return all(self.has_ended(run) for run in reversed(pool.runs or ()))

    def is_ours(self, user: AuditedUser, own_pools: Collection[str]) -> bool:
        """
        Return whether a user may be removed.

        :param own_pools: the pools of the installations. A user there that does not say which Airflow added
            it, such as one of an earlier release or of the command line, counts as theirs.
        """
        installation = user.entry.by.get("installation")
        return user.pool_id in own_pools if installation is None else installation in self.installations

    def job_has_ended(self, run: Holder) -> bool:
        """Return whether the Dag run of a job has ended, as far as it matters."""
        return self.ended_runs and self.has_ended(run)


@dataclass(frozen=True)
class SweepPlan:
    """
    What a sweep removes.

    :param pools: the pools to delete.
    :param jobs: the jobs to delete or end.
    :param users: the users to remove, because their time is over or nodes owe the removal.
    :param owned: all pools that were considered, with what they have used.
    :param idle: the other pools that are idle; ``None`` if none was looked for.
    :param others: how many pools each other installation has.
    """

    pools: Sequence[Sweep]
    jobs: Sequence[JobSweep]
    users: Sequence[Revocation]
    owned: Sequence[OwnedPool]
    idle: Sequence[OwnedPool] | None
    others: Mapping[str, int]

    @property
    def kept(self) -> list[OwnedPool]:
        """The pools that are kept on purpose, after a failure."""
        return [pool for pool in self.owned if pool.is_kept]

    @property
    def over_budget(self) -> list[OwnedPool]:
        """The pools that have used more than their budget, and are not deleted for it."""
        return [pool for pool in self.owned if pool.usage.excess and not pool.usage.must_end]


@dataclass(frozen=True)
class Swept:
    """
    What was removed.

    :param pools: the pools that are being deleted.
    :param jobs: the jobs that are being deleted or ended.
    :param users: the users that nodes were asked to remove.
    :param refused: what the service refused to remove, as an entry of the result, with its error.
    :param tried: how many removals of each kind were tried.
    """

    pools: Sequence[Sweep] = ()
    jobs: Sequence[JobSweep] = ()
    users: Sequence[Revocation] = ()
    refused: Sequence[tuple[Mapping[str, str], BatchRequestError]] = ()
    tried: Mapping[str, int] = field(default_factory=dict)

    def require_all(self) -> None:
        """
        Raise an error if something was not removed, with all causes.

        :raises BatchRequestError: if the service refused a removal.
        :raises NodeUsersError: if nodes did not remove a user.
        """
        if not self.refused:
            require_revoked(self.users)
            return
        kinds = Counter(_kind(item) for item, _ in self.refused)
        parts = [f"{number} of {counted(self.tried[kind], _NOUNS[kind])}" for kind, number in kinds.items()]
        lines = "\n".join(
            f"  {_NOUNS[_kind(item)]} {item[_kind(item)]!r}: {error}" for item, error in self.refused
        )
        first = self.refused[0][1]
        msg = f"{' and '.join(parts)} could not be deleted:\n{lines}"
        raise BatchRequestError(msg, code=first.code, status=first.status, request_id=first.request_id)

    def to_result(self, plan: SweepPlan) -> dict[str, Any]:
        """Return the sweep as the operator's result."""
        result: dict[str, Any] = {
            "pools": [sweep.to_dict() for sweep in plan.pools],
            "node_hours_per_day": node_hours_per_day(plan.pools),
            "deleted": len(self.pools),
            "nodes": sum(sweep.pool.nodes for sweep in self.pools),
            "node_hours_saved_per_day": node_hours_per_day(self.pools),
            "jobs": [sweep.to_dict() for sweep in plan.jobs],
            "jobs_removed": len(self.jobs),
            "users": [user.to_dict() for user in plan.users],
            "users_removed": sum(user.is_done for user in self.users),
            "owed": [owed for user in self.users for owed in user.owed_nodes],
            "kept": [pool.to_dict() for pool in plan.kept],
            "usage": usage_by_dag(pool.usage for pool in plan.owned),
            "usage_by_day": usage_by_day(pool.usage for pool in plan.owned),
            "over_budget": [pool.usage.to_dict() for pool in plan.over_budget],
            "refused": [{**item, "error": str(error)} for item, error in self.refused],
        }
        if plan.idle is not None:
            result["idle"] = [{"pool_id": pool.pool_id, "nodes": pool.nodes} for pool in plan.idle]
        return result


def _kind(item: Mapping[str, str]) -> str:
    return next(kind for kind in _NOUNS if kind in item)


async def plan_sweep(client: BatchLinuxClient, rules: SweepRules, now: datetime) -> SweepPlan:
    """Return what is no longer needed; nothing is changed."""
    bodies = await client.list_pools(SWEEP_FIELDS)
    pools = await usages_now(client, owned_pools(bodies, rules.installations))
    found = (sweep_of(pool, now, runs_have_ended=rules.have_ended(pool)) for pool in pools)
    sweeps = [sweep for sweep in found if sweep is not None]
    swept = [sweep.pool.pool_id for sweep in sweeps]
    jobs = owned_jobs(await client.find_jobs(), rules.installations)
    own_pools = {pool.pool_id for pool in pools}
    # The users of a pool are gone with it.
    users = [
        user
        for user in users_of(body for body in bodies if body["id"] not in swept)
        if rules.is_ours(user, own_pools)
    ]
    idle = None
    if rules.idle_after is not None:
        remaining = [pool for pool in pools if pool.pool_id not in swept and pool.nodes]
        idle = await idle_pools(client, remaining, now - timedelta(seconds=rules.idle_after))
    return SweepPlan(
        pools=sweeps,
        jobs=await jobs_to_sweep(client, jobs, rules.job_has_ended, swept),
        users=await revoke_overdue(client, users, client.clock.now(), dry_run=True),
        owned=pools,
        idle=idle,
        others=pools_of_others(bodies, rules.installations),
    )


async def carry_out(client: BatchLinuxClient, plan: SweepPlan, storage: StorageAccess) -> Swept:
    """
    Remove what a plan has found, as far as the service permits it.

    A pool that has changed meanwhile is kept, with the jobs whose commands can still run on it.

    :param storage: the storage accounts of the secrets of commands.
    """
    refused: list[tuple[Mapping[str, str], BatchRequestError]] = []
    deleted = []
    for sweep, error in zip(plan.pools, await delete_swept(client, plan.pools), strict=True):
        if error is None:
            deleted.append(sweep)
        elif error.code == "ConditionNotMet":
            log.info("Pool %r changed in the meantime and is kept.", sweep.pool.pool_id)
        else:
            refused.append(({"pool_id": sweep.pool.pool_id}, error))
    gone = {sweep.pool.pool_id.lower() for sweep in deleted}
    await record_usages(client, [pool for pool in plan.owned if pool.pool_id.lower() not in gone])
    jobs = [job for job in plan.jobs if job.needs_pool is None or job.needs_pool.lower() in gone]
    ended = []
    for job, error in zip(jobs, await sweep_jobs(client, jobs, storage), strict=True):
        if error is None:
            ended.append(job)
        else:
            refused.append(({"job_id": job.job.job_id}, error))

    async def remove(planned: Revocation) -> Revocation | BatchRequestError:
        try:
            [done] = await revoke_overdue(client, [planned.user], client.clock.now()) or [planned]
        except BatchRequestError as error:
            return error
        return done

    asked = []
    for planned, outcome in zip(
        plan.users, await fan_out(plan.users, remove, max_concurrency=_CONCURRENT_USERS), strict=True
    ):
        if isinstance(outcome, BatchRequestError):
            user = planned.user
            refused.append(({"username": user.entry.username, "pool_id": user.pool_id}, outcome))
        else:
            asked.append(outcome)
    tried = {"pool_id": len(plan.pools), "job_id": len(jobs), "username": len(plan.users)}
    return Swept(deleted, ended, asked, refused, tried)
