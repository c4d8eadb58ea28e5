"""Operators that put an expiring user on every node of a pool, and take it away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk.log import mask_secret

from airflow_provider_batchlinux.core.ids import id_problems
from airflow_provider_batchlinux.core.instants import Duration, expiry_of
from airflow_provider_batchlinux.core.ssh_keys import holds_private_key, public_key_problems
from airflow_provider_batchlinux.exceptions import NodeUsersError
from airflow_provider_batchlinux.operators._base import BatchLinuxBaseOperator

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.batch import BatchLinuxClient
    from airflow_provider_batchlinux.core.node_users import NodeUser, UserRecord

__all__ = ["BatchLinuxAddNodeUsersOperator", "BatchLinuxRemoveNodeUsersOperator"]

DEFAULT_AT_ONCE = 64


class BatchLinuxAddNodeUsersOperator(BatchLinuxBaseOperator):
    """
    Put a user on every node of a pool, or update it where it exists.

    All nodes are tried, also when some fail; then the task fails with the names of those that did.
    Nodes that join the pool later do not get the user.

    The service removes an expired user by the day only (on Linux), and an expiry does not end open
    sessions: use :class:`BatchLinuxRemoveNodeUsersOperator`, as teardown say, to end access on time.

    Result in XCom: a list with a record for each node: ``node_id``, ``state``, ``outcome`` (``added``,
    ``updated``), ``username``, ``address``, ``port``, ``public`` (whether the address is reached from
    outside the virtual network) and ``ssh_command``. It holds neither key nor password.

    :param pool_id: the pool. (templated)
    :param username: the Linux user's name. (templated)
    :param ssh_public_key: one line such as ``ssh-ed25519 AAAA... name``; ``None`` for a password only.
        (templated)
    :param password: the password; ``None`` for a key only. Give it as a template, such as
        ``"{{ conn.node_user.password }}"``, to keep it out of the Dag's code. (templated)
    :param expires_in: how long the user is wanted, as a pendulum duration, ``timedelta`` or seconds from
        the task's start; ``None`` when ``expires_at`` is given.
    :param expires_at: until when, as a pendulum or standard instant with a time zone, or ISO 8601 text;
        ``None`` when ``expires_in`` is given. (templated)
    :param is_admin: give the user ``sudo``. On a user that exists already the service does not change it.
    :param at_once: calls to the service in flight at most.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields: Sequence[str] = (
        *BatchLinuxBaseOperator.template_fields,
        "pool_id",
        "username",
        "ssh_public_key",
        "password",
        "expires_at",
    )
    ui_color = "#ece0f5"

    def __init__(
        self,
        *,
        pool_id: str,
        username: str,
        ssh_public_key: str | None = None,
        password: str | None = None,
        expires_in: Duration | None = None,
        expires_at: datetime | str | None = None,
        is_admin: bool = False,
        at_once: int = DEFAULT_AT_ONCE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_id = pool_id
        self.username = username
        self.ssh_public_key = ssh_public_key
        self.password = password
        self.expires_in = expires_in
        # A template field is text; an instant is as good as its ISO form.
        self.expires_at = expires_at.isoformat() if isinstance(expires_at, datetime) else expires_at
        self.is_admin = is_admin
        self.at_once = at_once
        self._refuse_private_key()

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Render, and stop a private key before Airflow stores the rendered fields."""
        super().render_template_fields(context, jinja_env)
        self._refuse_private_key()

    def execute(self, context: Context) -> list[dict[str, Any]]:  # noqa: ARG002
        """Put the user on all nodes, and return where to log in."""
        from airflow_provider_batchlinux.client.users import add_user_to_nodes
        from airflow_provider_batchlinux.core.node_users import records_table

        if self.password:
            mask_secret(self.password)
        user = self._user(datetime.now(timezone.utc))

        async def story(client: BatchLinuxClient) -> list[UserRecord]:
            return await add_user_to_nodes(client, self.pool_id, user, at_once=self.at_once)

        records = self.hook.run(story)
        if not records:
            msg = f"Pool {self.pool_id!r} has no nodes, so user {user.username!r} is on none; wait for them."
            raise NodeUsersError(msg, failed=[])
        until = user.expires_at.isoformat(timespec="seconds")
        self.log.info(
            "User %r on pool %r until %s:\n%s",
            user.username,
            self.pool_id,
            until,
            records_table(records),
        )
        _require_done(records, f"User {user.username!r} could not be put on", self.pool_id)
        return [record.to_result() for record in records]

    def _user(self, now: datetime) -> NodeUser:
        from airflow_provider_batchlinux.core.node_users import NodeUser

        problems = id_problems("pool_id", self.pool_id)
        try:
            expires_at = expiry_of(self.expires_in, self.expires_at, now)
        except ValueError as error:
            problems.append(str(error))
            expires_at = now
        user = NodeUser(
            username=self.username,
            expires_at=expires_at,
            password=self.password,
            ssh_public_key=self.ssh_public_key,
            is_admin=self.is_admin,
        )
        problems.extend(user.problems())
        if problems:
            raise ValueError("\n".join(problems))
        return user

    def _refuse_private_key(self) -> None:
        if self.ssh_public_key and holds_private_key(self.ssh_public_key):
            problems = public_key_problems(self.ssh_public_key)
            self.ssh_public_key = None
            raise ValueError("\n".join(problems))


class BatchLinuxRemoveNodeUsersOperator(BatchLinuxBaseOperator):
    """
    Take a user off every node of a pool.

    Nodes without the user, nodes that went away and a pool that is gone are fine. All nodes are tried,
    also when some fail; then the task fails with the names of those that did.

    Result in XCom: a list with a record for each node: ``node_id``, ``state``, ``outcome`` (``removed``,
    ``absent``, ``gone``) and ``username``.

    :param pool_id: the pool. (templated)
    :param username: the Linux user's name. (templated)
    :param at_once: calls to the service in flight at most.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields: Sequence[str] = (
        *BatchLinuxBaseOperator.template_fields,
        "pool_id",
        "username",
    )
    ui_color = "#f3e3d8"

    def __init__(self, *, pool_id: str, username: str, at_once: int = DEFAULT_AT_ONCE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_id = pool_id
        self.username = username
        self.at_once = at_once

    def execute(self, context: Context) -> list[dict[str, Any]]:  # noqa: ARG002
        """Take the user off all nodes."""
        from airflow_provider_batchlinux.client.users import remove_user_from_nodes
        from airflow_provider_batchlinux.core.node_users import records_table, username_problems

        problems = [*id_problems("pool_id", self.pool_id), *username_problems(self.username)]
        if problems:
            raise ValueError("\n".join(problems))

        async def story(client: BatchLinuxClient) -> list[UserRecord]:
            return await remove_user_from_nodes(client, self.pool_id, self.username, at_once=self.at_once)

        records = self.hook.run(story)
        self.log.info("User %r on pool %r:\n%s", self.username, self.pool_id, records_table(records))
        _require_done(records, f"User {self.username!r} could not be taken off", self.pool_id)
        return [record.to_result() for record in records]


def _require_done(records: Sequence[UserRecord], what: str, pool_id: str) -> None:
    from airflow_provider_batchlinux.core.node_users import UserOutcome
    from airflow_provider_batchlinux.core.text import joined

    failed = [record for record in records if record.outcome is UserOutcome.FAILED]
    if not failed:
        return
    names = [record.node_id for record in failed]
    causes = "".join(f"\n  node {record.node_id!r} ({record.state}): {record.error}" for record in failed)
    msg = f"{what} {len(failed)} of {len(records)} nodes of pool {pool_id!r}: {joined(names)}.{causes}"
    raise NodeUsersError(msg, failed=names)
