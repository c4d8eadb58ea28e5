"""The operator that deletes the pools that were left behind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.exceptions import BatchRequestError
from airflow_provider_batchlinux.operators._base import BatchLinuxBaseOperator, truth

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.account import AccountSettings
    from airflow_provider_batchlinux.client.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.user_audit import AuditedUser, Revocation
    from airflow_provider_batchlinux.core.sweep import Sweep

__all__ = ["BatchLinuxSweepPoolsOperator"]

_ALIVE = ["queued", "running"]


class BatchLinuxSweepPoolsOperator(BatchLinuxBaseOperator):
    """
    Delete the pools of this Airflow that are over their time, or whose Dag run is over.

    Only pools that :class:`~airflow_provider_batchlinux.operators.pool.BatchLinuxCreatePoolOperator` made
    with the same ``id_prefix`` of the connection are looked at; Airflows that share an account need
    different ones. A pool made with ``expires_in`` goes at its end and not before. One made without goes when
    its Dag run is over, unless several task instances have taken it by ``if_exists``. A pool that changes
    between the look and the deletion is left alone.

    By itself it only tells what it would delete. Run it daily: ``example_dags/example_maintenance.py``.

    Result in XCom: ``pools``, for each that may go ``pool_id``, ``reason``, ``nodes`` and
    ``overdue_node_hours`` (what its nodes have cost since its end; ``None`` when its end is not known);
    ``deleted`` (a number), ``nodes`` and ``node_hours_saved_per_day``, of those that were deleted; with
    ``revoke_users`` also ``overdue_users`` and ``revoked_users`` (numbers).

    :param delete: delete them; ``False`` is a dry run, which only tells. As ``bool`` or as text such as
        ``"true"``. (templated)
    :param ended_runs: also take pools without an end whose Dag run is over. ``False`` takes only those that
        are over their time.
    :param revoke_users: also take users off the nodes of all pools of the account whose time is over, as
        :class:`~airflow_provider_batchlinux.operators.user_audit.BatchLinuxAuditNodeUsersOperator` does;
        a dry run only tells of them.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields: Sequence[str] = (*BatchLinuxBaseOperator.template_fields, "delete")
    ui_color = "#f3edd8"

    def __init__(
        self,
        *,
        delete: bool | str = False,
        ended_runs: bool = True,
        revoke_users: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.delete = delete
        self.ended_runs = ended_runs
        self.revoke_users = revoke_users

    def execute(self, context: Context) -> dict[str, Any]:
        """Look at all pools once, and delete those that may go."""
        from airflow_provider_batchlinux.core.sweep import sweep_table

        really = truth("delete", self.delete)
        settings = self.hook.settings()
        sweeps = self._sweeps(context, settings)
        if sweeps:
            self.log.info("%s", sweep_table(sweeps))
        self.log.info("%d pools may go%s.", len(sweeps), "" if really else "; nothing is deleted (dry run)")
        gone = self._delete(sweeps, settings) if really else []
        nodes = sum(sweep.pool.nodes for sweep in gone)
        users = self._sweep_users(settings, really=really) if self.revoke_users else {}
        return {
            "pools": [sweep.to_dict() for sweep in sweeps],
            "deleted": len(gone),
            "nodes": nodes,
            "node_hours_saved_per_day": 24 * nodes,
            **users,
        }

    def _sweep_users(self, settings: AccountSettings, *, really: bool) -> dict[str, int]:
        from airflow_provider_batchlinux.client.user_audit import (
            audited_users,
            require_revoked,
            revoke_overdue,
        )
        from airflow_provider_batchlinux.core.user_ledger import ledger_table

        now = datetime.now(timezone.utc)

        async def story(client: BatchLinuxClient) -> tuple[list[AuditedUser], list[Revocation]]:
            users = [user for user in await audited_users(client) if user.entry.is_over(now)]
            return users, await revoke_overdue(client, users, now) if really else []

        users, revocations = self.hook.run(story, settings=settings)
        if users:
            self.log.info("%s", ledger_table([(user.pool_id, user.entry) for user in users], now))
        require_revoked(revocations)
        revoked = sum(revocation.is_done for revocation in revocations)
        return {"overdue_users": len(users), "revoked_users": revoked}

    def _sweeps(self, context: Context, settings: AccountSettings) -> list[Sweep]:
        from airflow_provider_batchlinux.core.sweep import SWEEP_FIELDS, owned_pools, sweep_of

        bodies = self.hook.run(lambda client: client.list_pools(SWEEP_FIELDS), settings=settings)
        now = datetime.now(timezone.utc)
        ti: Any = context["ti"]

        @cache
        def is_over(run: tuple[str, str] | None) -> bool:
            if run is None or not self.ended_runs:
                return False
            alive: int = ti.get_dr_count(dag_id=run[0], run_ids=[run[1]], states=_ALIVE)
            return alive == 0

        pools = owned_pools(bodies, settings.id_prefix)
        asked = ((pool, pool.expires_at is None and not pool.shared and is_over(pool.run)) for pool in pools)
        found = (sweep_of(pool, now, run_is_over=over) for pool, over in asked)
        return [sweep for sweep in found if sweep is not None]

    def _delete(self, sweeps: list[Sweep], settings: AccountSettings) -> list[Sweep]:
        from airflow_provider_batchlinux.client.sweeping import delete_swept

        answers = self.hook.run(
            lambda client: delete_swept(client, sweeps, settings.id_prefix), settings=settings
        )
        pairs = list(zip(sweeps, answers, strict=True))
        for sweep, error in pairs:
            if error is not None and error.code == "ConditionNotMet":
                self.log.info("Pool %r changed meanwhile and is left alone.", sweep.pool.pool_id)
        failed = [error for error in answers if error is not None and error.code != "ConditionNotMet"]
        if failed:
            lines = "\n".join(f"  {error}" for error in failed)
            msg = f"{len(failed)} of {len(sweeps)} pools could not be deleted:\n{lines}"
            raise BatchRequestError(msg, code=failed[0].code, status=failed[0].status)
        return [sweep for sweep, error in pairs if error is None]
