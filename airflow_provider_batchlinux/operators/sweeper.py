"""The operator that deletes expired and orphaned pools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.core.instants import Duration
from airflow_provider_batchlinux.exceptions import BatchRequestError
from airflow_provider_batchlinux.operators._base import BatchLinuxBaseOperator, runs_ended, save_result

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.core.pool_metadata import Holder
    from airflow_provider_batchlinux.core.pools.requests import SweepPoolsRequest
    from airflow_provider_batchlinux.core.pools.sweep import OwnedPool, Sweep
    from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxSession

__all__ = ["BatchLinuxSweepPoolsOperator"]


class BatchLinuxSweepPoolsOperator(BatchLinuxBaseOperator["SweepPoolsRequest"]):
    """
    Delete the pools of this Airflow that have expired, or whose Dag runs have ended.

    Only pools that :class:`~airflow_provider_batchlinux.operators.pool.BatchLinuxCreatePoolOperator` created
    in this installation of Airflow are considered, whatever the connection. The log counts those of others.

    - A pool with an expiry (``expires_in``) is deleted after it has expired, never earlier.
    - A pool without an expiry is deleted when the Dag run that created it has ended, and those that reused it
      (``if_exists``) have, too. The last 20 of them are recorded in the pool's metadata; an older one that
      still runs does not keep the pool.
    - A pool is kept if other runs reused it before this provider recorded them, or if the ``on_success``
      policy of :class:`~airflow_provider_batchlinux.operators.pool.BatchLinuxDeletePoolOperator` kept it and
      it has no expiry.
    - A pool that changes between the look and the deletion is kept.

    Without ``delete=True`` this is a dry run. Schedule it daily:

    .. code-block:: python

        with DAG("tidy", schedule="@daily", start_date=pendulum.datetime(2026, 1, 1)):
            BatchLinuxSweepPoolsOperator(task_id="sweep_pools", delete=True, retries=2)

    Result in XCom, also if the task fails because some deletions were refused:

    - ``pools``: ``pool_id``, ``reason``, ``nodes`` and ``overdue_node_hours`` of each pool to delete. The
      last is what its current nodes have used since it expired; ``None`` without an expiry.
    - ``node_hours_per_day``: the node-hours per day that deleting them saves.
    - ``deleted``, ``nodes`` and ``node_hours_saved_per_day``: the number of deleted pools, their nodes, and
      the node-hours per day of these.
    - ``kept``: ``pool_id``, ``since`` and ``nodes`` of each pool that is kept on purpose.
    - ``refused``: ``pool_id`` and ``error`` of each pool that could not be deleted.
    - ``idle``, with ``idle_after``: ``pool_id`` and ``nodes`` of each remaining pool that has been idle as
      long.

    .. seealso::
        ``docs/howto/keep-an-account-tidy.md``,
        and ``maintenance`` in ``example_dags/example_maintenance.py``.

    :param delete: delete the pools; ``False`` is a dry run. (templated)
    :param ended_runs: delete also pools without an expiry whose Dag runs have ended. ``False`` deletes only
        expired pools. (templated)
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
        """Delete the pools that are no longer needed."""
        from airflow_provider_batchlinux.core.pools.sweep import SWEEP_FIELDS, owned_pools, pools_of_others
        from airflow_provider_batchlinux.core.text import counted, joined

        is_dry_run, idle_after = not self.request.delete, self.request.idle_after
        installations = {self.installation, *(self.request.installations or ())}
        self.log.info("Sweeping for installation %s.", joined(sorted(installations)))
        with self.hook.session(self.account) as session:
            bodies = session.run(lambda client: client.list_pools(SWEEP_FIELDS))
            for other, number in pools_of_others(bodies, installations).items():
                self.log.info("Installation %r has %s, not considered.", other, counted(number, "pool"))
            pools = owned_pools(bodies, installations)
            sweeps = self._sweeps(pools, runs_ended(context, installations))
            kept = [pool for pool in pools if pool.is_kept]
            self._log_plan(sweeps, kept, is_dry_run=is_dry_run)
            # Reads come first: if one fails, nothing has been deleted.
            idle = self._idle(session, pools, sweeps, idle_after) if idle_after is not None else {}
            answers = [] if is_dry_run else self._delete(session, sweeps)
        result = {**_report(sweeps, kept, answers), **idle}
        if result["refused"]:
            save_result(context, result)
            raise _refusal(len(sweeps), answers)
        return result

    def _idle(
        self,
        session: BatchLinuxSession,
        pools: Sequence[OwnedPool],
        sweeps: Sequence[Sweep],
        idle_after: float,
    ) -> dict[str, Any]:
        from airflow_provider_batchlinux.client.pools.sweep import idle_pools
        from airflow_provider_batchlinux.core.text import counted

        swept = {sweep.pool.pool_id for sweep in sweeps}
        remaining = [pool for pool in pools if pool.pool_id not in swept and pool.nodes]
        since = _utc_now() - timedelta(seconds=idle_after)
        idle = session.run(lambda client: idle_pools(client, remaining, since))
        for pool in idle:
            nodes, hours = counted(pool.nodes, "node"), counted(idle_after / 3600, "hour")
            self.log.warning("Pool %r: %s idle for %s.", pool.pool_id, nodes, hours)
        return {"idle": [{"pool_id": pool.pool_id, "nodes": pool.nodes} for pool in idle]}

    def _sweeps(self, pools: Sequence[OwnedPool], has_ended: Callable[[Holder], bool]) -> list[Sweep]:
        from airflow_provider_batchlinux.core.pools.sweep import sweep_of

        now = _utc_now()

        def have_ended(pool: OwnedPool) -> bool:
            if not self.request.ended_runs or pool.expires_at is not None or pool.is_kept:
                return False
            # Newest first: if that one still runs, which is likely, the others cost no request.
            return all(has_ended(run) for run in reversed(pool.runs or ()))

        found = (sweep_of(pool, now, runs_have_ended=have_ended(pool)) for pool in pools)
        return [sweep for sweep in found if sweep is not None]

    def _log_plan(self, sweeps: Sequence[Sweep], kept: Sequence[OwnedPool], *, is_dry_run: bool) -> None:
        from airflow_provider_batchlinux.core.pools.sweep import node_hours_per_day, sweep_table
        from airflow_provider_batchlinux.core.text import counted

        if sweeps:
            self.log.info("%s", sweep_table(sweeps))
        for pool in kept:
            nodes = counted(pool.nodes, "node")
            self.log.info("Pool %r with %s has been kept since %s.", pool.pool_id, nodes, pool.kept)
        found, saving = counted(len(sweeps), "pool"), counted(node_hours_per_day(sweeps), "node-hour")
        if is_dry_run:
            self.log.info("Dry run: %s could be deleted, saving %s per day.", found, saving)
        else:
            self.log.info("Deleting %s, which saves %s per day.", found, saving)

    def _delete(
        self, session: BatchLinuxSession, sweeps: Sequence[Sweep]
    ) -> list[tuple[Sweep, BatchRequestError | None]]:
        from airflow_provider_batchlinux.client.pools.sweep import delete_swept

        prefix = self.account.id_prefix
        answers = session.run(lambda client: delete_swept(client, sweeps, prefix))
        for sweep, error in zip(sweeps, answers, strict=True):
            if _has_changed(error):
                self.log.info("Pool %r changed in the meantime and is kept.", sweep.pool.pool_id)
        return list(zip(sweeps, answers, strict=True))


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


