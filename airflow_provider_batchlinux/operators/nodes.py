"""Operators that reboot, reimage, give back and start nodes of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_batchlinux.core.instants import Duration
from airflow_provider_batchlinux.core.node_states import READY_STATES
from airflow_provider_batchlinux.operators._waiting import DEFAULT_DEFERRABLE, BatchLinuxWaitingOperator, Step
from airflow_provider_batchlinux.triggers.node_actions import BatchLinuxNodesActedTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.core.nodes.actions import NodeAction

__all__ = [
    "BatchLinuxDeallocateNodesOperator",
    "BatchLinuxRebootNodesOperator",
    "BatchLinuxReimageNodesOperator",
    "BatchLinuxStartNodesOperator",
]


class _NodesOperator(BatchLinuxWaitingOperator):
    """The base of the operators here: ask the chosen nodes, then wait until they came through it."""

    template_fields: Sequence[str] = (*BatchLinuxWaitingOperator.template_fields, "node_ids", "states")
    action: ClassVar[NodeAction]
    chosen_by_default: ClassVar[Sequence[str]] = (*READY_STATES, "starttaskfailed")
    running_tasks = "requeue"

    def __init__(
        self,
        *,
        pool_id: str,
        node_ids: list[str] | None = None,
        states: list[str] | None = None,
        wait: bool = True,
        timeout: Duration = timedelta(hours=1),
        poll_interval: Duration = timedelta(seconds=10),
        deferrable: bool = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, **kwargs)
        self.wait, self.deferrable = wait, deferrable
        self.timeout, self.poll_interval = timeout, poll_interval
        self.node_ids, self.states = node_ids, states

    def problems(self) -> list[str]:
        """List all that is wrong with the arguments."""
        from airflow_provider_batchlinux.core.nodes.actions import problems_of

        return [*super().problems(), *problems_of(self.action, self.running_tasks)]

    async def submit(self, client: BatchLinuxClient, context: Context) -> Step:
        """Send the request to the selected nodes."""
        from airflow_provider_batchlinux.client.nodes.actions import act_on_nodes
        from airflow_provider_batchlinux.core.nodes.actions import NodeChoice

        arguments = self.trigger_arguments(context)
        by_default = self.chosen_by_default if self.node_ids is None else None
        choice = NodeChoice(self.node_ids, self.states or by_default)
        acted = await act_on_nodes(client, self.pool_id, self.action, choice, self.running_tasks)
        if not self.wait or not acted.node_ids:
            return {"pool_id": self.pool_id, "done": len(acted.node_ids), "gone": 0}
        since = acted.since.isoformat() if acted.since else None
        return BatchLinuxNodesActedTrigger(
            action=self.action, node_ids=acted.node_ids, since=since, **arguments
        )


class _InterruptingOperator(_NodesOperator):
    """The base of those that take nodes from their work."""

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
        deferrable: bool = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, node_ids=node_ids, states=states, **kwargs)
        self.running_tasks = running_tasks
        self.wait, self.deferrable = wait, deferrable
        self.timeout, self.poll_interval = timeout, poll_interval


class BatchLinuxRebootNodesOperator(_InterruptingOperator):
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


class BatchLinuxReimageNodesOperator(_InterruptingOperator):
    """
    Install nodes anew and wait until they are ready again.

    Their files and users go, and their start task runs on a fresh machine.

    Refusals, and nodes that break or go meanwhile, are as with :class:`BatchLinuxRebootNodesOperator`.

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


class BatchLinuxDeallocateNodesOperator(_InterruptingOperator):
    """
    Give the machines of nodes back, overnight say, and keep the nodes.

    A deallocated node keeps its place in the pool and costs no compute; start it again with
    :class:`BatchLinuxStartNodesOperator`. A formula may change the pool's size meanwhile.

    Refusals, and nodes that break or go meanwhile, are as with :class:`BatchLinuxRebootNodesOperator`.

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

    Refusals, and nodes that break or go meanwhile, are as with :class:`BatchLinuxRebootNodesOperator`.

    Result in XCom: ``pool_id``, ``done`` and ``gone``, numbers of nodes.

    :param pool_id: the pool's id. (templated)
    :param node_ids: the nodes; ``None`` for all that are deallocated. One that is not there is warned of.
        (templated)
    :param states: only nodes in these states, such as ``["starttaskfailed"]``; ``None`` for whichever,
        where ``node_ids`` are given. (templated)
    :param wait: go on until all nodes are ready. ``False`` returns as soon as they took the request.
    :param timeout: how long to wait at most, as a pendulum duration, ``timedelta`` or seconds. The nodes go
        on also after that.
    :param poll_interval: how long between two looks, as a pendulum duration, ``timedelta`` or seconds.
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    action = "start"
    chosen_by_default = ("deallocated",)
