"""Operators that reboot, reimage, give back and start nodes of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_batchlinux.core.ids import require_id
from airflow_provider_batchlinux.core.instants import Duration, seconds_of
from airflow_provider_batchlinux.links.portal import BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._base import (
    BatchLinuxBaseOperator,
    deadline_of,
    defer_to,
    result_of,
)
from airflow_provider_batchlinux.triggers.node_actions import BatchLinuxNodesActedTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.node_actions import ActedNodes
    from airflow_provider_batchlinux.core.node_actions import NodeAction

__all__ = [
    "BatchLinuxDeallocateNodesOperator",
    "BatchLinuxRebootNodesOperator",
    "BatchLinuxReimageNodesOperator",
    "BatchLinuxStartNodesOperator",
]


class _NodesOperator(BatchLinuxBaseOperator):
    """The base of the operators here: ask the chosen nodes, then wait until they came through it."""

    template_fields: Sequence[str] = (
        *BatchLinuxBaseOperator.template_fields,
        "pool_id",
        "node_ids",
        "states",
    )
    operator_extra_links = (BatchLinuxPoolLink(),)
    ui_color = "#d8ecf3"
    action: ClassVar[NodeAction]
    chosen_by_default: ClassVar[Sequence[str]] = ("idle", "running", "starttaskfailed")

    def __init__(
        self,
        *,
        pool_id: str,
        node_ids: list[str] | None = None,
        states: list[str] | None = None,
        running_tasks: str = "requeue",
        wait: bool = True,
        timeout: Duration = timedelta(hours=1),
        poll_interval: Duration = timedelta(seconds=10),
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_id = pool_id
        self.node_ids, self.states = node_ids, states
        self.running_tasks = running_tasks
        self.wait = wait
        self.timeout = timeout
        self.poll_interval = poll_interval
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask the nodes, and wait until they came through it where that is wanted."""
        self._check()
        BatchLinuxPoolLink.persist(context, self.hook.settings(), self.pool_id)
        acted, result = self.hook.run(lambda client: self._act(client, context))
        if result is None:
            defer_to(self, self._trigger(context, acted))
        return result

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Take the trigger's event as the result, or raise what it reports."""
        return result_of(event)

    def _check(self) -> None:
        from airflow_provider_batchlinux.core.node_actions import problems_of

        require_id("pool_id", self.pool_id)
        if problems := problems_of(self.action, self.running_tasks):
            raise ValueError("\n".join(problems))

    async def _act(
        self, client: BatchLinuxClient, context: Context
    ) -> tuple[ActedNodes, dict[str, Any] | None]:
        from airflow_provider_batchlinux.client.node_actions import act_on_nodes
        from airflow_provider_batchlinux.core.node_actions import NodeChoice

        by_default = self.chosen_by_default if self.node_ids is None else None
        choice = NodeChoice(self.node_ids, self.states or by_default)
        acted = await act_on_nodes(client, self.pool_id, self.action, choice, self.running_tasks)
        if not self.wait or not acted.node_ids:
            return acted, {"pool_id": self.pool_id, "done": len(acted.node_ids), "gone": 0}
        return acted, await self._trigger(context, acted).settle(client, block=not self.deferrable)

    def _trigger(self, context: Context, acted: ActedNodes) -> BatchLinuxNodesActedTrigger:
        return BatchLinuxNodesActedTrigger(
            pool_id=self.pool_id,
            action=self.action,
            node_ids=acted.node_ids,
            since=acted.since.isoformat() if acted.since else None,
            batch_linux_conn_id=self.batch_linux_conn_id,
            poll_interval=seconds_of("poll_interval", self.poll_interval),
            deadline=deadline_of(context, timedelta(seconds=seconds_of("timeout", self.timeout))),
        )


