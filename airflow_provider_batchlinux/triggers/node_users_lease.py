"""The trigger that keeps a user on all nodes of a pool until its lease is over."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from airflow.triggers.base import BaseTrigger

from airflow_provider_batchlinux.core.text import joined
from airflow_provider_batchlinux.triggers._base import BatchLinuxPoolTrigger, are_over

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.users.lease import LeaseWait
    from airflow_provider_batchlinux.triggers._base import WaitArguments

__all__ = ["BatchLinuxNodeUsersLeaseTrigger"]


_REMOVAL_TIME = 1800.0
"""Seconds after all that a lease waits for until Airflow times it out."""

_DAY = 86_400.0

LISTED_EVERY = 60
"""Intervals after which nodes are listed although the numbers of nodes by state have not changed."""


class BatchLinuxNodeUsersLeaseTrigger(BatchLinuxPoolTrigger):
    """
    Keep a user on all nodes of a pool; fire when its lease is over and the user is gone.

    A lease also adds the user to nodes that join the pool later. Airflow stores the public key in its
    database, as all arguments; a password is not among them.

    :param pool_id: the pool.
    :param username: the Linux user's name.
    :param until: when the lease ends, in seconds since the epoch.
    :param by: who holds the user, as in the ledger (the pool's metadata); ``until_task_ids`` needs its
        ``dag_id`` and ``run_id``.
    :param ssh_public_key: its key; ``None`` for none.
    :param password_conn_id: the Airflow connection whose password is the user's; ``None`` for none. It is
        read whenever the user is added to a node.
    :param is_admin: whether the user may use ``sudo``.
    :param until_task_ids: tasks of the same Dag run; once they are all over, the lease is. ``None`` for none.
    :param owed_limit: how many seconds after its end the lease tries to reach nodes that still have the user.
    :param max_concurrency: calls to the service in flight at most.
    :param at_once: the same, as an earlier release stored it.
    """

    former = frozenset({"at_once"})

    def __init__(
        self,
        *,
        pool_id: str,
        username: str,
        until: float,
        by: dict[str, str],
        ssh_public_key: str | None = None,
        password_conn_id: str | None = None,
        is_admin: bool = False,
        until_task_ids: list[str] | None = None,
        owed_limit: float = _DAY,
        max_concurrency: int = 64,
        at_once: int | None = None,
        **common: Unpack[WaitArguments],
    ) -> None:
        super().__init__(pool_id=pool_id, **common)
        self.username = username
        self.until = until
        self.by = by
        self.ssh_public_key = ssh_public_key
        self.password_conn_id = password_conn_id
        self.is_admin = is_admin
        self.until_task_ids = until_task_ids
        self.owed_limit = owed_limit
        self.max_concurrency = at_once or max_concurrency

    def wait(self, client: BatchLinuxClient) -> LeaseWait:
        """Wait for the end of the lease."""
        from airflow_provider_batchlinux.client.users.lease import LeaseWait
        from airflow_provider_batchlinux.client.waits.watching import WatchedClient
        from airflow_provider_batchlinux.core.users.user import NodeUser

        user = NodeUser(
            self.username,
            datetime.fromtimestamp(self.until, timezone.utc),
            ssh_public_key=self.ssh_public_key,
            is_admin=self.is_admin,
        )
        is_shared = isinstance(client, WatchedClient)
        return LeaseWait(
            client,
            self.pool_id,
            user,
            self.by,
            self.max_concurrency,
            self._tasks_are_over,
            self.password,
            owed_limit=timedelta(seconds=self.owed_limit),
            interval=self.poll_interval,
            list_age=LISTED_EVERY * self.poll_interval if is_shared else 0.0,
        )

    @property
    def expires(self) -> float:
        """Seconds since the epoch after which Airflow times the deferral out."""
        return min(self.until, super().expires or self.until) + self.owed_limit + _REMOVAL_TIME

    @property
    def cancels_on_kill(self) -> bool:
        """A kill ends the lease."""
        return True

    @property
    def uncancelled(self) -> str:
        """What a cancellation that failed leaves behind."""
        return (
            f"User {self.username!r} may still be on nodes of pool {self.pool_id!r}, and stays in its ledger"
        )

    async def password(self) -> str | None:
        """
        Read the user's password; ``None`` for a user without.

        :raises ValueError: the connection cannot be read, or has no password.
        """
        if self.password_conn_id is None:
            return None
        from airflow.sdk.log import mask_secret

        from airflow_provider_batchlinux.hooks._async_connection import async_connection

        try:
            password: str | None = (await async_connection(self.password_conn_id)).password
        except Exception as error:  # the error must name the connection, whatever the secrets backend raises
            msg = f"password_conn_id={self.password_conn_id!r} cannot be read ({type(error).__name__})."
            raise ValueError(msg) from None
        if not password:
            msg = f"password_conn_id={self.password_conn_id!r} is a connection without a password."
            raise ValueError(msg)
        mask_secret(password)
        return password

    async def cancel(self, client: BatchLinuxClient) -> None:
        """Remove the user from all nodes."""
        from airflow_provider_batchlinux.client.users.revoke import revoke

        taken = await revoke(
            client, self.pool_id, self.username, self.by, max_concurrency=self.max_concurrency
        )
        self.log.info(
            "Pool %r: ended the lease of user %r, because its Airflow task was ended; nodes asked: %d, nodes "
            "that still owe the removal: %s.",
            self.pool_id, self.username, len(taken.records) if taken else 0,
            "none" if taken is None or taken.is_done else joined(taken.owed) or "some without an answer",
        )  # fmt: skip

    async def cleanup(self) -> None:
        """
        End the lease when a user ended the Airflow task, on Airflow before 3.3.

        There, a kill calls nothing else on a trigger. A restart of the triggerer calls this too; the task
        instance is alive then, and nothing is done.
        """
        if not hasattr(BaseTrigger, "on_kill") and getattr(self, "task_instance", None) is not None:
            await self.on_kill()

    async def _tasks_are_over(self) -> bool:
        if not self.until_task_ids:
            return False
        try:
            return await are_over(self.by["dag_id"], self.by["run_id"], self.until_task_ids)
        except Exception as error:  # what Airflow raises is not documented; the lease has an end all the same
            self.log.warning("Airflow did not return the states of %s: %s", self.until_task_ids, error)
            return False
