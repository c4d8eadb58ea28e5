"""The operator that keeps a user on all nodes of a pool for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.core.ids import id_problems
from airflow_provider_batchlinux.core.instants import Duration, expiry_of, seconds_of
from airflow_provider_batchlinux.exceptions import BatchLinuxError, NodeUsersError
from airflow_provider_batchlinux.links.portal import BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._base import BatchLinuxBaseOperator, owner_of, result_of
from airflow_provider_batchlinux.operators._credentials import (
    advise,
    generated_key,
    generation_problems,
    refuse_private_keys,
    render_destination,
)
from airflow_provider_batchlinux.triggers.node_users_lease import BatchLinuxNodeUsersLeaseTrigger

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.client.users.nodes import Address
    from airflow_provider_batchlinux.core.users.credentials import KeyDestination
    from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
    from airflow_provider_batchlinux.core.users.user import NodeUser

__all__ = ["BatchLinuxLeaseNodeUsersOperator"]

_KILL_LIMIT = 4.0
"""Seconds."""

_LATE = timedelta(minutes=30)
"""How long after the end of the lease Airflow gives the trigger up; nodes may be asked for half of it."""


class BatchLinuxLeaseNodeUsersOperator(BatchLinuxBaseOperator):
    """
    Keep a user on all nodes of a pool, also on those that come later, and take it away at the end.

    Nodes that join by a resize or a formula, are reimaged, or come back after preemption get the user within
    ``poll_interval`` of being ready. The lease is over, and the user off all nodes, when its time is, when
    the tasks named in ``until_task_ids`` are, when somebody removes the user with
    :class:`~airflow_provider_batchlinux.operators.node_users.BatchLinuxRemoveNodeUsersOperator`, or when the
    pool is gone. It runs beside the work that it is for: let both follow what makes the pool.

    Killing the task ends the lease too. Where Airflow tells nobody of a kill, in the second before a
    triggerer has taken the task over say, the user stays in the pool's ledger as overdue after its time, for
    :class:`~airflow_provider_batchlinux.operators.user_audit.BatchLinuxAuditNodeUsersOperator` to revoke. The
    service itself, which looks at the day only, is told to end the user after two days at most, and told
    anew while the lease lasts.

    A retry goes on with the lease, with its time from anew where ``expires_in`` is given.

    ``dag.test()`` runs one task after another, so there a lease only ends by its time, or by tasks before it.

    Result in XCom: ``pool_id``, ``username``, ``ended`` (``expired``, ``tasks over``, ``revoked``, ``taken
    over``, ``pool gone``) and ``removed``, the number of nodes that it was taken off at the end.

    :param pool_id: the pool. (templated)
    :param username: the Linux user's name. (templated)
    :param ssh_public_key: one line such as ``ssh-ed25519 AAAA... name``; ``None`` for a password only. It
        lies in Airflow's database while the lease lasts. (templated)
    :param password_conn_id: an Airflow connection whose password becomes the user's, read whenever a node
        gets it; ``None`` for a key only. (templated)
    :param generate_key: generate an Ed25519 pair, and write its private half to this file: the absolute path
        of a file on the worker, created with mode 0600, or a
        :class:`~airflow_provider_batchlinux.specs.KeyDestination`. A later try of the task uses the same
        pair. ``None`` generates none. (templated)
    :param expires_in: how long the lease lasts, as a pendulum duration, ``timedelta`` or seconds from the
        task's start; ``None`` when ``expires_at`` is given.
    :param expires_at: until when, as a pendulum or standard instant with a time zone, or ISO 8601 text;
        ``None`` when ``expires_in`` is given. (templated)
    :param is_admin: give the user ``sudo``. On a user that exists already the service does not change it.
    :param until_task_ids: tasks of the same Dag that need the user, none of them downstream of this one; once
        they are all over, the lease is. ``None`` for none.
    :param take_over: also take over a user that another Dag run holds.
    :param address: where people are to log in. ``"public"`` fails when the pool has no way in from outside,
        ``None`` warns of it, and ``"private"`` is for people in the nodes' virtual network.
    :param poll_interval: how long between two looks, as a pendulum duration, ``timedelta`` or seconds; each
        costs two requests.
    :param deferrable: wait on the triggerer; ``False`` holds a worker as long as the lease lasts.
    :param max_concurrency: calls to the service in flight at most.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields: Sequence[str] = (
        *BatchLinuxBaseOperator.template_fields,
        "pool_id",
        "username",
        "ssh_public_key",
        "password_conn_id",
        "generate_key",
        "expires_at",
    )
    operator_extra_links = (BatchLinuxPoolLink(),)
    ui_color = "#ece0f5"

    def __init__(
        self,
        *,
        pool_id: str,
        username: str,
        ssh_public_key: str | None = None,
        password_conn_id: str | None = None,
        generate_key: str | KeyDestination | None = None,
        expires_in: Duration | None = None,
        expires_at: datetime | str | None = None,
        is_admin: bool = False,
        until_task_ids: list[str] | None = None,
        take_over: bool = False,
        address: Address | None = None,
        poll_interval: Duration = timedelta(seconds=30),
        deferrable: bool = True,
        max_concurrency: int = 64,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_id = pool_id
        self.username = username
        self.ssh_public_key = ssh_public_key
        self.password_conn_id = password_conn_id
        self.generate_key = generate_key
        self.expires_in = expires_in
        # A template field is text; an instant is as good as its ISO form.
        self.expires_at = expires_at.isoformat() if isinstance(expires_at, datetime) else expires_at
        self.is_admin = is_admin
        self.until_task_ids = until_task_ids
        self.take_over = take_over
        self.address: Address | None = address
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self.max_concurrency = max_concurrency
        refuse_private_keys(self)
        self._to_kill: tuple[AccountSettings, BatchLinuxNodeUsersLeaseTrigger] | None = None

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Render, and stop a private key before Airflow stores the rendered fields."""
        super().render_template_fields(context, jinja_env)
        render_destination(self, lambda text: str(self.render_template(text, context, jinja_env)))
        refuse_private_keys(self)

    def execute(self, context: Context) -> dict[str, Any]:
        """Enter the lease into the pool's ledger, put the user on the nodes that are there, and wait."""
        settings = self.hook.settings()
        trigger = self._trigger(context)
        BatchLinuxPoolLink.persist(context, settings, self.pool_id)

        async def story(client: BatchLinuxClient) -> dict[str, Any] | None:
            await self._enter(client, trigger)
            self._to_kill = settings, trigger
            async with self._given_up_on_error(client, trigger, context):
                return await trigger.run_on_worker(client, block=not self.deferrable)

        result = self.hook.run(story, settings=settings)
        if result is None:
            left = trigger.until - datetime.now(timezone.utc).timestamp()
            self.defer(
                trigger=trigger,
                method_name="execute_complete",
                timeout=timedelta(seconds=max(left, 0)) + _LATE,
            )
        return result

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Tell how the lease ended, or raise what the trigger reports."""
        from airflow_provider_batchlinux.core.events import WaitEvent

        trigger = BatchLinuxNodeUsersLeaseTrigger(**WaitEvent.from_payload(event).arguments)

        async def story(client: BatchLinuxClient) -> dict[str, Any]:
            async with self._given_up_on_error(client, trigger, context):
                return result_of(event)

        return self.hook.run(story)

    def on_kill(self) -> None:
        """End the lease. Airflow kills the worker after five seconds, so this gives up before."""
        if self._to_kill is None:
            return
        settings, trigger = self._to_kill
        self.hook.run(lambda client: self._best_effort(client, trigger), settings=settings)

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
        )
        await self._check_pool(client, entry)
        await enter(client, self.pool_id, entry, now=datetime.now(timezone.utc), take_over=self.take_over)

    async def _check_pool(self, client: BatchLinuxClient, entry: LedgerEntry) -> None:
        from airflow_provider_batchlinux.core.pool_metadata import metadata_of
        from airflow_provider_batchlinux.core.users.ledger import entries_in
        from airflow_provider_batchlinux.core.users.plan import unreachable_reason, would_lose

        select = ["id", "metadata", "networkConfiguration"]
        body = await client.find_pool_body(self.pool_id, select)
        if body is None:
            return
        lost = would_lose(entries_in(metadata_of(body)).get(entry.username), entry)
        if lost and not self.take_over:
            msg = (
                f"User {entry.username!r} is on pool {self.pool_id!r} with {' and '.join(lost)}, which the "
                "lease would take away. Give it to the lease too, or choose another username."
            )
            raise NodeUsersError(msg, failed=[])
        if self.address == "private":
            return
        reason = unreachable_reason(body, await client.list_nodes(self.pool_id))
        if reason is not None and self.address == "public":
            msg = f"{reason} Nothing was done."
            raise NodeUsersError(msg, failed=[])
        if reason is not None:
            self.log.warning("%s", reason)

    def _user(self, trigger: BatchLinuxNodeUsersLeaseTrigger, password: str | None) -> NodeUser:
        from airflow_provider_batchlinux.core.users.user import NodeUser

        user = NodeUser(
            username=self.username,
            expires_at=datetime.fromtimestamp(trigger.until, timezone.utc),
            password=password,
            ssh_public_key=trigger.ssh_public_key,
            is_admin=self.is_admin,
        )
        if problems := user.problems():
            raise ValueError("\n".join(problems))
        advise(self.log, user)
        return user

    @asynccontextmanager
    async def _given_up_on_error(
        self, client: BatchLinuxClient, trigger: BatchLinuxNodeUsersLeaseTrigger, context: Context
    ) -> AsyncIterator[None]:
        """End the lease when no retry follows that could go on with it."""
        try:
            yield
        except (BatchLinuxError, ValueError):
            ti: Any = context["ti"]
            if ti.try_number > ti.max_tries:
                await self._best_effort(client, trigger)
            raise

    async def _best_effort(self, client: BatchLinuxClient, trigger: BatchLinuxNodeUsersLeaseTrigger) -> None:
        try:
            await asyncio.wait_for(trigger.cancel(client), _KILL_LIMIT)
        except (BatchLinuxError, asyncio.TimeoutError) as error:
            self.log.warning(
                "User %r may still be on nodes of pool %r, whose ledger tells of it: %s",
                trigger.username, trigger.pool_id, error,
            )  # fmt: skip

    def _trigger(self, context: Context) -> BatchLinuxNodeUsersLeaseTrigger:
        from airflow_provider_batchlinux.core.users.user import username_problems

        problems = [
            *id_problems("pool_id", self.pool_id),
            *username_problems(self.username),
            *self._task_problems(),
            *generation_problems(self),
        ]
        now = datetime.now(timezone.utc)
        try:
            until = expiry_of(self.expires_in, self.expires_at, now)
        except ValueError as error:
            problems.append(str(error))
        if problems:
            raise ValueError("\n".join(problems))
        return BatchLinuxNodeUsersLeaseTrigger(
            pool_id=self.pool_id,
            username=self.username,
            until=until.timestamp(),
            by=owner_of(context),
            batch_linux_conn_id=self.batch_linux_conn_id,
            poll_interval=seconds_of("poll_interval", self.poll_interval),
            ssh_public_key=self.ssh_public_key or generated_key(self, context),
            password_conn_id=self.password_conn_id,
            is_admin=self.is_admin,
            until_task_ids=self.until_task_ids,
            max_concurrency=self.max_concurrency,
        )

    def _task_problems(self) -> list[str]:
        wanted = self.until_task_ids or []
        later = self.get_flat_relative_ids(upstream=False)
        unknown = [name for name in wanted if not self.dag.has_task(name)]
        waiting = [name for name in wanted if name in later or name == self.task_id]
        return [
            *(f"until_task_ids names {name!r}, which is no task of the Dag." for name in unknown),
            *(f"until_task_ids names {name!r}, which itself waits for the lease." for name in waiting),
        ]