class BatchLinuxRebootNodesOperator(_NodesOperator):
    """
    Reboot nodes and wait until they are ready again.

    Their files and users stay, and their start task runs again: this often mends a failed one.

    A node that refuses fails the task with its name and the service's reason, after all others took the
    request; so does one that breaks at boot. Nodes that leave the pool meanwhile, or are preempted, are
    counted as gone. A pool that is gone, or is being deleted, fails the task, also while it waits. A retry
    asks again.

    Result in XCom: ``pool_id``, ``done`` and ``gone``, numbers of nodes.

    :param pool_id: the pool's id. (templated)
    :param node_ids: the nodes; ``None`` for all that are idle, running or failed at their start task. One
        that is not there is warned of. (templated)
    :param states: only nodes in these states, such as ``["starttaskfailed"]``; ``None`` for whichever,
        where ``node_ids`` are given. (templated)
    :param running_tasks: what becomes of tasks that run on them: ``requeue`` runs them again elsewhere,
        ``terminate`` ends them, ``taskcompletion`` waits for them.
    :param wait: go on until all nodes are ready again. ``False`` returns as soon as they took the
        request.
    :param timeout: how long to wait at most, as a pendulum duration, ``timedelta`` or seconds. The nodes go
        on also after that.
    :param poll_interval: how long between two looks, as a pendulum duration, ``timedelta`` or seconds.
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    action = "reboot"


class BatchLinuxReimageNodesOperator(_NodesOperator):
    """
    Install nodes anew and wait until they are ready again.

    Their files and users go, and their start task runs on a fresh machine.

    A node that refuses fails the task with its name and the service's reason, after all others took the
    request; so does one that breaks at boot. Nodes that leave the pool meanwhile, or are preempted, are
    counted as gone. A pool that is gone, or is being deleted, fails the task, also while it waits. A retry
    asks again.

    Result in XCom: ``pool_id``, ``done`` and ``gone``, numbers of nodes.

    :param pool_id: the pool's id. (templated)
    :param node_ids: the nodes; ``None`` for all that are idle, running or failed at their start task. One
        that is not there is warned of. (templated)
    :param states: only nodes in these states, such as ``["starttaskfailed"]``; ``None`` for whichever,
        where ``node_ids`` are given. (templated)
    :param running_tasks: what becomes of tasks that run on them: ``requeue`` runs them again elsewhere,
        ``terminate`` ends them, ``taskcompletion`` waits for them.
    :param wait: go on until all nodes are ready again. ``False`` returns as soon as they took the
        request.
    :param timeout: how long to wait at most, as a pendulum duration, ``timedelta`` or seconds. The nodes go
        on also after that.
    :param poll_interval: how long between two looks, as a pendulum duration, ``timedelta`` or seconds.
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    action = "reimage"


class BatchLinuxDeallocateNodesOperator(_NodesOperator):
    """
    Give the machines of nodes back, overnight say, and keep the nodes.

    A deallocated node keeps its place in the pool and costs no compute; start it again with
    :class:`BatchLinuxStartNodesOperator`. A formula may change the pool's size meanwhile.

    A node that refuses fails the task with its name and the service's reason, after all others took the
    request; so does one that becomes unusable. Nodes that leave the pool meanwhile, or are preempted, are
    counted as gone. A pool that is gone, or is being deleted, fails the task, also while it waits. A retry
    asks again.

    Result in XCom: ``pool_id``, ``done`` and ``gone``, numbers of nodes.

    :param pool_id: the pool's id. (templated)
    :param node_ids: the nodes; ``None`` for all that are idle, running or failed at their start task. One
        that is not there is warned of. (templated)
    :param states: only nodes in these states, such as ``["starttaskfailed"]``; ``None`` for whichever,
        where ``node_ids`` are given. (templated)
    :param running_tasks: what becomes of tasks that run on them: ``requeue`` runs them again elsewhere,
        ``terminate`` ends them, ``taskcompletion`` waits for them.
    :param wait: go on until all nodes are deallocated. ``False`` returns as soon as they took the
        request.
    :param timeout: how long to wait at most, as a pendulum duration, ``timedelta`` or seconds. The nodes go
        on also after that.
    :param poll_interval: how long between two looks, as a pendulum duration, ``timedelta`` or seconds.
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    action = "deallocate"


class BatchLinuxStartNodesOperator(_NodesOperator):
    """
    Start nodes that were deallocated, and wait until they are ready.

    A node that refuses fails the task with its name and the service's reason, after all others took the
    request; so does one that breaks at boot. Nodes that leave the pool meanwhile, or are preempted, are
    counted as gone. A pool that is gone, or is being deleted, fails the task, also while it waits. A retry
    asks again.

    Result in XCom: ``pool_id``, ``done`` and ``gone``, numbers of nodes.

    :param pool_id: the pool's id. (templated)
    :param node_ids: the nodes; ``None`` for all that are deallocated. One that is not there is warned of.
        (templated)
    :param states: only nodes in these states, such as ``["starttaskfailed"]``; ``None`` for whichever,
        where ``node_ids`` are given. (templated)
    :param running_tasks: what becomes of tasks that run on them: ``requeue`` runs them again elsewhere,
        ``terminate`` ends them, ``taskcompletion`` waits for them. Of no effect here: a
        deallocated node runs none.
    :param wait: go on until all nodes are ready. ``False`` returns as soon as they took the
        request.
    :param timeout: how long to wait at most, as a pendulum duration, ``timedelta`` or seconds. The nodes go
        on also after that.
    :param poll_interval: how long between two looks, as a pendulum duration, ``timedelta`` or seconds.
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    action = "start"
    chosen_by_default = ("deallocated",)
