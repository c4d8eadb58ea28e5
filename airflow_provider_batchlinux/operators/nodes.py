"""Operators that reboot, reimage, deallocate and start nodes of a pool, and upload their logs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow_provider_batchlinux.core.instants import Duration
from airflow_provider_batchlinux.core.node_states import READY_STATES
from airflow_provider_batchlinux.exceptions import PoolNotReadyError
from airflow_provider_batchlinux.hooks._storage_connection import DEFAULT_STORAGE_CONN_ID, storage_access
from airflow_provider_batchlinux.links._base import persist_links
from airflow_provider_batchlinux.links.pool_page import BatchLinuxPoolPageLink
from airflow_provider_batchlinux.links.portal import BatchLinuxNodeLink, BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._base import BatchLinuxBaseOperator
from airflow_provider_batchlinux.operators._waiting import DEFAULT_DEFERRABLE, BatchLinuxWaitingOperator, Step
from airflow_provider_batchlinux.triggers.node_actions import BatchLinuxNodesActedTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.core.nodes.actions import NodeAction, NodeChoice
    from airflow_provider_batchlinux.core.nodes.requests import (
        InterruptingActionRequest,
        NodeActionRequest,
        UploadNodeLogsRequest,
    )
    from airflow_provider_batchlinux.core.pools.changes.resize import RunningTasks

    N = TypeVar("N", bound=NodeActionRequest)
else:
    N = TypeVar("N")

__all__ = [
    "BatchLinuxDeallocateNodesOperator",
    "BatchLinuxRebootNodesOperator",
    "BatchLinuxReimageNodesOperator",
    "BatchLinuxStartNodesOperator",
    "BatchLinuxUploadNodeLogsOperator",
]


def _nothing_selected(
    request: NodeActionRequest | UploadNodeLogsRequest, choice: NodeChoice, what: str
) -> str:
    """
    Return a warning that no node is selected.

    :raises PoolNotReadyError: the request does not allow that.
    """
    msg = f"Pool {request.pool_id!r} has no nodes {choice}, so there is nothing to {what}"
    if not request.allow_empty:
        msg += ". allow_empty=True lets that succeed."
        raise PoolNotReadyError(msg, pool_id=request.pool_id)
    return f"{msg}; allow_empty permits that."


class _NodesOperator(BatchLinuxWaitingOperator[N]):
    """The base of the operators here: send a request to the selected nodes, then wait until they are done."""

    operator_extra_links = (BatchLinuxPoolPageLink(), BatchLinuxPoolLink(), BatchLinuxNodeLink())
    template_fields_renderers = {"node_ids": "json", "states": "json"}  # noqa: RUF012  # as Airflow declares it
    limit_name = "timeout"
    action: ClassVar[NodeAction]
    selected_by_default: ClassVar[tuple[str, ...]] = (*READY_STATES, "starttaskfailed")

    def __init__(
        self,
        *,
        pool_id: str,
        node_ids: list[str] | None = None,
        states: list[str] | None = None,
        allow_empty: bool | str = False,
        wait: bool | str = True,
        timeout: Duration | str = timedelta(hours=1),
        poll_interval: Duration | str = timedelta(seconds=10),
        deferrable: bool | str = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, poll_interval=poll_interval, deferrable=deferrable, **kwargs)
        self.node_ids = node_ids
        self.states = states
        self.allow_empty = allow_empty
        self.wait = wait
        self.timeout = timeout

    async def submit(self, client: BatchLinuxClient, context: Context) -> Step:
        """Send the request to the selected nodes."""
        from airflow_provider_batchlinux.client.nodes.actions import act_on_nodes

        request = self.request
        choice = request.choice(self.selected_by_default)
        acted = await act_on_nodes(client, request.pool_id, self.action, choice, self.running_tasks_option())
        if not acted.node_ids:
            self.log.warning("%s", _nothing_selected(request, choice, self.action))
        if not request.wait or not acted.node_ids:
            return {"pool_id": request.pool_id, "done": len(acted.node_ids), "gone": 0}
        since = acted.since.isoformat() if acted.since else None
        return BatchLinuxNodesActedTrigger(
            action=self.action, node_ids=acted.node_ids, since=since, **self.trigger_arguments(context)
        )

    def running_tasks_option(self) -> RunningTasks:
        """Return what to do with tasks that run on the nodes."""
        return "requeue"


class _InterruptingOperator(_NodesOperator["InterruptingActionRequest"]):
    """The base of the operators that interrupt running tasks."""

    def __init__(
        self,
        *,
        pool_id: str,
        node_ids: list[str] | None = None,
        states: list[str] | None = None,
        running_tasks: RunningTasks = "requeue",
        allow_empty: bool | str = False,
        wait: bool | str = True,
        timeout: Duration | str = timedelta(hours=1),
        poll_interval: Duration | str = timedelta(seconds=10),
        deferrable: bool | str = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            pool_id=pool_id,
            node_ids=node_ids,
            states=states,
            allow_empty=allow_empty,
            wait=wait,
            timeout=timeout,
            poll_interval=poll_interval,
            deferrable=deferrable,
            **kwargs,
        )
        self.running_tasks = running_tasks

    @classmethod
    def request_class(cls) -> type[InterruptingActionRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.nodes.requests import InterruptingActionRequest

        return InterruptingActionRequest

    def running_tasks_option(self) -> RunningTasks:
        """Return what to do with tasks that run on the nodes."""
        return self.request.running_tasks


class BatchLinuxRebootNodesOperator(_InterruptingOperator):
    """
    Reboot nodes and wait until they are ready again.

    The nodes keep their files and users. The start task runs again, which often repairs a failed one.

    .. code-block:: python

        BatchLinuxRebootNodesOperator(
            task_id="reboot_failed", pool_id="etl", states=["starttaskfailed"], deferrable=True
        )

    If a node refuses, the task fails after the request was sent to all others, and names the node and the
    service's reason; likewise if a node breaks during boot. Nodes that leave the pool meanwhile or are
    preempted count as gone. If the pool does not exist or is deleted meanwhile, the task fails. A retry sends
    the request again.

    Result in XCom: ``pool_id``, and the numbers of nodes that are ``done`` and ``gone``.

    .. seealso::
        ``docs/howto/keep-an-account-tidy.md``.

    :param pool_id: the pool's id. (templated)
    :param node_ids: the nodes; ``None`` for all nodes that are idle, running, or whose start task failed. The
        log warns of nodes that do not exist. (templated)
    :param states: only nodes in these states, such as ``["starttaskfailed"]``; ``None`` for nodes in any
        state, if ``node_ids`` are given. (templated)
    :param running_tasks: what to do with tasks that run on the nodes: ``requeue`` runs them again elsewhere,
        ``terminate`` ends them, ``taskcompletion`` waits for them. (templated)
    :param allow_empty: succeed, with a warning, if no node is selected; ``False`` fails the task. (templated)
    :param wait: wait until all nodes are ready again. ``False`` returns when they have accepted the request.
        (templated)
    :param timeout: how long to wait at most, as a pendulum duration, ``timedelta`` or seconds. A time-out
        does not stop what the nodes do. (templated)
    :param poll_interval: the longest time between polls, as a pendulum duration, ``timedelta`` or seconds.
        (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    action = "reboot"


class BatchLinuxReimageNodesOperator(_InterruptingOperator):
    """
    Reinstall the operating system of nodes and wait until they are ready again.

    The nodes lose their files and users, and the start task runs on a clean machine.

    .. code-block:: python

        BatchLinuxReimageNodesOperator(
            task_id="reimage_failed", pool_id="etl", states=["starttaskfailed"], deferrable=True
        )

    Nodes that refuse, break or leave the pool are treated as by :class:`BatchLinuxRebootNodesOperator`.

    Result in XCom: ``pool_id``, and the numbers of nodes that are ``done`` and ``gone``.

    .. seealso::
        ``docs/howto/keep-an-account-tidy.md``.

    :param pool_id: the pool's id. (templated)
    :param node_ids: the nodes; ``None`` for all nodes that are idle, running, or whose start task failed. The
        log warns of nodes that do not exist. (templated)
    :param states: only nodes in these states, such as ``["starttaskfailed"]``; ``None`` for nodes in any
        state, if ``node_ids`` are given. (templated)
    :param running_tasks: what to do with tasks that run on the nodes: ``requeue`` runs them again elsewhere,
        ``terminate`` ends them, ``taskcompletion`` waits for them. (templated)
    :param allow_empty: succeed, with a warning, if no node is selected; ``False`` fails the task. (templated)
    :param wait: wait until all nodes are ready again. ``False`` returns when they have accepted the request.
        (templated)
    :param timeout: how long to wait at most, as a pendulum duration, ``timedelta`` or seconds. A time-out
        does not stop what the nodes do. (templated)
    :param poll_interval: the longest time between polls, as a pendulum duration, ``timedelta`` or seconds.
        (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    action = "reimage"


class BatchLinuxDeallocateNodesOperator(_InterruptingOperator):
    """
    Deallocate the machines of nodes, for example overnight, and keep the nodes in the pool.

    A deallocated node costs no compute; start it again with :class:`BatchLinuxStartNodesOperator`. An
    autoscale formula may change the pool's size meanwhile.

    .. code-block:: python

        BatchLinuxDeallocateNodesOperator(
            task_id="stop_overnight", pool_id="etl", running_tasks="taskcompletion"
        )

    Nodes that refuse, break or leave the pool are treated as by :class:`BatchLinuxRebootNodesOperator`.

    Result in XCom: ``pool_id``, and the numbers of nodes that are ``done`` and ``gone``.

    .. seealso::
        ``docs/howto/keep-an-account-tidy.md``.

    :param pool_id: the pool's id. (templated)
    :param node_ids: the nodes; ``None`` for all nodes that are idle, running, or whose start task failed. The
        log warns of nodes that do not exist. (templated)
    :param states: only nodes in these states, such as ``["starttaskfailed"]``; ``None`` for nodes in any
        state, if ``node_ids`` are given. (templated)
    :param running_tasks: what to do with tasks that run on the nodes: ``requeue`` runs them again elsewhere,
        ``terminate`` ends them, ``taskcompletion`` waits for them. (templated)
    :param allow_empty: succeed, with a warning, if no node is selected; ``False`` fails the task. (templated)
    :param wait: wait until all nodes are deallocated. ``False`` returns when they have accepted the request.
        (templated)
    :param timeout: how long to wait at most, as a pendulum duration, ``timedelta`` or seconds. A time-out
        does not stop what the nodes do. (templated)
    :param poll_interval: the longest time between polls, as a pendulum duration, ``timedelta`` or seconds.
        (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    action = "deallocate"


class BatchLinuxStartNodesOperator(_NodesOperator["NodeActionRequest"]):
    """
    Start deallocated nodes and wait until they are ready.

    .. code-block:: python

        BatchLinuxStartNodesOperator(
            task_id="start_in_the_morning", pool_id="etl", deferrable=True
        )

    Nodes that refuse, break or leave the pool are treated as by :class:`BatchLinuxRebootNodesOperator`.

    Result in XCom: ``pool_id``, and the numbers of nodes that are ``done`` and ``gone``.

    .. seealso::
        ``docs/howto/keep-an-account-tidy.md``.

    :param pool_id: the pool's id. (templated)
    :param node_ids: the nodes; ``None`` for all deallocated nodes. The log warns of nodes that do not exist.
        (templated)
    :param states: only nodes in these states, such as ``["deallocated"]``; ``None`` for nodes in any state,
        if ``node_ids`` are given. (templated)
    :param allow_empty: succeed, with a warning, if no node is selected; ``False`` fails the task. (templated)
    :param wait: wait until all nodes are ready. ``False`` returns when they have accepted the request.
        (templated)
    :param timeout: how long to wait at most, as a pendulum duration, ``timedelta`` or seconds. A time-out
        does not stop what the nodes do. (templated)
    :param poll_interval: the longest time between polls, as a pendulum duration, ``timedelta`` or seconds.
        (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    action = "start"
    selected_by_default = ("deallocated",)

    @classmethod
    def request_class(cls) -> type[NodeActionRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.nodes.requests import NodeActionRequest

        return NodeActionRequest


class BatchLinuxUploadNodeLogsOperator(BatchLinuxBaseOperator["UploadNodeLogsRequest"]):
    """
    Upload the logs of node agents to a container of Azure Storage, for a support request.

    The service serves these logs in no other way. The nodes upload them after the task has ended; a node that
    is deleted before that uploads no more.

    .. code-block:: python

        BatchLinuxUploadNodeLogsOperator(
            task_id="upload_logs", pool_id="etl", container="abfs://logs", trigger_rule="one_failed"
        )

    The task fails if the container does not exist, except where only a SAS or an identity of the pool leads
    to it: then nothing can be asked. If a node refuses, the task fails after all other nodes were asked, and
    names the node and the service's reason.

    Result in XCom: for each node ``node_id``, ``directory`` (in the container, chosen by the service) and
    ``files``, the number of files.

    .. seealso::
        ``docs/howto/use-the-command-line.md``.

    :param pool_id: the pool's id. (templated)
    :param container: the container, such as ``abfs://logs`` or a URL with a SAS. (templated)
    :param node_ids: the nodes; ``None`` for all that are unusable or whose start task failed. The log warns
        of nodes that do not exist. (templated)
    :param states: only nodes in these states; ``None`` for nodes in any state, if ``node_ids`` are given.
        (templated)
    :param since: the age of the oldest entries, as a pendulum duration, ``timedelta`` or seconds. (templated)
    :param allow_empty: succeed, with a warning, if no node is selected; ``False`` fails the task. (templated)
    :param storage_conn_id: the connection to the storage account, of type ``wasb`` or ``adls``. (templated)
    :param storage_identity: the ARM id of a managed identity of the pool that the nodes use instead of a SAS;
        ``None`` for a SAS. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    operator_extra_links = (BatchLinuxPoolPageLink(), BatchLinuxPoolLink(), BatchLinuxNodeLink())
    template_fields_renderers = {"node_ids": "json", "states": "json"}  # noqa: RUF012  # as Airflow declares it

    def __init__(
        self,
        *,
        pool_id: str,
        container: str,
        node_ids: list[str] | None = None,
        states: list[str] | None = None,
        since: Duration | str = timedelta(hours=24),
        allow_empty: bool | str = False,
        storage_conn_id: str = DEFAULT_STORAGE_CONN_ID,
        storage_identity: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_id = pool_id
        self.container = container
        self.node_ids = node_ids
        self.states = states
        self.since = since
        self.allow_empty = allow_empty
        self.storage_conn_id = storage_conn_id
        self.storage_identity = storage_identity

    @classmethod
    def request_class(cls) -> type[UploadNodeLogsRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.nodes.requests import UploadNodeLogsRequest

        return UploadNodeLogsRequest

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Send the request to the selected nodes."""
        from airflow_provider_batchlinux.client.nodes.logs import upload_logs

        request, storage = self.request, storage_access()
        choice, logs = request.choice, request.logs
        persist_links(self, context, self.account, request.pool_id)
        uploaded = self.hook.run(
            lambda client: upload_logs(client, storage, request.pool_id, choice, logs), settings=self.account
        )
        if not uploaded:
            self.log.warning("%s", _nothing_selected(request, choice, "upload"))
        return [one.to_dict() for one in uploaded]
