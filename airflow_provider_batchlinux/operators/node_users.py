"""Operators that add an expiring user to nodes of a pool, remove it, and list who has access."""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux._metrics import report_overdue_users
from airflow_provider_batchlinux.core.instants import Duration
from airflow_provider_batchlinux.core.text import counted
from airflow_provider_batchlinux.exceptions import NodeUsersError
from airflow_provider_batchlinux.operators._base import BatchLinuxBaseOperator, is_retry, marked_owner
from airflow_provider_batchlinux.operators._node_users import (
    DEFAULT_MAX_CONCURRENCY,
    NodeUsersOperator,
    advise,
    generated_key,
    refuse_private_keys,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.users.reconcile import AddUser, UserWork
    from airflow_provider_batchlinux.client.users.revoke import AuditedUser, Revocation
    from airflow_provider_batchlinux.core.nodes.addresses import AddressChoice
    from airflow_provider_batchlinux.core.users.credentials import KeyDestination
    from airflow_provider_batchlinux.core.users.ledger import LedgerEntry
    from airflow_provider_batchlinux.core.users.requests import (
        AddNodeUsersRequest,
        AuditNodeUsersRequest,
        RemoveNodeUsersRequest,
    )
    from airflow_provider_batchlinux.core.users.user import NodeUser, UserRecord
    from airflow_provider_batchlinux.operators._waiting import Step
    from airflow_provider_batchlinux.triggers.node_users import BatchLinuxNodesForUserTrigger

__all__ = [
    "DEFAULT_MAX_CONCURRENCY",
    "BatchLinuxAddNodeUsersOperator",
    "BatchLinuxAuditNodeUsersOperator",
    "BatchLinuxRemoveNodeUsersOperator",
]

_DAY_ONLY = (
    "The service ends a user's time on Linux by the day only, and may leave its open sessions. Remove user "
    "%r with BatchLinuxRemoveNodeUsersOperator, for example as a teardown, to end access on time."
)


class BatchLinuxAddNodeUsersOperator(NodeUsersOperator["AddNodeUsersRequest"]):
    """
    Add a user to the nodes of a pool, or update it where it exists.

    - Nodes that are idle or running get the user immediately.
    - The task waits for nodes that are starting, and for nodes that a resize is about to add.
    - Nodes without a machine (preempted, deallocated) are skipped, with a record.
    - Nodes that are added to the pool later do not get the user; use
      :class:`~airflow_provider_batchlinux.operators.node_users_lease.BatchLinuxLeaseNodeUsersOperator`.

    .. code-block:: python

        add = BatchLinuxAddNodeUsersOperator(
            task_id="add_user",
            pool_id="etl",
            username="deploy",
            generate_key="/opt/airflow/keys/deploy",
            expires_in=pendulum.duration(hours=2),
        )
        remove = BatchLinuxRemoveNodeUsersOperator(task_id="remove_user", pool_id="etl", username="deploy")
        add >> work >> remove.as_teardown(setups=add)

    All nodes are tried. If some fail, the task fails with their names and the service's codes.

    An update replaces the user's key, password and expiry. An update that would remove a key or password by
    leaving it out is refused, as far as the pool's ledger records it. An update does not change the right to
    use ``sudo``; ``recreate`` does.

    The user is entered into a ledger in the pool's metadata, with the fingerprint of its key and this task
    instance. A user that another Dag run holds cannot be changed until it expires, except with ``take_over``.

    On Linux, the service removes an expired user by the day only, and may leave its open sessions.
    Use :class:`BatchLinuxRemoveNodeUsersOperator`, for example as a teardown, to end access on time. If this
    task is killed, the user is removed from the nodes that have it (while deferred: Airflow 3.3 and later).

    Result in XCom: a list with a record for each node: ``node_id``, ``state``, ``outcome`` (``added``,
    ``updated``, ``skipped``, ``gone``, and ``failed`` within ``max_failed_nodes``), ``username``,
    ``address``, ``port``, ``public`` (whether the address is reached from outside the virtual network),
    ``error`` and ``code`` of a failure, ``note`` and ``ssh_command``. It holds neither key nor password.

    .. seealso::
        ``docs/howto/give-access-to-nodes.md``,
        and ``node_users`` in ``example_dags/example_linux_pool.py``.

    :param pool_id: the pool. (templated)
    :param username: the Linux user's name. (templated)
    :param ssh_public_key: one line such as ``ssh-ed25519 AAAA... name``; ``None`` for a password only.
        (templated)
    :param password: the password; ``None`` for a key only. Give it as a template, such as
        ``"{{ conn.node_user.password }}"``, to keep it out of the Dag's code. (templated)
    :param generate_key: generate an Ed25519 pair, and write its private half to this file: the absolute path
        of a file on the worker, created with mode 0600, or a
        :class:`~airflow_provider_batchlinux.specs.KeyDestination`. A later try of the task uses the same
        pair. ``None`` generates none. (templated)
    :param expires_in: how long the user is wanted, as a pendulum duration, ``timedelta`` or seconds from
        the start of the first try; ``None`` when ``expires_at`` is given. (templated)
    :param expires_at: until when, as a pendulum or standard instant with a time zone, or ISO 8601 text;
        ``None`` when ``expires_in`` is given. (templated)
    :param is_admin: give the user ``sudo``. On a user that exists already the service does not change it.
        (templated)
    :param recreate: where the user exists, remove and add it, with the rights that are asked for now.
        (templated)
    :param address: which address the records have. ``"public"`` fails if SSH is not open from outside;
        ``"private"`` is the one in the virtual network; ``None`` prefers the public one, and warns if there
        is only the private one. (templated)
    :param node_ids: the nodes; ``None`` for all. (templated)
    :param states: only nodes in these states, such as ``["starttaskfailed"]``, as they are: nothing is waited
        for. ``None`` for all that can take the user, or will. (templated)
    :param where: an OData filter on the list of nodes, such as ``"startTaskInfo/exitCode eq 7"``; ``None``
        for none. The service filters nodes by state, times and start task. (templated)
    :param take_over: also take over a user that another Dag run holds. (templated)
    :param max_failed_nodes: how many nodes may fail, as a number or a share such as ``"5%"``. (templated)
    :param wait_for_nodes: wait for nodes that are starting; ``False`` counts them as failed. (templated)
    :param timeout: how long to wait for them at most, as a pendulum duration, ``timedelta`` or seconds; they
        count as failed after that, and the others have the user. (templated)
    :param poll_interval: the longest time between polls, as a pendulum duration, ``timedelta`` or seconds.
        (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. (templated)
    :param max_concurrency: how many requests are sent concurrently at most. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields_renderers = {**NodeUsersOperator.template_fields_renderers, "generate_key": "json"}  # noqa: RUF012
    ui_color = "#ece0f5"

    def __init__(
        self,
        *,
        pool_id: str,
        username: str,
        ssh_public_key: str | None = None,
        password: str | None = None,
        generate_key: str | KeyDestination | None = None,
        expires_in: Duration | str | None = None,
        expires_at: datetime | str | None = None,
        is_admin: bool | str = False,
        recreate: bool | str = False,
        address: AddressChoice = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, username=username, **kwargs)
        self.ssh_public_key = ssh_public_key
        self.password = password
        self.generate_key = generate_key
        self.expires_in = expires_in
        self.expires_at = expires_at
        self.is_admin = is_admin
        self.recreate = recreate
        self.address: AddressChoice = address

    @classmethod
    def _as_stored(cls, name: str, value: Any) -> Any:
        refuse_private_keys(name, value)
        return super()._as_stored(name, value)

    @classmethod
    def request_class(cls) -> type[AddNodeUsersRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.users.requests import AddNodeUsersRequest

        return AddNodeUsersRequest

    async def submit(self, client: BatchLinuxClient, context: Context) -> Step:
        """Change the nodes that are ready; an end that is over is refused before any request."""
        self.request.until(datetime.now(timezone.utc))
        return await super().submit(client, context)

    def work(
        self,
        context: Context,
        trigger: BatchLinuxNodesForUserTrigger | None,
        found: LedgerEntry | None,
        now: datetime,
    ) -> UserWork:
        """Add the user until the instant that the first try has computed."""
        from airflow_provider_batchlinux.client.users.reconcile import AddUser
        from airflow_provider_batchlinux.core.users.access import entry_to_continue
        from airflow_provider_batchlinux.core.users.ledger import LedgerEntry

        if trigger is not None:
            until = datetime.fromisoformat(trigger.until or "")
        else:
            until = self.request.until(now)
            begun = entry_to_continue(found, marked_owner(context, self.installation), is_lease=False)
            if begun is not None and is_retry(context, self.retries or 0):
                until = begun.expires_at
                self.log.info("User %r keeps the end that the first try has set: %s.", begun.username, until)
        if until <= now:
            msg = (
                f"The time of user {self.request.username!r} was over at {until.isoformat()}. Its end is set "
                "when the task first runs; clear the task to begin again."
            )
            raise ValueError(msg)
        user = self._user(trigger, context, until)
        if trigger is None:
            advise(self.log, user)
            self.log.info(_DAY_ONLY, user.username)
        entry = LedgerEntry(
            user.username,
            user.expires_at,
            by=marked_owner(context, self.installation),
            key=user.fingerprint,
            is_admin=user.is_admin,
            has_password=bool(user.password),
        )
        return AddUser(
            user,
            entry,
            max_concurrency=self.request.max_concurrency,
            recreate=self.request.recreate,
            take_over=self.request.take_over,
            address=self.request.address,
            generation=trigger.generation if trigger else None,
        )

    def carried(self, work: UserWork) -> dict[str, Any]:
        """Return the expiry, the public key, and the holder."""
        adding: AddUser = work  # type: ignore[assignment]  # the work that work() returns
        return {
            "until": adding.user.expires_at.isoformat(),
            "ssh_public_key": adding.user.ssh_public_key,
            "username": adding.username,
            "by": dict(adding.entry.by),
            "generation": adding.generation,
        }

    def report(self, work: UserWork, records: Sequence[UserRecord]) -> None:
        """Show where to log in, and require that enough nodes have the user."""
        from airflow_provider_batchlinux.core.users.user import UserOutcome, records_table

        self.log.info(
            "User %r on pool %r until %s:\n%s",
            work.username,
            self.request.pool_id,
            self.carried(work)["until"],
            records_table(records),
        )
        if not any(record.has_user or record.outcome is UserOutcome.FAILED for record in records):
            msg = (
                f"Pool {self.request.pool_id!r} has no nodes that can take user {work.username!r}, so it is "
                "on none; wait for them."
            )
            raise NodeUsersError(msg, failed=[])
        kept = sum(record.note is not None for record in records)
        if kept and not self.request.recreate:
            self.log.warning(
                "User %r was on %s already: is_admin has not changed its right to use "
                "sudo there. recreate=True replaces the user.", work.username, counted(kept, "node"),
            )  # fmt: skip
        self.require_done(records, f"User {work.username!r} could not be added to")

    def _user(
        self, trigger: BatchLinuxNodesForUserTrigger | None, context: Context, until: datetime
    ) -> NodeUser:
        from airflow_provider_batchlinux.core.users.user import NodeUser

        request = self.request
        # A task that resumes has its public key already.
        key = (trigger.ssh_public_key if trigger else None) or request.ssh_public_key
        if key is None and request.generate_key is not None:
            key = generated_key(request.generate_key, request.username, context)
        return NodeUser(
            username=request.username,
            expires_at=until,
            password=request.password,
            ssh_public_key=key,
            is_admin=request.is_admin,
        )


class BatchLinuxRemoveNodeUsersOperator(NodeUsersOperator["RemoveNodeUsersRequest"]):
    """
    Remove a user from the nodes of a pool.

    Nodes without the user, deleted nodes and a deleted pool are no errors. A selection that matches no node
    of an existing pool is one, because it may be misspelt; ``allow_empty=True`` permits it. A node that is
    starting may have the user, so the task waits for it; a node with a new machine has none. All nodes are
    tried. If some fail, the task fails with their names and the service's codes.

    .. code-block:: python

        BatchLinuxRemoveNodeUsersOperator(task_id="remove_user", pool_id="etl", username="deploy")

    A user that another Dag run holds is not removed before it expires, except with ``take_over``. The removal
    from a whole pool
    first marks the user in the pool's ledger as revoked: a lease of it ends, and no slower task adds it
    again. A deallocated node may have the user after its start. It owes the removal: the mark stays until a
    lease, an audit with ``revoke=True``, the sweeper or the next user of that name has removed it.

    A removal from some nodes leaves the user on the others. It is refused while a lease keeps the user on all
    nodes, because the lease would add it again.

    Result in XCom: a list with a record for each node: ``node_id``, ``state``, ``outcome`` (``removed``,
    ``absent``, ``owed``, ``skipped``, ``gone``, and ``failed`` within ``max_failed_nodes``), ``username``,
    ``error`` and ``code`` of a failure.

    .. seealso::
        ``docs/howto/give-access-to-nodes.md``,
        and ``node_users`` in ``example_dags/example_linux_pool.py``.

    :param pool_id: the pool. (templated)
    :param username: the Linux user's name. (templated)
    :param node_ids: the nodes; ``None`` for all. (templated)
    :param states: only nodes in these states, as they are: nothing is waited for. ``None`` for all.
        (templated)
    :param where: an OData filter on the list of nodes, such as ``"startTaskInfo/exitCode eq 7"``; ``None``
        for none. The service filters nodes by state, times and start task. (templated)
    :param allow_empty: succeed, with a warning, if ``node_ids``, ``states`` or ``where`` select no node that
        is in the pool. (templated)
    :param take_over: also remove a user that another Dag run holds. (templated)
    :param max_failed_nodes: how many nodes may fail, as a number or a share such as ``"5%"``. (templated)
    :param wait_for_nodes: wait for nodes that boot; ``False`` counts them as failed. (templated)
    :param timeout: how long to wait for them at most, as a pendulum duration, ``timedelta`` or seconds; they
        count as failed after that, and the others do not have the user. (templated)
    :param poll_interval: the longest time between polls, as a pendulum duration, ``timedelta`` or seconds.
        (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. (templated)
    :param max_concurrency: how many requests are sent concurrently at most. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    ui_color = "#f3e3d8"

    def __init__(
        self, *, pool_id: str, username: str, allow_empty: bool | str = False, **kwargs: Any
    ) -> None:
        super().__init__(pool_id=pool_id, username=username, **kwargs)
        self.allow_empty = allow_empty

    @classmethod
    def request_class(cls) -> type[RemoveNodeUsersRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.users.requests import RemoveNodeUsersRequest

        return RemoveNodeUsersRequest

    def work(
        self,
        context: Context,
        trigger: BatchLinuxNodesForUserTrigger | None,  # noqa: ARG002
        found: LedgerEntry | None,  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> UserWork:
        """Remove the user on behalf of the Dag run."""
        from airflow_provider_batchlinux.client.users.reconcile import RemoveUser

        return RemoveUser(
            self.request.username,
            marked_owner(context, self.installation),
            self.request.max_concurrency,
            self.request.take_over,
        )

    def carried(self, work: UserWork) -> dict[str, Any]:  # noqa: ARG002
        """Return nothing: the operator has it all."""
        return {}

    def report(self, work: UserWork, records: Sequence[UserRecord]) -> None:
        """Log the outcome for each node, and raise an error if too many nodes may still have the user."""
        from airflow_provider_batchlinux.core.users.user import records_table

        request = self.request
        is_selection = request.node_ids is not None or request.states is not None or request.where is not None
        if self._pool_is_gone:
            self.log.info(
                "Pool %r does not exist any more, and user %r with it.", request.pool_id, work.username
            )
        # A node that left the pool while it was asked was in it.
        elif is_selection and all(r.outcome == "skipped" or r.state == "gone" for r in records):
            msg = f"The selection of nodes of pool {request.pool_id!r} is empty: user {work.username!r} was"
            if not request.allow_empty:
                msg += " removed from no node. allow_empty=True lets that succeed."
                raise NodeUsersError(msg, failed=[])
            self.log.warning("%s removed from no node; allow_empty permits that.", msg)
        self.log.info("User %r on pool %r:\n%s", work.username, self.request.pool_id, records_table(records))
        self.require_done(records, f"User {work.username!r} could not be removed from")


class BatchLinuxAuditNodeUsersOperator(BatchLinuxBaseOperator["AuditNodeUsersRequest"]):
    """
    List the users of pools, with their holders and expiries, and optionally revoke the overdue ones.

    The service cannot list users. The list comes from the ledger that this provider keeps in each pool's
    metadata, so users that other programs added to nodes are missing. An entry that cannot be read counts as
    overdue.

    A user is overdue if its holder has not removed it in time, for example a task whose worker died. By
    default the operator only lists users. Run it daily, or as often as access matters. If a node cannot
    remove a user, the task fails with the node's name after all other nodes were asked.

    With ``revoke=True`` it also asks nodes that owe the removal of a user, such as one that was deallocated
    when the access ended and has been started since. Nodes that still owe it are in the result.

    .. code-block:: python

        BatchLinuxAuditNodeUsersOperator(task_id="audit", revoke=True)

    Result in XCom: ``users``, for each ``pool_id``, ``username``, ``expires_at``, ``by``, ``key`` (its
    fingerprint), ``is_admin``, ``has_password``, ``overdue`` and ``revoked`` (nodes still owe the removal);
    ``overdue`` and ``revoked``, numbers of users; ``owed``, a ``pool_id``, ``username`` and ``node_id`` for
    each node that still owes a removal; ``open_pools``, ``pool_id`` and ``reason`` of each pool whose SSH is
    open to the whole Internet.

    .. seealso::
        ``docs/howto/give-access-to-nodes.md``,
        and ``audit`` in ``example_dags/example_node_access.py``.

    :param pool_ids: the pools; ``None`` for all of the account. (templated)
    :param revoke: remove overdue users from all nodes; ``False`` only lists them. As ``bool`` or text such as
        ``"true"``. (templated)
    :param allow_empty: succeed, with a warning, if no pool of ``pool_ids`` exists. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields_renderers = {"pool_ids": "json"}  # noqa: RUF012 - Airflow's own form
    ui_color = "#f3e3d8"

    def __init__(
        self,
        *,
        pool_ids: list[str] | None = None,
        revoke: bool | str = False,
        allow_empty: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_ids = pool_ids
        self.revoke = revoke
        self.allow_empty = allow_empty

    @classmethod
    def request_class(cls) -> type[AuditNodeUsersRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.users.requests import AuditNodeUsersRequest

        return AuditNodeUsersRequest

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the ledgers, log them, and revoke overdue users."""
        from airflow_provider_batchlinux.client.nodes.endpoints import open_pools
        from airflow_provider_batchlinux.client.users.revoke import (
            audited_users,
            require_revoked,
            revoke_overdue,
        )
        from airflow_provider_batchlinux.core.users.ledger import ledger_table

        pool_ids, revokes = self.request.pool_ids, self.request.revoke
        open_to_all: list[dict[str, str]] = []

        async def work(client: BatchLinuxClient) -> tuple[list[AuditedUser], list[Revocation], datetime]:
            if pool_ids is not None:
                self._require_selection({str(pool["id"]).lower() for pool in await client.list_pools(["id"])})
            open_to_all.extend(await open_pools(client, pool_ids))
            users = await audited_users(client, pool_ids)
            now = client.clock.now()
            return users, await revoke_overdue(client, users, now) if revokes else [], now

        users, revocations, now = self.hook.run(work)
        overdue = sum(user.entry.is_over(now) for user in users)
        if users:
            self.log.info("%s", ledger_table([(user.pool_id, user.entry) for user in users], now))
        report_overdue_users(dict(context), overdue)
        self.log.info("%s on pools, %d overdue.", counted(len(users), "user"), overdue)
        for revocation in revocations:
            self._tell(revocation)
        require_revoked(revocations)
        return {
            "users": [
                {"pool_id": user.pool_id, **user.entry.to_result(), "overdue": user.entry.is_over(now)}
                for user in users
            ],
            "open_pools": open_to_all,
            "overdue": overdue,
            "revoked": sum(
                revocation.is_done for revocation in revocations if revocation.user.entry.is_over(now)
            ),
            "owed": [owed for revocation in revocations for owed in revocation.owed_nodes],
        }

    def _require_selection(self, existing: Set[str]) -> None:
        """Log which pools do not exist; raise an error if all of them do not."""
        missing = [pool_id for pool_id in self.request.pool_ids or () if pool_id.lower() not in existing]
        if missing:
            self.log.warning("pool_ids names pools that do not exist: %s.", ", ".join(missing))
        if len(missing) == len(self.request.pool_ids or ()):
            msg = "pool_ids selects no pool, so no user was looked at."
            if not self.request.allow_empty:
                msg += " allow_empty=True lets that succeed."
                raise NodeUsersError(msg, failed=[])
            self.log.warning("%s", msg)

    def _tell(self, revocation: Revocation) -> None:
        user = revocation.user
        if revocation.taken is None:
            self.log.info(
                "User %r on pool %r has changed meanwhile and is kept.",
                user.entry.username,
                user.pool_id,
            )
            return
        self.log.info(
            "User %r was taken off %s of pool %r.",
            user.entry.username,
            counted(revocation.removed, "node"),
            user.pool_id,
        )
        if not revocation.is_done:
            names = ", ".join(revocation.owed) or "nodes that may not have answered yet"
            self.log.warning(
                "User %r may still be on %s of pool %r. The next audit asks again.",
                user.entry.username, names, user.pool_id,
            )  # fmt: skip
