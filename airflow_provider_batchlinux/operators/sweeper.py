"""The operator that deletes the pools that were left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.core.instants import Duration, optional_seconds
from airflow_provider_batchlinux.exceptions import BatchRequestError
from airflow_provider_batchlinux.operators._base import BatchLinuxBaseOperator, save_result, truth

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.core.pools.sweep import OwnedPool, Sweep

__all__ = ["BatchLinuxSweepPoolsOperator"]

_ALIVE = ["queued", "running"]
_CHANGED = "ConditionNotMet"


class BatchLinuxSweepPoolsOperator(BatchLinuxBaseOperator):
    """
    Delete the pools of this Airflow that are over their time, or whose Dag runs are over.

    Only pools that :class:`~airflow_provider_batchlinux.operators.pool.BatchLinuxCreatePoolOperator` made
    with the same ``id_prefix`` of the connection are looked at; Airflows that share an account need
    different ones. A pool made with ``expires_in`` goes at its end and not before. One made without goes when
    the Dag run that made it is over, and all that have taken it by ``if_exists="reuse"`` are. The last 20 of
    these are written down with the pool; an older one that still goes on is not asked for. A pool that was
    taken before they were written down stays, and so does one that
    :class:`~airflow_provider_batchlinux.operators.pool.BatchLinuxDeletePoolOperator` has kept with
    ``on_success``, unless it has an end. A pool that changes between the look and the deletion is left alone.

    A pool whose autoscale formula a repair of
    :class:`~airflow_provider_batchlinux.sensors.nodes.BatchLinuxNodesIdleSensor` has left off gets it back,
    whoever has made the pool, once nobody has gone on with the repair for a quarter of an hour: its worker or
    triggerer is gone for good.

    By itself it only tells what it would do. Run it daily: ``example_dags/example_maintenance.py``.

    Result in XCom, also when the task fails because some deletions were refused: ``pools``, for each that may
    go ``pool_id``, ``reason``, ``nodes`` and ``overdue_node_hours`` (what its nodes have cost since its end,
    had it always had as many as now; ``None`` when its end is not known); ``node_hours_per_day``, what all of
    these would cost on each further day with the machines that they have now, which is what a dry run would
    save; ``deleted`` (a number), ``nodes`` and ``node_hours_saved_per_day``, the same of those that were deleted; ``kept``, for each that is kept on
    purpose ``pool_id``, ``since`` and ``nodes``; ``refused``, for each that could not be deleted ``pool_id``
    and ``error``; ``formulas_off``, the ids of pools whose formula a repair has left off, and
    ``formulas_returned``, how many of them have it back; with ``idle_after`` also ``idle``, for each pool
    that stays and has done nothing for so long ``pool_id`` and ``nodes``.

    :param delete: delete them, and return formulas; ``False`` is a dry run, which only tells. As ``bool`` or
        as text such as ``"true"``. (templated)
    :param ended_runs: also take pools without an end whose Dag runs are over. ``False`` takes only those that
        are over their time.
    :param idle_after: warn of pools that stay though their nodes have neither worked nor changed their state
        for so long, as a pendulum duration, ``timedelta`` or seconds; they are not deleted for it. ``None``
        looks for none.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields: Sequence[str] = (*BatchLinuxBaseOperator.template_fields, "delete")
    ui_color = "#f3edd8"

    def __init__(
        self,
        *,
        delete: bool | str = False,
        ended_runs: bool = True,
        idle_after: Duration | None = timedelta(hours=24),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.delete = delete
        self.ended_runs = ended_runs
        self.idle_after = optional_seconds("idle_after", idle_after)

    def execute(self, context: Context) -> dict[str, Any]:
        """Look at all pools once, and delete those that may go."""
        from airflow_provider_batchlinux.core.pools.sweep import SWEEP_FIELDS, owned_pools

        really = truth("delete", self.delete)
        settings = self.hook.settings()
        bodies = self.hook.run(lambda client: client.list_pools(SWEEP_FIELDS), settings=settings)
        pools = owned_pools(bodies, settings.id_prefix)
        sweeps = self._sweeps(context, pools)
        kept = [pool for pool in pools if pool.is_kept]
        self._tell(sweeps, kept, really=really)
        # What is only read comes first: where that fails, nothing is done yet.
        idle = self._idle(pools, sweeps, settings)
        answers = self._delete(sweeps, settings) if really else []
        result = {**_report(sweeps, kept, answers), **idle}
        result |= self._sweep_formulas(bodies, sweeps, settings, really=really)
        if result["refused"]:
            save_result(context, result)
            raise _refusal(len(sweeps), answers)
        return result

    def _sweep_formulas(
        self,
        bodies: Sequence[Mapping[str, Any]],
        sweeps: Sequence[Sweep],
        settings: AccountSettings,
        *,
        really: bool,
    ) -> dict[str, Any]:
        from airflow_provider_batchlinux.client.pools.restore_autoscale import restore_autoscale
        from airflow_provider_batchlinux.core.pools.sweep import abandoned_formulas

        going = {sweep.pool.pool_id for sweep in sweeps}
        left_off = [each for each in abandoned_formulas(bodies, _utc_now()) if each not in going]
        for pool_id in left_off:
            self.log.warning("Pool %r: a repair that nobody goes on with has left its formula off.", pool_id)

        async def story(client: BatchLinuxClient) -> int:
            return sum([await restore_autoscale(client, pool_id) for pool_id in left_off])

        returned = self.hook.run(story, settings=settings) if really and left_off else 0
        return {"formulas_off": left_off, "formulas_returned": returned}

    def _idle(
        self, pools: Sequence[OwnedPool], sweeps: Sequence[Sweep], settings: AccountSettings
    ) -> dict[str, Any]:
        from airflow_provider_batchlinux.client.pools.sweep import idle_pools

        if self.idle_after is None:
            return {}
        going = {sweep.pool.pool_id for sweep in sweeps}
        staying = [pool for pool in pools if pool.pool_id not in going and pool.nodes]
        since = _utc_now() - timedelta(seconds=self.idle_after)
        idle = self.hook.run(lambda client: idle_pools(client, staying, since), settings=settings)
        for pool in idle:
            hours = self.idle_after / 3600
            self.log.warning(
                "Pool %r: its %d nodes have done nothing for %g hours.", pool.pool_id, pool.nodes, hours
            )
        return {"idle": [{"pool_id": pool.pool_id, "nodes": pool.nodes} for pool in idle]}

    def _sweeps(self, context: Context, pools: Sequence[OwnedPool]) -> list[Sweep]:
        from airflow_provider_batchlinux.core.pools.sweep import sweep_of

        now = _utc_now()
        ti: Any = context["ti"]

        @cache
        def is_over(run: tuple[str, str]) -> bool:
            alive: int = ti.get_dr_count(dag_id=run[0], run_ids=[run[1]], states=_ALIVE)
            return alive == 0

        def are_over(pool: OwnedPool) -> bool:
            if not self.ended_runs or pool.expires_at is not None or pool.is_kept:
                return False
            # The latest first: it is the likeliest to go on, which settles it.
            return all(is_over(run) for run in reversed(pool.runs or ()))

        found = (sweep_of(pool, now, runs_are_over=are_over(pool)) for pool in pools)
        return [sweep for sweep in found if sweep is not None]

    def _tell(self, sweeps: Sequence[Sweep], kept: Sequence[OwnedPool], *, really: bool) -> None:
        from airflow_provider_batchlinux.core.pools.sweep import node_hours_per_day, sweep_table

        if sweeps:
            self.log.info("%s", sweep_table(sweeps))
        for pool in kept:
            self.log.info("Pool %r with %d nodes is kept since %s.", pool.pool_id, pool.nodes, pool.kept)
        self.log.info(
            "%d pools may go, which saves %d node-hours a day%s.",
            len(sweeps),
            node_hours_per_day(sweeps),
            "" if really else "; nothing is deleted (dry run)",
        )

    def _delete(
        self, sweeps: Sequence[Sweep], settings: AccountSettings
    ) -> list[tuple[Sweep, BatchRequestError | None]]:
        from airflow_provider_batchlinux.client.pools.sweep import delete_swept

        answers = self.hook.run(
            lambda client: delete_swept(client, sweeps, settings.id_prefix), settings=settings
        )
        for sweep, error in zip(sweeps, answers, strict=True):
            if error is not None and error.code == _CHANGED:
                self.log.info("Pool %r changed meanwhile and is left alone.", sweep.pool.pool_id)
        return list(zip(sweeps, answers, strict=True))


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


def _report(
    sweeps: Sequence[Sweep],
    kept: Sequence[OwnedPool],
    answers: Sequence[tuple[Sweep, BatchRequestError | None]],
) -> dict[str, Any]:
    from airflow_provider_batchlinux.core.pools.sweep import node_hours_per_day

    gone = [sweep for sweep, error in answers if error is None]
    return {
        "pools": [sweep.to_dict() for sweep in sweeps],
        "node_hours_per_day": node_hours_per_day(sweeps),
        "deleted": len(gone),
        "nodes": sum(sweep.pool.nodes for sweep in gone),
        "node_hours_saved_per_day": node_hours_per_day(gone),
        "kept": [pool.to_dict() for pool in kept],
        "refused": [
            {"pool_id": sweep.pool.pool_id, "error": str(error)} for sweep, error in _refused(answers)
        ],
    }


def _refused(
    answers: Sequence[tuple[Sweep, BatchRequestError | None]],
) -> list[tuple[Sweep, BatchRequestError]]:
    return [(sweep, error) for sweep, error in answers if error is not None and error.code != _CHANGED]


def _refusal(number: int, answers: Sequence[tuple[Sweep, BatchRequestError | None]]) -> BatchRequestError:
    refused = _refused(answers)
    lines = "\n".join(f"  pool {sweep.pool.pool_id!r}: {error}" for sweep, error in refused)
    first = refused[0][1]
    msg = f"{len(refused)} of {number} pools could not be deleted:\n{lines}"
    return BatchRequestError(msg, code=first.code, status=first.status, request_id=first.request_id)
