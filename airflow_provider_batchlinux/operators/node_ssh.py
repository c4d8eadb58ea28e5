"""The operator that runs one command on nodes of a pool over SSH, on many concurrently."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.core.instants import Duration
from airflow_provider_batchlinux.exceptions import NodeCommandError
from airflow_provider_batchlinux.links.pool_page import BatchLinuxPoolPageLink
from airflow_provider_batchlinux.links.portal import BatchLinuxNodeLink, BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._waiting import BatchLinuxPoolOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.core.nodes.addresses import AddressChoice
    from airflow_provider_batchlinux.core.nodes.requests import RunOnNodesRequest
    from airflow_provider_batchlinux.core.nodes.ssh_commands import CommandRecord
    from airflow_provider_batchlinux.core.users.user import UserRecord
    from airflow_provider_batchlinux.hooks._node_commands import NodeCommands

__all__ = ["BatchLinuxRunOnNodesOperator"]

_MARGIN = timedelta(minutes=15)
"""What the user lives longer than all commands may take: putting it there and taking it off."""

_FAILED_NODES = "failed_nodes"


class BatchLinuxRunOnNodesOperator(BatchLinuxPoolOperator["RunOnNodesRequest"]):
    """
    Run a command on nodes of a pool over SSH, on many concurrently.

    Use it to inspect nodes or to change something small on them: it takes no task slots and does not wait for
    running tasks. For work, use :class:`~airflow_provider_batchlinux.operators.task.BatchLinuxTaskOperator`.
    It needs the extra ``ssh`` and a route from the worker to the nodes, and occupies the worker until the
    commands have ended.

    .. code-block:: python

        BatchLinuxRunOnNodesOperator(
            task_id="disk", pool_id="etl", command="df -h /mnt", max_failed_nodes="5%"
        )

    A user with a unique name and a new key pair is entered into the pool's ledger, added to the nodes, and
    removed at the end, also if the task fails or is killed. The commands end with their connections: by
    SIGTERM, and five seconds later by SIGKILL. If the worker dies, they end as well, and the next try of the
    task removes the user.

    All nodes are tried. If more than ``max_failed_nodes`` fail, the task fails with their names.

    Result in XCom: ``pool_id`` and ``nodes``, a list with a record for each node: ``node_id``, ``outcome``
    (``succeeded``, ``failed``, ``timed_out``, ``unreachable``, ``not_admitted``, ``stopped``), ``exit_code``,
    ``stdout`` and ``stderr`` (their ends), ``seconds`` and ``error``. When the task fails, the records of the
    nodes that did are in the XCom ``failed_nodes``.

    .. seealso::
        ``docs/howto/give-access-to-nodes.md``.

    :param pool_id: the pool. (templated)
    :param command: what ``/bin/sh`` runs on each node, as the user, in its home, without input. (templated)
    :param node_ids: the nodes, whatever their state; ``None`` for those that are idle or running. (templated)
    :param states: only nodes in these states; ``None`` for nodes in any state, if ``node_ids`` are given.
        (templated)
    :param where: an OData filter on the list of nodes, such as ``"startTaskInfo/exitCode eq 7"``; ``None``
        for none. The service filters nodes by state, times and start task. (templated)
    :param timeout: how long each node gets for its login and the command, as a pendulum duration,
        ``timedelta`` or seconds. (templated)
    :param max_failed_nodes: how many nodes may fail, as a number or a share such as ``"5%"``. (templated)
    :param is_admin: give the user ``sudo``. (templated)
    :param address: ``"public"`` for the nodes' public addresses, ``"private"`` for those in the virtual
        network; ``None`` prefers the public ones. (templated)
    :param host_keys: ``"accept-new-for-this-run"`` takes the host key that a node shows, ``"refuse"`` those
        of the worker's known_hosts file; any other text is the content of such a file. (templated)
    :param output_limit: how many bytes of the end of stdout and of stderr to keep of each node. (templated)
    :param max_concurrency: on how many nodes the command runs concurrently at most. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    operator_extra_links = (BatchLinuxPoolPageLink(), BatchLinuxPoolLink(), BatchLinuxNodeLink())
    template_fields_renderers = {"command": "bash", "node_ids": "json", "states": "json"}  # noqa: RUF012
    ui_color = "#dff3e1"

    def __init__(
        self,
        *,
        pool_id: str,
        command: str,
        node_ids: list[str] | None = None,
        states: list[str] | None = None,
        where: str | None = None,
        timeout: Duration | str = timedelta(minutes=10),
        max_failed_nodes: int | str = 0,
        is_admin: bool | str = False,
        address: AddressChoice = None,
        host_keys: str = "accept-new-for-this-run",
        output_limit: int | str = 2048,
        max_concurrency: int | str = 16,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, **kwargs)
        self.command = command
        self.node_ids, self.states, self.where = node_ids, states, where
        self.timeout = timeout
        self.max_failed_nodes = max_failed_nodes
        self.is_admin = is_admin
        self.address: AddressChoice = address
        self.host_keys = host_keys
        self.output_limit = output_limit
        self.max_concurrency = max_concurrency
        self._commands: NodeCommands | None = None

    @classmethod
    def request_class(cls) -> type[RunOnNodesRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.nodes.requests import RunOnNodesRequest

        return RunOnNodesRequest

    def execute(self, context: Context) -> dict[str, Any]:
        """Add a user, run the command, remove the user, and return the records."""
        request = self.request
        # Fails before any request if the extra is not installed.
        from airflow_provider_batchlinux.hooks import node_ssh  # noqa: F401
        from airflow_provider_batchlinux.hooks._node_commands import NodeCommands
        from airflow_provider_batchlinux.hooks._ssh_connection import HostKeys, Login, private_key
        from airflow_provider_batchlinux.hooks._temporary_login import TemporaryLogin

        host_keys = HostKeys(request.host_keys)
        self.link_pool(context)
        with self.hook.session(self.account) as session:
            node_ids = session.run(self._chosen_nodes)
            rounds = math.ceil(len(node_ids) / request.max_concurrency)
            temporary = TemporaryLogin.with_generated_key(
                self.hook,
                request.pool_id,
                expires_at=datetime.now(timezone.utc) + timedelta(seconds=request.timeout * rounds) + _MARGIN,
                node_ids=node_ids,
                is_admin=request.is_admin,
                address=request.address,
                max_concurrency=request.max_concurrency,
                session=session,
            )
            key = private_key(temporary.private_key)
            login = Login(temporary.user.user.username, host_keys, key, {"timeout": 10})
            self._commands = commands = NodeCommands(
                login, request.command, request.timeout, request.output_limit
            )
            try:
                records = self._run(commands, temporary.add())
            finally:
                temporary.close()
        return self._result(context, records)

    def on_kill(self) -> None:
        """End the commands, so that ``execute`` continues immediately and removes the user."""
        if self._commands is not None:
            self._commands.stop()

    async def _chosen_nodes(self, client: BatchLinuxClient) -> list[str]:
        from airflow_provider_batchlinux.core.snapshots import counts_of

        choice = self.request.choice
        nodes = await client.list_nodes(self.request.pool_id, where=self.request.where)
        chosen = [*(node.node_id for node in choice.chosen(nodes)), *choice.missing(nodes)]
        if not chosen:
            counts = sorted(counts_of(nodes).items())
            found = ", ".join(f"{count} {state}" for state, count in counts) or "no nodes"
            pool = f"Pool {self.request.pool_id!r}"
            msg = f"{pool} has no node that was chosen to run the command on, but {found}."
            raise NodeCommandError(msg, failed=[])
        return chosen

    def _run(self, commands: NodeCommands, admitted: Sequence[UserRecord]) -> list[CommandRecord]:
        from airflow_provider_batchlinux.core.nodes.ssh_commands import CommandOutcome, CommandRecord
        from airflow_provider_batchlinux.hooks._node_commands import NodeAddress

        reached = [
            NodeAddress(record.node_id, record.address, record.port)
            for record in admitted
            if record.has_user and record.address is not None and record.port is not None
        ]
        left = {record.node_id: record for record in admitted}
        for node in reached:
            del left[node.node_id]
        refused = [
            CommandRecord(node_id, CommandOutcome.NOT_ADMITTED, error=_why_not(record))
            for node_id, record in left.items()
        ]
        return [*commands.run(reached, max_concurrency=self.request.max_concurrency), *refused]

    def _result(self, context: Context, records: Sequence[CommandRecord]) -> dict[str, Any]:
        from airflow_provider_batchlinux.core.counts import allowed_of
        from airflow_provider_batchlinux.core.nodes.ssh_commands import commands_summary, commands_table

        self.log.info("The command on pool %r:\n%s", self.request.pool_id, commands_table(records))
        failed = [record for record in records if record.is_failure]
        if not failed:
            return {"pool_id": self.request.pool_id, "nodes": [record.to_result() for record in records]}
        msg = (
            f"The command did not succeed on {len(failed)} of {len(records)} nodes of pool "
            f"{self.request.pool_id!r}: {commands_summary(records)}"
        )
        if len(failed) <= allowed_of(self.request.max_failed_nodes, len(records)):
            self.log.warning("%s\nmax_failed_nodes=%r allows that.", msg, self.request.max_failed_nodes)
            return {"pool_id": self.request.pool_id, "nodes": [record.to_result() for record in records]}
        ti: Any = context["ti"]
        ti.xcom_push(key=_FAILED_NODES, value=[record.to_result() for record in failed])
        exit_codes: Mapping[str, int | None] = {record.node_id: record.exit_code for record in failed}
        raise NodeCommandError(msg, failed=list(exit_codes), exit_codes=exit_codes)


def _why_not(record: UserRecord) -> str:
    if record.has_user:
        return "The node names no address to log in at."
    return record.error or f"The node is {record.state}, and takes no user."
