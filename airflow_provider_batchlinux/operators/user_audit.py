"""The operator that lists who has access to which pool, and revokes overdue users."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.operators._base import BatchLinuxBaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.users.revoke import AuditedUser, Revocation
    from airflow_provider_batchlinux.core.users.requests import AuditNodeUsersRequest

__all__ = ["BatchLinuxAuditNodeUsersOperator"]


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
    fingerprint), ``is_admin``, ``has_password``, ``overdue`` and ``revoked`` (ended, and owed by nodes);
    ``overdue`` and ``revoked``, numbers of users; ``owed``, a ``pool_id``, ``username`` and ``node_id`` for
    each node that still owes a removal; ``open_pools``, ``pool_id`` and ``reason`` of each pool whose SSH is
    open to the whole Internet.

    .. seealso::
        ``docs/howto/give-access-to-nodes.md``,
        and ``audit`` in ``example_dags/example_node_access.py``.

    :param pool_ids: the pools; ``None`` for all of the account. (templated)
    :param revoke: remove overdue users from all nodes; ``False`` only lists them. As ``bool`` or text such as
        ``"true"``. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields_renderers = {"pool_ids": "json"}  # noqa: RUF012 - Airflow's own form
    ui_color = "#f3e3d8"

    def __init__(
        self, *, pool_ids: list[str] | None = None, revoke: bool | str = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.pool_ids = pool_ids
        self.revoke = revoke

    @classmethod
    def request_class(cls) -> type[AuditNodeUsersRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.users.requests import AuditNodeUsersRequest

        return AuditNodeUsersRequest

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
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
            open_to_all.extend(await open_pools(client, pool_ids))
            users = await audited_users(client, pool_ids)
            now = client.clock.now()
            return users, await revoke_overdue(client, users, now) if revokes else [], now

        users, revocations, now = self.hook.run(work)
        overdue = sum(user.entry.is_over(now) for user in users)
        if users:
            self.log.info("%s", ledger_table([(user.pool_id, user.entry) for user in users], now))
        self.log.info("%d users on pools, of which %d are overdue.", len(users), overdue)
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
            "User %r was taken off %d nodes of pool %r.",
            user.entry.username,
            revocation.removed,
            user.pool_id,
        )
        if not revocation.is_done:
            names = ", ".join(revocation.owed) or "nodes that may not have answered yet"
            self.log.warning(
                "User %r may still be on %s of pool %r. The next audit asks again.",
                user.entry.username, names, user.pool_id,
            )  # fmt: skip
