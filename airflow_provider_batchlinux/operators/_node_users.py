"""The base of the operators that put a user on nodes or take it away: visit, wait for nodes, visit again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_batchlinux.core.ids import id_problems
from airflow_provider_batchlinux.core.instants import Duration, seconds_of
from airflow_provider_batchlinux.exceptions import NodeUsersError, WaitTimeoutError
from airflow_provider_batchlinux.links.portal import BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._base import (
    BatchLinuxBaseOperator,
    deadline_of,
    defer_to,
    result_of,
)
from airflow_provider_batchlinux.triggers.node_users import BatchLinuxNodesForUserTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.users.reconcile import SyncResult, UserTarget, UserWork
    from airflow_provider_batchlinux.core.users.user import UserRecord

__all__ = ["DEFAULT_AT_ONCE", "NodeUsersOperator"]

DEFAULT_AT_ONCE = 64

_SO_FAR = "user_records"
"""The XCom that holds the records while the task is deferred."""


class NodeUsersOperator(BatchLinuxBaseOperator):
    """
    The base of the operators that put a user on nodes or take it away.

    Nodes that can take the call get it at once; those on their way are waited for and get it then.
    """

    template_fields: Sequence[str] = (
        *BatchLinuxBaseOperator.template_fields,
        "pool_id",
        "username",
        "node_ids",
        "states",
        "where",
    )
    operator_extra_links = (BatchLinuxPoolLink(),)

    def __init__(
        self,
        *,
        pool_id: str,
        username: str,
        node_ids: list[str] | None = None,
        states: list[str] | None = None,
        where: str | None = None,
        take_over: bool = False,
        max_failed_nodes: int | str = 0,
        wait_for_nodes: bool = True,
        timeout: Duration = timedelta(minutes=30),
        poll_interval: Duration = timedelta(seconds=15),
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        max_concurrency: int = DEFAULT_AT_ONCE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_id = pool_id
        self.username = username
        self.node_ids, self.states, self.where = node_ids, states, where
        self.take_over = take_over
        self.max_failed_nodes = max_failed_nodes
        self.wait_for_nodes = wait_for_nodes
        self.timeout = timeout
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self.max_concurrency = max_concurrency

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Visit the nodes, and those on their way when they are there."""
        work = self.work(context, {})
        BatchLinuxPoolLink.persist(context, self.hook.settings(), self.pool_id)
        return self._go_on(context, work, [], is_last=not self.wait_for_nodes)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Visit the nodes that were waited for, also when the time for waiting is over."""
        from airflow_provider_batchlinux.core.events import WaitEvent
        from airflow_provider_batchlinux.core.users.user import UserRecord

        is_late = False
        try:
            result_of(event)
        except WaitTimeoutError as error:
            self.log.warning("%s", error)
            is_late = True
        work = self.work(context, WaitEvent.from_payload(event).arguments)
        ti: Any = context["ti"]
        stored = ti.xcom_pull(task_ids=self.task_id, key=_SO_FAR, map_indexes=ti.map_index) or []
        so_far = [UserRecord.from_result(record) for record in stored]
        return self._go_on(context, work, so_far, is_last=is_late)

    @abstractmethod
    def work(self, context: Context, carried: Mapping[str, Any]) -> UserWork:
        """
        Say what is to be done.

        :param carried: the arguments of the trigger that the task comes back from; empty at first.
        :raises ValueError: the arguments are wrong, all of which is named.
        """

    @abstractmethod
    def carried(self, work: UserWork) -> dict[str, Any]:
        """Give what the task needs when it comes back, as arguments of the trigger: no secret."""

    @abstractmethod
    def finish(self, work: UserWork, records: Sequence[UserRecord]) -> None:
        """
        Tell what became of the user.

        :raises NodeUsersError: more nodes failed than may.
        """

    def problems(self) -> list[str]:
        """List all that is wrong with the arguments that all these operators have."""
        from airflow_provider_batchlinux.core.users.plan import failure_limit_problems
        from airflow_provider_batchlinux.core.users.user import username_problems

        return [
            *id_problems("pool_id", self.pool_id),
            *username_problems(self.username),
            *failure_limit_problems(self.max_failed_nodes),
        ]

    def require_done(self, records: Sequence[UserRecord], what: str) -> None:
        """
        Fail when more nodes failed than may.

        :param what: what could not be done, such as ``User 'etl' could not be put on``.
        """
        from airflow_provider_batchlinux.core.users.plan import failure_limit
        from airflow_provider_batchlinux.core.users.user import UserOutcome, failures_text

        left_out = (UserOutcome.SKIPPED, UserOutcome.GONE)
        meant = [record for record in records if record.outcome not in left_out]
        failed = [record for record in meant if record.outcome is UserOutcome.FAILED]
        if not failed:
            return
        msg = f"{what} {len(failed)} of {len(meant)} nodes of pool {self.pool_id!r}: {failures_text(failed)}"
        if len(failed) <= failure_limit(self.max_failed_nodes, len(meant)):
            self.log.warning("%s\nmax_failed_nodes=%r allows that.", msg, self.max_failed_nodes)
            return
        codes = {record.node_id: record.code for record in failed}
        raise NodeUsersError(msg, failed=list(codes), codes=codes)

    def _go_on(
        self, context: Context, work: UserWork, so_far: Sequence[UserRecord], *, is_last: bool
    ) -> list[dict[str, Any]]:
        visit = self.hook.run(lambda client: self._visit(client, context, work, so_far, is_last=is_last))
        if not (visit.is_over or is_last) and self.deferrable:
            ti: Any = context["ti"]
            ti.xcom_push(key=_SO_FAR, value=[record.to_result() for record in visit.records])
            defer_to(self, self._trigger(context, work))
        records = visit.all_records
        self.finish(work, records)
        return [record.to_result() for record in records]

    async def _visit(
        self,
        client: BatchLinuxClient,
        context: Context,
        work: UserWork,
        so_far: Sequence[UserRecord],
        *,
        is_last: bool,
    ) -> SyncResult:
        from airflow_provider_batchlinux.client.users.reconcile import visit_nodes

        target = self._target()
        visit = await visit_nodes(client, target, work, so_far)
        while not (visit.is_over or is_last or self.deferrable):
            is_last = await self._waited_in_vain(client, context, work)
            visit = await visit_nodes(client, target, work, visit.records)
        if visit.is_over or is_last:
            await work.conclude(client, target, visit)
        return visit

    async def _waited_in_vain(self, client: BatchLinuxClient, context: Context, work: UserWork) -> bool:
        from airflow_provider_batchlinux.client.waits.loop import WaitSchedule, wait_for

        trigger = self._trigger(context, work)
        interval = trigger.poll_interval
        try:
            await wait_for(
                trigger.wait(client), WaitSchedule(interval, trigger.deadline, first_wait=interval)
            )
        except WaitTimeoutError as error:
            self.log.warning("%s", error)
            return True
        return False

    def _target(self) -> UserTarget:
        from airflow_provider_batchlinux.client.users.reconcile import UserTarget
        from airflow_provider_batchlinux.core.nodes.actions import NodeChoice

        return UserTarget(self.pool_id, NodeChoice(self.node_ids, self.states), self.where)

    def _trigger(self, context: Context, work: UserWork) -> BatchLinuxNodesForUserTrigger:
        return BatchLinuxNodesForUserTrigger(
            pool_id=self.pool_id,
            batch_linux_conn_id=self.batch_linux_conn_id,
            poll_interval=seconds_of("poll_interval", self.poll_interval),
            deadline=deadline_of(context, timedelta(seconds=seconds_of("timeout", self.timeout))),
            node_ids=self.node_ids,
            where=self.where,
            removing=work.removing,
            **self.carried(work),
        )
