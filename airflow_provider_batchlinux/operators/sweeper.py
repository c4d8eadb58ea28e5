"""Operators that remove pools, jobs and users that are no longer needed, and that keep a pool longer."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux._metrics import report_usage
from airflow_provider_batchlinux.core.instants import Duration, expiry_of
from airflow_provider_batchlinux.exceptions import BatchLinuxError
from airflow_provider_batchlinux.hooks._storage_connection import storage_access
from airflow_provider_batchlinux.operators._base import BatchLinuxBaseOperator, runs_ended, save_result
from airflow_provider_batchlinux.operators._waiting import BatchLinuxPoolOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.sweep.plan import SweepPlan
    from airflow_provider_batchlinux.core.pools.requests import ExtendPoolRequest, SweepPoolsRequest

__all__ = ["BatchLinuxExtendPoolOperator", "BatchLinuxSweepPoolsOperator"]


class BatchLinuxSweepPoolsOperator(BatchLinuxBaseOperator["SweepPoolsRequest"]):
    """
    Delete the pools of this Airflow that have expired or whose Dag runs have ended, and their jobs.

    Only what this installation of Airflow created is considered, whatever the connection. The log counts the
    pools of others.

    - A pool with an expiry (``expires_in``) is deleted after it has expired, never earlier.
    - A pool without an expiry is deleted when the Dag run that created it has ended, and those that reused it
      (``if_exists``) have, too. Its metadata lists 20 of them: a pool that more live runs use is kept.
    - A pool without an expiry is also kept if an earlier release did not record the runs that reused it, or
      kept it after a failure.
    - A pool that has used more than its ``max_node_hours`` is deleted if it was created with
      ``delete_over_budget``; otherwise the log warns.
    - A pool that changes between the look and the deletion is kept.
    - A job of :class:`~airflow_provider_batchlinux.operators.task.BatchLinuxTaskOperator` is removed when its
      Dag run has ended, for example because its worker died, or when its pool is deleted before its command
      has ended. It is deleted, or only ended where ``delete_job`` was to keep it: an active job counts
      against the account's quota.
    - A user is removed from the nodes when its time is over, and from nodes that owe the removal of an
      earlier one, as ``BatchLinuxAuditNodeUsersOperator(revoke=True)`` does.

    Without ``delete=True`` this is a dry run. Schedule it daily, or hourly to limit the cost:

    .. code-block:: python

        with DAG("tidy", schedule="@daily", start_date=pendulum.datetime(2026, 1, 1)):
            BatchLinuxSweepPoolsOperator(task_id="sweep_pools", delete=True, retries=2)

    Result in XCom, also if the task fails because some deletions were refused:

    - ``pools``: ``pool_id``, ``reason``, ``nodes`` and ``overdue_node_hours`` of each pool to delete. The
      last is what its current nodes have used since it expired; ``None`` without an expiry.
    - ``node_hours_per_day``: the node-hours per day that deleting them saves.
    - ``deleted``, ``nodes`` and ``node_hours_saved_per_day``: the number of deleted pools, their nodes, and
      the node-hours per day of these.
    - ``jobs``: ``job_id``, ``pool_id``, ``action`` and ``reason`` of each job to remove;
      ``jobs_removed``: the number of those that were. The action is ``delete``, ``end``, or
      ``delete secrets`` of a kept job.
    - ``users``: ``pool_id``, ``username`` and ``reason`` of each user to remove; ``users_removed``: the
      number of those that no node has any more; ``owed``: ``pool_id``, ``username`` and ``node_id`` for each
      node that may still have one. The next sweep asks it again.
    - ``kept``: ``pool_id``, ``since`` and ``nodes`` of each pool that is kept on purpose.
    - ``usage``: ``dag_id``, the number of ``pools``, ``dedicated_node_hours``, ``spot_node_hours`` and
      ``preemptions`` of the pools of each Dag, from their creation to this sweep, as lower bounds; the
      largest first.
    - ``usage_by_day``: ``day`` (in UTC), ``dag_id``, ``dedicated_node_hours`` and ``spot_node_hours`` of the
      same pools on each of the last eight days. The next sweep has these days again: of a ``day`` and
      ``dag_id``, keep the latest.
    - ``over_budget``: ``pool_id``, the same numbers and ``max_node_hours`` of each pool that has used more
      than that, and is not deleted for it.
    - ``refused``: ``error`` of each removal that the service refused, and its ``pool_id``, ``job_id``, or
      ``username`` and ``pool_id``.
    - ``idle``, with ``idle_after``: ``pool_id`` and ``nodes`` of each remaining pool that has been idle as
      long.

    .. seealso::
        ``docs/howto/keep-an-account-tidy.md``,
        and ``maintenance`` in ``example_dags/example_maintenance.py``.

    :param delete: delete the pools and jobs, and remove the users; ``False`` is a dry run. (templated)
    :param ended_runs: delete also pools without an expiry, and jobs, whose Dag runs have ended. ``False``
        deletes only expired pools, and the jobs that can no longer end. (templated)
    :param installations: the ids of other installations of Airflow whose pools are considered, too, because
        they no longer exist, or because this one has had another id. Their Dag runs are looked up in this
        Airflow, where they do not exist, so they count as ended: **all their pools without an expiry are
        deleted**. Pools of an earlier release belong to the installation with the name of the connection's
        ``id_prefix``. ``None`` for none. (templated)
    :param idle_after: log a warning for each remaining pool whose nodes have neither run a task nor changed
        their state for this long, as a pendulum duration, ``timedelta`` or seconds. Idle pools are not
        deleted. ``None`` skips this check. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields_renderers = {"installations": "json"}  # noqa: RUF012 - Airflow's own form
    ui_color = "#f3edd8"

    def __init__(
        self,
        *,
        delete: bool | str = False,
        ended_runs: bool | str = True,
        installations: list[str] | None = None,
        idle_after: Duration | str | None = timedelta(hours=24),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.delete = delete
        self.ended_runs = ended_runs
        self.installations = installations
        self.idle_after = idle_after

    @classmethod
    def request_class(cls) -> type[SweepPoolsRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.pools.requests import SweepPoolsRequest

        return SweepPoolsRequest

    def execute(self, context: Context) -> dict[str, Any]:
        """Remove what is no longer needed."""
        from airflow_provider_batchlinux.client.sweep.plan import SweepRules, Swept, carry_out, plan_sweep
        from airflow_provider_batchlinux.core.text import joined

        request = self.request
        installations = frozenset({self.installation, *(request.installations or ())})
        self.log.info("Sweeping for installation %s.", joined(sorted(installations)))
        rules = SweepRules(
            installations=installations,
            has_ended=runs_ended(context, installations),
            ended_runs=request.ended_runs,
            idle_after=request.idle_after,
        )
        with self.hook.session(self.account) as session:
            now = datetime.now(timezone.utc)
            # Reads come first: if one fails, nothing has been deleted.
            plan = session.run(lambda client: plan_sweep(client, rules, now))
            self._log_plan(plan)
            swept = (
                session.run(lambda client: carry_out(client, plan, storage_access()))
                if request.delete
                else Swept()
            )
        for sweep in swept.pools:
            report_usage(sweep.pool.usage)
        result = swept.to_result(plan)
        try:
            swept.require_all()
        except BatchLinuxError:
            save_result(context, result)
            raise
        return result

    def _log_plan(self, plan: SweepPlan) -> None:
        from airflow_provider_batchlinux.core.pools.sweep import node_hours_per_day, sweep_table
        from airflow_provider_batchlinux.core.pools.usage import usage_table
        from airflow_provider_batchlinux.core.tasks.sweep import job_sweep_table
        from airflow_provider_batchlinux.core.text import counted, table

        for other, number in plan.others.items():
            self.log.info("Installation %r has %s, not considered.", other, counted(number, "pool"))
        if plan.pools:
            self.log.info("%s", sweep_table(plan.pools))
        if plan.jobs:
            self.log.info("%s", job_sweep_table(plan.jobs))
        if plan.users:
            rows = [tuple(user.to_dict().values()) for user in plan.users]
            self.log.info("%s", table(("POOL", "USER", "WHY"), rows))
        if plan.owned:
            self.log.info("Used at least:\n%s", usage_table(pool.usage for pool in plan.owned))
        for pool in plan.over_budget:
            self.log.warning("Pool %r is over its budget: %s.", pool.pool_id, pool.usage.excess)
        for pool in plan.kept:
            nodes = counted(pool.nodes, "node")
            self.log.info("Pool %r with %s has been kept since %s.", pool.pool_id, nodes, pool.kept)
        for pool in plan.idle or ():
            nodes = counted(pool.nodes, "node")
            hours = counted((self.request.idle_after or 0) / 3600, "hour")
            self.log.warning("Pool %r: %s idle for %s.", pool.pool_id, nodes, hours)
        found = counted(len(plan.pools), "pool"), counted(node_hours_per_day(plan.pools), "node-hour")
        more = f"; {counted(len(plan.jobs), 'job')} of ended commands" if plan.jobs else ""
        more += f"; {counted(len(plan.users), 'user')} whose access is over" if plan.users else ""
        if self.request.delete:
            self.log.info("Deleting %s, which saves %s per day%s.", *found, more)
        else:
            self.log.info("Dry run: %s could be deleted, saving %s per day%s.", *found, more)


class BatchLinuxExtendPoolOperator(BatchLinuxPoolOperator["ExtendPoolRequest"]):
    """
    Move the end of a pool, so that the sweeper deletes it later.

    .. code-block:: python

        extend = BatchLinuxExtendPoolOperator(
            task_id="extend", pool_id="etl", expires_in=pendulum.duration(hours=8)
        )

    - The expiry of a pool that has one moves to the new end, unless it is later already.
    - A pool without an expiry is kept until the new end, whatever its Dag runs do. After that, it is deleted
      when they have ended, as before.

    The task fails if the pool does not exist, or was not created by this provider: nothing deletes it then.

    Result in XCom: ``pool_id`` and ``expires_at``, the end as ISO 8601.

    .. seealso::
        ``docs/howto/keep-an-account-tidy.md``.

    :param pool_id: the pool's id. (templated)
    :param expires_in: how long the pool is needed from now, as a pendulum duration, ``timedelta`` or seconds.
        (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    def __init__(self, *, pool_id: str, expires_in: Duration | str, **kwargs: Any) -> None:
        super().__init__(pool_id=pool_id, **kwargs)
        self.expires_in = expires_in

    @classmethod
    def request_class(cls) -> type[ExtendPoolRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.pools.requests import ExtendPoolRequest

        return ExtendPoolRequest

    def execute(self, context: Context) -> dict[str, Any]:
        """Change the marks in the pool's metadata."""
        from airflow_provider_batchlinux.client.pools.metadata import change_metadata
        from airflow_provider_batchlinux.core.pool_metadata import PoolMarks
        from airflow_provider_batchlinux.exceptions import PoolNotReadyError

        pool_id = self.request.pool_id
        until = expiry_of(self.request.expires_in, None, datetime.now(timezone.utc))
        self.link_pool(context)

        def extended(metadata: Mapping[str, str]) -> dict[str, str]:
            marks = PoolMarks.read(metadata)
            if not marks.owner:
                msg = f"Pool {pool_id!r} was not created by this provider, so nothing deletes it at an end."
                raise PoolNotReadyError(msg, pool_id=pool_id)
            return marks.extended_to(until).update(metadata)

        found = self.hook.run(lambda client: change_metadata(client, pool_id, extended))
        if found is None:
            msg = f"Pool {pool_id!r} does not exist."
            raise PoolNotReadyError(msg, pool_id=pool_id)
        marks = PoolMarks.read(found)
        end = marks.expires_at or marks.kept_until or until
        self.log.info("Pool %r is kept until %s.", pool_id, end.isoformat(timespec="seconds"))
        return {"pool_id": pool_id, "expires_at": end.isoformat()}