def _has_changed(error: BatchRequestError | None) -> bool:
    return error is not None and error.code == "ConditionNotMet"


def _report(
    sweeps: Sequence[Sweep],
    kept: Sequence[OwnedPool],
    answers: Sequence[tuple[Sweep, BatchRequestError | None]],
) -> dict[str, Any]:
    from airflow_provider_batchlinux.core.pools.sweep import node_hours_per_day

    deleted = [sweep for sweep, error in answers if error is None]
    return {
        "pools": [sweep.to_dict() for sweep in sweeps],
        "node_hours_per_day": node_hours_per_day(sweeps),
        "deleted": len(deleted),
        "nodes": sum(sweep.pool.nodes for sweep in deleted),
        "node_hours_saved_per_day": node_hours_per_day(deleted),
        "kept": [pool.to_dict() for pool in kept],
        "refused": [
            {"pool_id": sweep.pool.pool_id, "error": str(error)} for sweep, error in _refused(answers)
        ],
    }


def _refused(
    answers: Sequence[tuple[Sweep, BatchRequestError | None]],
) -> list[tuple[Sweep, BatchRequestError]]:
    return [(sweep, error) for sweep, error in answers if error is not None and not _has_changed(error)]


def _refusal(number: int, answers: Sequence[tuple[Sweep, BatchRequestError | None]]) -> BatchRequestError:
    from airflow_provider_batchlinux.core.text import counted

    refused = _refused(answers)
    lines = "\n".join(f"  pool {sweep.pool.pool_id!r}: {error}" for sweep, error in refused)
    first = refused[0][1]
    msg = f"{len(refused)} of {counted(number, 'pool')} could not be deleted:\n{lines}"
    return BatchRequestError(msg, code=first.code, status=first.status, request_id=first.request_id)
