"""The operator that keeps a user on all nodes of a pool for a while."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.core.instants import Duration
from airflow_provider_batchlinux.exceptions import NodeUsersError
from airflow_provider_batchlinux.links.pool_page import BatchLinuxPoolPageLink
from airflow_provider_batchlinux.links.portal import BatchLinuxNodeLink, BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._base import is_last_try, is_retry, marked_owner
from airflow_provider_batchlinux.operators._node_users import (
    advise,
    generated_key,
    refuse_private_keys,
)
from airflow_provider_batchlinux.operators._waiting import BatchLinuxWaitingOperator, Step
from airflow_provider_batchlinux.triggers.node_users_lease import BatchLinuxNodeUsersLeaseTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.core.nodes.addresses import AddressChoice
    from airflow_provider_batchlinux.core.users.credentials import KeyDestination
    from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
    from airflow_provider_batchlinux.core.users.requests import LeaseNodeUsersRequest
    from airflow_provider_batchlinux.core.users.user import NodeUser

__all__ = ["BatchLinuxLeaseNodeUsersOperator"]


class BatchLinuxLeaseNodeUsersOperator(BatchLinuxWaitingOperator["LeaseNodeUsersRequest"]):
    """
    Keep a user on all nodes of a pool, also on nodes that are added later, and remove it at the end.

    Nodes that are added by a resize or a formula, are reimaged, or come back after preemption get the user
    within ``poll_interval`` after they are ready. The lease runs beside the tasks that need it.

    .. code-block:: python

        lease = BatchLinuxLeaseNodeUsersOperator(
            task_id="access",
            pool_id="etl",
            username="deploy",
            generate_key="/opt/airflow/keys/deploy",
            expires_in=pendulum.duration(hours=8),
            until_task_ids=["work"],
        )
        create >> [lease, work]

    The lease ends, and the user is removed from all nodes:

    - when its time is over, or the task is killed,
    - when the tasks in ``until_task_ids`` have ended,
    - when
      :class:`~airflow_provider_batchlinux.operators.node_users.BatchLinuxRemoveNodeUsersOperator` removes the
      user, or the pool is deleted.

    A kill can go unnoticed, for example in the second before a triggerer has taken the task over. The user
    then stays in the pool's ledger, and
    :class:`~airflow_provider_batchlinux.operators.node_users.BatchLinuxAuditNodeUsersOperator` revokes it
    after its time. The expiry that the service knows, by the day, is at most two days away and is renewed
    while the lease lasts.

    A node that cannot be asked at the end, because it is deallocated or restarts, owes the removal: the lease
    stays until it has removed the user, for ``owed_limit`` at most.

    The end is fixed at the first try. A retry continues the lease until then; a retry after the end only
    removes the user. If the task is cleared, the lease begins again.

    ``dag.test()`` runs one task after another, so there a lease only ends by its time, or by tasks before it.

    Result in XCom: ``pool_id``, ``username``, ``ended`` (``expired``, ``tasks over``, ``revoked``, ``taken
    over``, ``pool gone``) and ``removed``, the number of nodes from which it was removed at the end.

    .. seealso::
        ``docs/howto/give-access-to-nodes.md``,
        and ``lease`` in ``example_dags/example_node_access.py``.

    :param pool_id: the pool. (templated)
    :param username: the Linux user's name. (templated)
    :param ssh_public_key: one line such as ``ssh-ed25519 AAAA... name``; ``None`` for a password only. It
        is in Airflow's database while the lease lasts. (templated)
    :param password_conn_id: an Airflow connection whose password becomes the user's, read whenever a node
        gets it; ``None`` for a key only. (templated)
    :param generate_key: generate an Ed25519 pair, and write its private half to this file: the absolute path
        of a file on the worker, created with mode 0600, or a
        :class:`~airflow_provider_batchlinux.specs.KeyDestination`. A later try of the task uses the same
        pair. ``None`` generates none. (templated)
    :param expires_in: how long the lease lasts, as a pendulum duration, ``timedelta`` or seconds from the
        task's start; ``None`` when ``expires_at`` is given. (templated)
    :param expires_at: until when, as a pendulum or standard instant with a time zone, or ISO 8601 text;
        ``None`` when ``expires_in`` is given. (templated)
    :param is_admin: give the user ``sudo``. On a user that exists already the service does not change it.
        (templated)
    :param until_task_ids: tasks of the same Dag that need the user, none of them downstream of this one; once
        they are all over, the lease is. ``None`` for none. (templated)
    :param take_over: also take over a user that another Dag run holds. (templated)
    :param owed_limit: how long the lease stays after its end for nodes that may have the user and cannot be
        asked, such as one that is deallocated, as a pendulum duration, ``timedelta`` or seconds. After that
        the task fails with their names; they owe the removal in the pool's ledger, and an audit with
        ``revoke=True`` asks them. Choose it short if other tasks wait for the lease. (templated)
    :param address: where people log in. ``"public"`` fails if SSH is not open from outside, ``None`` warns of
        that, and ``"private"`` is for people in the nodes' virtual network. (templated)
    :param poll_interval: the longest time between polls, as a pendulum duration, ``timedelta`` or seconds. On
        the triggerer, all leases of an account share the requests. (templated)
    :param deferrable: wait on the triggerer; ``False`` holds a worker as long as the lease lasts. (templated)
    :param max_concurrency: how many requests are sent concurrently at most. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    operator_extra_links = (BatchLinuxPoolPageLink(), BatchLinuxPoolLink(), BatchLinuxNodeLink())
    template_fields_renderers = {"generate_key": "json", "until_task_ids": "json"}  # noqa: RUF012 - Airflow's own form
    ui_color = "#ece0f5"

    def __init__(
        self,
        *,
        pool_id: str,
        username: str,
        ssh_public_key: str | None = None,
        password_conn_id: str | None = None,
        generate_key: str | KeyDestination | None = None,
        expires_in: Duration | str | None = None,
        expires_at: datetime | str | None = None,
        is_admin: bool | str = False,
        until_task_ids: list[str] | None = None,
        take_over: bool | str = False,
        owed_limit: Duration | str = timedelta(days=1),
        address: AddressChoice = None,
        poll_interval: Duration | str = timedelta(seconds=30),
        deferrable: bool | str = True,
        max_concurrency: int | str = 64,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, poll_interval=poll_interval, deferrable=deferrable, **kwargs)
        self.username = username
        self.ssh_public_key = ssh_public_key
        self.password_conn_id = password_conn_id
        self.generate_key = generate_key
        self.expires_in = expires_in
        self.expires_at = expires_at
        self.is_admin = is_admin
        self.until_task_ids = until_task_ids
        self.take_over = take_over
        self.owed_limit = owed_limit
        self.address: AddressChoice = address
        self.max_concurrency = max_concurrency

    @classmethod
    def _as_stored(cls, name: str, value: Any) -> Any:
        refuse_private_keys(name, value)
        return super()._as_stored(name, value)

    @classmethod
    def request_class(cls) -> type[LeaseNodeUsersRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.users.requests import LeaseNodeUsersRequest

        return LeaseNodeUsersRequest

    def cancels_after(self, error: Exception, context: Context) -> bool:  # noqa: ARG002
        """End the lease if no retry follows that could go on with it."""
        return is_last_try(context)

    async def submit(self, client: BatchLinuxClient, context: Context) -> Step:
        """Enter the lease into the pool's ledger; the trigger's first poll adds the user to the nodes."""
        request = self.request
        self._require_tasks(request.until_task_ids or ())
        until, entry = await self._end(client, context)
        key = request.ssh_public_key
        if request.generate_key is not None:
            key = generated_key(request.generate_key, request.username, context)
        trigger = BatchLinuxNodeUsersLeaseTrigger(
            pool_id=request.pool_id,
            username=request.username,
            until=until.timestamp(),
            by=marked_owner(context, self.installation),
            batch_linux_conn_id=request.batch_linux_conn_id,
            poll_interval=request.poll_interval,
            ssh_public_key=key,
            password_conn_id=request.password_conn_id,
            is_admin=request.is_admin,
            until_task_ids=list(request.until_task_ids) if request.until_task_ids else None,
            owed_limit=request.owed_limit,
            max_concurrency=request.max_concurrency,
            **self.deadline(context),
        )
        if entry is None or not entry.is_over(client.clock.now()):
            await self._enter(client, trigger)
        else:
            self.log.info("The lease of user %r is over; what is left of it is removed.", request.username)
        return trigger

    async def _end(self, client: BatchLinuxClient, context: Context) -> tuple[datetime, LedgerEntry | None]:
        """Return the end of the lease, and its entry if an earlier try has begun it."""
        from airflow_provider_batchlinux.client.users.ledger import read_entry
        from airflow_provider_batchlinux.core.users.access import entry_to_continue

        request = self.request
        # Also at the first try: the answer sets the clock by which the lease ends.
        found = await read_entry(client, request.pool_id, request.username)
        entry = entry_to_continue(found, marked_owner(context, self.installation), is_lease=True)
        if entry is not None and is_retry(context, self.retries or 0):
            return entry.expires_at, entry
        return request.until(client.clock.now()), None

    def _require_tasks(self, task_ids: Sequence[str]) -> None:
        later = self.get_flat_relative_ids(upstream=False)
        unknown = [name for name in task_ids if not self.dag.has_task(name)]
        waiting = [name for name in task_ids if name in later or name == self.task_id]
        problems = [f"until_task_ids names {name!r}, which is not a task of the Dag." for name in unknown]
        problems += [f"until_task_ids names {name!r}, which itself waits for the lease." for name in waiting]
        if problems:
            raise ValueError("\n".join(problems))

    async def _enter(self, client: BatchLinuxClient, trigger: BatchLinuxNodeUsersLeaseTrigger) -> None:
        from airflow_provider_batchlinux.client.users.ledger import enter
        from airflow_provider_batchlinux.core.users.ledger import LedgerEntry

        password = await trigger.password()
        user = self._user(trigger, password)
        entry = LedgerEntry(
            user.username,
            user.expires_at,
            trigger.by,
            user.fingerprint,
            is_admin=user.is_admin,
            has_password=password is not None,
            is_lease=True,
        )
        await self._check_pool(client, entry)
        # A kill from here on has a lease to end.
        self.current_trigger = trigger
        await enter(client, self.request.pool_id, entry, take_over=self.request.take_over)

    async def _check_pool(self, client: BatchLinuxClient, entry: LedgerEntry) -> None:
        from airflow_provider_batchlinux.client.nodes.endpoints import reachable_choice
        from airflow_provider_batchlinux.core.pool_metadata import metadata_of
        from airflow_provider_batchlinux.core.users.ledger import entries_in
        from airflow_provider_batchlinux.core.users.plan import would_lose

        request = self.request
        select = ["id", "metadata", "creationTime", "networkConfiguration"]
        body = await client.find_pool_body(request.pool_id, select)
        if body is None:
            return
        lost = would_lose(entries_in(metadata_of(body)).get(entry.username), entry)
        if lost and not request.take_over:
            msg = (
                f"User {entry.username!r} is on pool {request.pool_id!r} with {' and '.join(lost)}, which "
                "the lease would take away. Give it to the lease too, or choose another username."
            )
            raise NodeUsersError(msg, failed=[])
        nodes = await client.list_nodes(request.pool_id) if request.address != "private" else []
        await reachable_choice(client, body, nodes, request.address)

    def _user(self, trigger: BatchLinuxNodeUsersLeaseTrigger, password: str | None) -> NodeUser:
        from airflow_provider_batchlinux.core.users.user import NodeUser

        user = NodeUser(
            username=self.request.username,
            expires_at=datetime.fromtimestamp(trigger.until, timezone.utc),
            password=password,
            ssh_public_key=trigger.ssh_public_key,
            is_admin=self.request.is_admin,
        )
        if problems := user.problems():
            raise ValueError("\n".join(problems))
        advise(self.log, user)
        return user
