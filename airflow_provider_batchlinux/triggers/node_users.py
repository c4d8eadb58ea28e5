"""The trigger that waits until the nodes that get or lose a user are ready for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_batchlinux.core.text import joined
from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.users.reconcile import NodesForUserWait
    from airflow_provider_batchlinux.triggers._base import WaitArguments

__all__ = ["BatchLinuxNodesForUserTrigger"]

_MAX_CONCURRENCY = 64


class BatchLinuxNodesForUserTrigger(BatchLinuxTrigger):
    """
    Fire when no node that gets or loses a user is starting any more.

    The resumed task adds or removes the user, because the trigger must not know its password. If the task is
    killed meanwhile, a user that it has added is removed from the nodes.

    :param pool_id: the pool.
    :param node_ids: the nodes; ``None`` for all.
    :param where: an OData filter on the list of nodes; ``None`` for none.
    :param removing: whether the user is to be removed instead of added.
    :param until: when the user expires, in ISO 8601, for the resumed task; ``None`` for a removal.
    :param ssh_public_key: the user's public key, for the resumed task; ``None`` for none.
    :param username: the user that a kill removes; ``None`` for none.
    :param by: the task instance that adds the user, as in the ledger: the list of users in the metadata of
        the pool.
    :param generation: the generation of the user in the ledger, for the resumed task; ``None`` if it is not
        known.
    """

    def __init__(
        self,
        *,
        pool_id: str,
        node_ids: list[str] | None = None,
        where: str | None = None,
        removing: bool = False,
        until: str | None = None,
        ssh_public_key: str | None = None,
        username: str | None = None,
        by: dict[str, str] | None = None,
        generation: int | None = None,
        **common: Unpack[WaitArguments],
    ) -> None:
        super().__init__(**common)
        self.pool_id = pool_id
        self.node_ids = node_ids
        self.where = where
        self.removing = removing
        self.until = until
        self.ssh_public_key = ssh_public_key
        self.username = username
        self.by = by
        self.generation = generation

    def wait(self, client: BatchLinuxClient) -> NodesForUserWait:
        """Wait for the nodes."""
        from airflow_provider_batchlinux.client.users.reconcile import NodesForUserWait, UserTarget
        from airflow_provider_batchlinux.core.nodes.actions import NodeChoice

        target = UserTarget(self.pool_id, NodeChoice(self.node_ids), self.where)
        return NodesForUserWait(client, target, self.removing)

    @property
    def cancels_on_kill(self) -> bool:
        """Whether the user is one that the task was about to add."""
        return self.username is not None

    @property
    def uncancelled(self) -> str:
        """What a cancellation that failed leaves behind."""
        return f"User {self.username!r} may still be on pool {self.pool_id!r}"

    async def cancel(self, client: BatchLinuxClient) -> None:
        """Remove the user that the task has added, unless another holder has it now."""
        from airflow_provider_batchlinux.client.users.revoke import revoke

        if self.username is None:
            return
        taken = await revoke(
            client, self.pool_id, self.username, self.by or {}, max_concurrency=_MAX_CONCURRENCY
        )
        if taken is not None and not taken.is_done:
            names = f"nodes {joined(taken.owed)}" if taken.owed else "nodes that have not answered yet"
            self.log.warning(
                "User %r may still be on %s of pool %r. The ledger keeps that.",
                self.username, names, self.pool_id,
            )  # fmt: skip
        elif taken is not None:
            self.log.info(
                "Removed user %r from pool %r, because its task was ended.", self.username, self.pool_id
            )
