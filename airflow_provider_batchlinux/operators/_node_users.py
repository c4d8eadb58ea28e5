"""What the operators for node users share: the base of those that add or remove a user, and keys."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk.log import mask_secret

from airflow_provider_batchlinux._metrics import report_users
from airflow_provider_batchlinux.core.instants import Duration
from airflow_provider_batchlinux.exceptions import NodeUsersError, WaitTimeoutError
from airflow_provider_batchlinux.links.pool_page import BatchLinuxPoolPageLink
from airflow_provider_batchlinux.links.portal import BatchLinuxNodeLink, BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._base import owner_of
from airflow_provider_batchlinux.operators._waiting import (
    DEFAULT_DEFERRABLE,
    BatchLinuxWaitingOperator,
    Result,
    Step,
)
from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger
from airflow_provider_batchlinux.triggers.node_users import BatchLinuxNodesForUserTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.users.reconcile import UserWork
    from airflow_provider_batchlinux.core.users.credentials import KeyDestination
    from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
    from airflow_provider_batchlinux.core.users.requests import NodeUsersRequest
    from airflow_provider_batchlinux.core.users.user import NodeUser, UserRecord

    U = TypeVar("U", bound=NodeUsersRequest)
else:
    U = TypeVar("U")

log = logging.getLogger(__name__)

DEFAULT_MAX_CONCURRENCY = 64

_SO_FAR = "user_records"
"""The XCom that keeps the records while the task is deferred."""


def generated_key(destination: KeyDestination, username: str, context: Context) -> str:
    """
    Generate a key pair, or take the one that an earlier try has generated, and return its public half.

    :param destination: the file of the private half.
    """
    from airflow_provider_batchlinux.client.users.generated_keys import key_pair_at

    owner = " ".join(f"{name}={value}" for name, value in sorted(owner_of(context).items()))
    pair, is_new = key_pair_at(destination, owner, mask_secret)
    log.info(
        "Generated the Ed25519 key %s for user %r. Its private half is in %r only."
        if is_new
        else "Using the Ed25519 key %s for user %r, which an earlier try wrote to %r.",
        pair.fingerprint,
        username,
        destination.file,
    )
    return pair.public_line


def refuse_private_keys(name: str, value: object) -> None:
    """
    Raise ``ValueError`` if the Dag file itself holds a private key in the place of something public.

    Airflow stores the parameters of operators when it has parsed the file. The key is not repeated.

    :param name: a parameter of the operator.
    """
    from airflow_provider_batchlinux.core.users.credentials import (
        destination_of,
        holds_private_key,
        public_key_problems,
    )

    problems = []
    if name == "ssh_public_key" and holds_private_key(key := str(value or "")):
        problems = public_key_problems(key)
    if (
        name == "generate_key"
        and (destination := destination_of(value))
        and holds_private_key(destination.file)
    ):
        problems = destination.problems(name)
    if problems:
        raise ValueError(problems[0])


def advise(log: Any, user: NodeUser) -> None:
    """Warn of a key or password that is allowed but weak."""
    from airflow_provider_batchlinux.core.users.credentials import password_advice, public_key_advice

    key = public_key_advice(user.ssh_public_key) if user.ssh_public_key else None
    password = password_advice(user.password) if user.password else None
    for advice in filter(None, (key, password)):
        log.warning("%s", advice)


class NodeUsersOperator(BatchLinuxWaitingOperator[U]):
    """
    The base of the operators that add a user to nodes or remove it.

    Nodes that are ready are changed immediately. Nodes that are starting are waited for, and changed then.
    """

    operator_extra_links = (BatchLinuxPoolPageLink(), BatchLinuxPoolLink(), BatchLinuxNodeLink())
    template_fields_renderers = {"node_ids": "json", "states": "json"}  # noqa: RUF012  # as Airflow declares it
    limit_name = "timeout"

    def __init__(
        self,
        *,
        pool_id: str,
        username: str,
        node_ids: list[str] | None = None,
        states: list[str] | None = None,
        where: str | None = None,
        take_over: bool | str = False,
        max_failed_nodes: int | str = 0,
        wait_for_nodes: bool | str = True,
        timeout: Duration | str = timedelta(minutes=30),
        poll_interval: Duration | str = timedelta(seconds=15),
        deferrable: bool | str = DEFAULT_DEFERRABLE,
        max_concurrency: int | str = DEFAULT_MAX_CONCURRENCY,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, poll_interval=poll_interval, deferrable=deferrable, **kwargs)
        self.username = username
        self.node_ids = node_ids
        self.states = states
        self.where = where
        self.take_over = take_over
        self.max_failed_nodes = max_failed_nodes
        self.wait_for_nodes = wait_for_nodes
        self.timeout = timeout
        self.max_concurrency = max_concurrency
        self._so_far: Sequence[UserRecord] = ()
        self._pool_is_gone = False

    @abstractmethod
    def work(
        self,
        context: Context,
        trigger: BatchLinuxNodesForUserTrigger | None,
        found: LedgerEntry | None,
        now: datetime,
    ) -> UserWork:
        """
        Return what to do on the nodes.

        :param trigger: the trigger that was waited on; ``None`` at first.
        :param found: the user's entry in the pool's ledger; ``None`` if it has none.
        :param now: the present instant at the service.
        """

    @abstractmethod
    def carried(self, work: UserWork) -> dict[str, Any]:
        """Return the arguments of the trigger that a resumed task needs: no secret."""

    @abstractmethod
    def report(self, work: UserWork, records: Sequence[UserRecord]) -> None:
        """
        Log the records.

        :raises NodeUsersError: more nodes failed than ``max_failed_nodes`` allows.
        """

    async def submit(self, client: BatchLinuxClient, context: Context) -> Step:
        """Change the nodes that are ready."""
        return await self._change(client, context, None, is_last=not self.request.wait_for_nodes)

    async def finish(
        self,
        client: BatchLinuxClient,
        context: Context,
        trigger: BatchLinuxTrigger,
        result: dict[str, Any],  # noqa: ARG002
    ) -> Step:
        """Change the nodes that have become ready."""
        return await self._change(client, context, trigger, is_last=False)

    async def timed_out(
        self, client: BatchLinuxClient, context: Context, trigger: BatchLinuxTrigger, error: WaitTimeoutError
    ) -> Step:
        """Change the nodes that have become ready; the others count as failed."""
        self.log.warning("%s", error)
        return await self._change(client, context, trigger, is_last=True)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Result:
        """Continue after the trigger has fired, with the records from before the deferral."""
        from airflow_provider_batchlinux.core.events import require_known
        from airflow_provider_batchlinux.core.users.user import UserRecord

        ti: Any = context["ti"]
        stored = ti.xcom_pull(task_ids=self.task_id, key=_SO_FAR, map_indexes=ti.map_index) or []
        if isinstance(stored, Mapping):  # the first version is the list alone
            require_known("What is known of the nodes so far", stored["version"])
            stored = stored["records"]
        self._so_far = [UserRecord.from_result(record) for record in stored]
        return super().execute_complete(context, event)

    def require_done(self, records: Sequence[UserRecord], what: str) -> None:
        """
        Raise ``NodeUsersError`` if more nodes failed than ``max_failed_nodes`` allows.

        :param what: what failed, such as ``User 'etl' could not be added to``.
        """
        from airflow_provider_batchlinux.core.counts import allowed_of
        from airflow_provider_batchlinux.core.users.user import UserOutcome, failures_text

        left_out = (UserOutcome.SKIPPED, UserOutcome.GONE)
        asked = [record for record in records if record.outcome not in left_out]
        failed = [record for record in asked if record.outcome is UserOutcome.FAILED]
        if not failed:
            return
        nodes = f"{len(failed)} of {len(asked)} nodes of pool {self.request.pool_id!r}"
        msg = f"{what} {nodes}: {failures_text(failed)}"
        if len(failed) <= allowed_of(self.request.max_failed_nodes, len(asked)):
            self.log.warning("%s\nmax_failed_nodes=%r allows that.", msg, self.request.max_failed_nodes)
            return
        codes = {record.node_id: record.code for record in failed}
        raise NodeUsersError(msg, failed=list(codes), codes=codes)

    async def _change(
        self,
        client: BatchLinuxClient,
        context: Context,
        waited_on: BatchLinuxTrigger | None,
        *,
        is_last: bool,
    ) -> Step:
        from airflow_provider_batchlinux.client.users.reconcile import UserTarget, pool_of, reconcile
        from airflow_provider_batchlinux.core.events import VERSION
        from airflow_provider_batchlinux.core.pool_metadata import metadata_of
        from airflow_provider_batchlinux.core.users.ledger import entries_in

        assert waited_on is None or isinstance(waited_on, BatchLinuxNodesForUserTrigger)
        target = UserTarget(self.request.pool_id, self.request.choice, self.request.where)
        pool = await pool_of(client, target)
        self._pool_is_gone = pool is None
        found = entries_in(metadata_of(pool or {})).get(self.request.username)
        work = self.work(context, waited_on, found, client.clock.now())

        def trigger() -> BatchLinuxNodesForUserTrigger:
            return BatchLinuxNodesForUserTrigger(
                **self.trigger_arguments(context),
                node_ids=list(ids) if (ids := self.request.node_ids) is not None else None,
                where=self.request.where,
                removing=work.removing,
                **self.carried(work),
            )

        # Before the first node has the user: a kill may come at any time.
        self.current_trigger = trigger()
        result = await reconcile(client, target, pool, work, self._so_far)
        if not (result.is_over or is_last):
            self._so_far = result.records
            if self.request.deferrable:
                records = [record.to_result() for record in result.records]
                context["ti"].xcom_push(key=_SO_FAR, value={"version": VERSION, "records": records})
            return trigger()
        await work.conclude(client, target, result)
        report_users(dict(context), (record.outcome.value for record in result.all_records))
        self.report(work, result.all_records)
        return [record.to_result() for record in result.all_records]
