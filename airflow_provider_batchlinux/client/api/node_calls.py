"""Operations on nodes and their users: they take REST bodies and return plain values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from azure.batch import models

from airflow_provider_batchlinux.client.api.calls import Body, Calls
from airflow_provider_batchlinux.core.secrets import hide_in_error
from airflow_provider_batchlinux.core.snapshots import NODE_FIELDS, Endpoint, NodeSnapshot
from airflow_provider_batchlinux.exceptions import BatchLinuxError


class NodeCalls(Calls):
    """
    The operations on nodes that this provider uses.

    The SDK does not export the models of the options of reboot, reimage and deallocate, so these three send
    a plain body. Requests about users go to each of a thousand nodes, around the SDK's operations.
    """

    async def list_nodes(self, pool_id: str, *, where: str | None = None) -> list[NodeSnapshot]:
        """
        List a pool's nodes exactly, with :data:`NODE_FIELDS`.

        :param where: an OData filter such as ``state eq 'unusable'``; ``None`` lists all.
        """
        rows = await self.list_node_bodies(pool_id, NODE_FIELDS, where=where)
        return [NodeSnapshot.from_rest(row) for row in rows]

    async def list_node_bodies(
        self, pool_id: str, select: Sequence[str], *, where: str | None = None
    ) -> list[Body]:
        """List the REST bodies of a pool's nodes with the selected properties."""
        what = f"list nodes of pool {pool_id!r}"
        options = {} if where is None else {"filter": where}
        return await self._all(what, self.sdk.list_nodes, pool_id, select=list(select), **options)

    async def find_node_body(
        self, pool_id: str, node_id: str, select: Sequence[str] | None = None
    ) -> Body | None:
        """Get a node's REST body, all of it or the selected properties; ``None`` if it does not exist."""
        fields = list(select) if select else None
        return await self._found(
            f"get node {node_id!r} of pool {pool_id!r}",
            ("NodeNotFound", "PoolNotFound"),
            lambda: self.sdk.get_node(pool_id, node_id, select=fields),
        )

    async def reboot_node(self, pool_id: str, node_id: str, option: str = "requeue") -> None:
        """
        Reboot a node; its files stay, and its start task runs again.

        :param option: what to do with its running tasks: ``requeue``, ``terminate`` or
            ``taskcompletion``, which waits for them.
        """
        options: Any = {"nodeRebootOption": option}
        await self.retry.run(
            f"reboot node {node_id!r}", lambda: self.sdk.begin_reboot_node(pool_id, node_id, options)
        )

    async def reimage_node(self, pool_id: str, node_id: str, option: str = "requeue") -> None:
        """Reinstall a node, which removes its files and users; :meth:`reboot_node` has the options."""
        options: Any = {"nodeReimageOption": option}
        await self.retry.run(
            f"reimage node {node_id!r}", lambda: self.sdk.begin_reimage_node(pool_id, node_id, options)
        )

    async def deallocate_node(self, pool_id: str, node_id: str, option: str = "requeue") -> None:
        """Deallocate a node, which stays in the pool; :meth:`reboot_node` has the options."""
        options: Any = {"nodeDeallocateOption": option}
        await self.retry.run(
            f"deallocate node {node_id!r}",
            lambda: self.sdk.begin_deallocate_node(pool_id, node_id, options),
        )

    async def start_node(self, pool_id: str, node_id: str) -> None:
        """Start a node that was deallocated."""
        await self.retry.run(f"start node {node_id!r}", lambda: self.sdk.begin_start_node(pool_id, node_id))

    async def upload_node_logs(self, pool_id: str, node_id: str, body: Body) -> Body:
        """Upload a node's agent logs to a storage container, and return the folder and number of files."""
        options = models.UploadBatchServiceLogsOptions(body)
        found: Body = await self.retry.run(
            f"upload the logs of node {node_id!r}",
            lambda: self.sdk.upload_node_logs(pool_id, node_id, options),
        )
        return found

    async def create_node_user(self, pool_id: str, node_id: str, body: Body) -> None:
        """Add a user to a node."""
        path = _users(pool_id, node_id)
        with _password_hidden(body):
            await self.retry.run(
                f"add user {body['name']!r} to node {node_id!r}", lambda: self.sdk.send("POST", path, body)
            )

    async def replace_node_user(self, pool_id: str, node_id: str, username: str, body: Body) -> None:
        """Replace a user's key, password and expiry; what the body leaves out is removed."""
        path = (*_users(pool_id, node_id), username)
        with _password_hidden(body):
            await self.retry.run(
                f"update user {username!r} on node {node_id!r}", lambda: self.sdk.send("PUT", path, body)
            )

    async def delete_node_user(self, pool_id: str, node_id: str, username: str) -> bool:
        """Remove a user from a node; return whether the node had it."""
        path = (*_users(pool_id, node_id), username)
        return await self._deleted(
            f"remove user {username!r} from node {node_id!r}",
            lambda: self.sdk.send("DELETE", path),
            gone="NodeUserNotFound",
        )

    async def remote_login(self, pool_id: str, node_id: str) -> Endpoint:
        """
        Get the public address and port of a node's SSH server.

        The service's answer for a node without a mapping is not documented; every error is raised.
        """
        what = f"get the remote login settings of node {node_id!r}"
        settings = await self.retry.run(
            what, lambda: self.sdk.get_node_remote_login_settings(pool_id, node_id)
        )
        return Endpoint(str(settings["remoteLoginIPAddress"]), int(settings["remoteLoginPort"]), public=True)


def _users(pool_id: str, node_id: str) -> tuple[str, ...]:
    return ("pools", pool_id, "nodes", node_id, "users")


@contextmanager
def _password_hidden(body: Body) -> Iterator[None]:
    """Hide a user's password in the error if the service repeats parts of a body that it refuses."""
    try:
        yield
    except BatchLinuxError as error:
        hide_in_error(error, [body["password"]] if "password" in body else [])
        raise
