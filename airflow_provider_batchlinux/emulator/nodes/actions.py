"""Reboot, reimage and deallocate nodes, also when their tasks have ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from airflow_provider_batchlinux.emulator.nodes.lifecycle import NodeLifecycle
from airflow_provider_batchlinux.emulator.simulation.clock import Clock
from airflow_provider_batchlinux.emulator.state.records import USABLE_NODE_STATES, Node
from airflow_provider_batchlinux.emulator.state.store import Store

_ACTIONS: Mapping[str, Callable[[NodeLifecycle, Node], object]] = {
    "reboot": lambda lifecycle, node: lifecycle.enter(node, "rebooting"),
    "reimage": lambda lifecycle, node: lifecycle.reimage(node),
    "deallocate": lambda lifecycle, node: lifecycle.deallocate(node),
}
_WAITS_FOR_TASKS = frozenset({"taskcompletion", "retaineddata"})


@dataclass
class NodeActions:
    """
    Reboot, reimage and deallocate nodes, immediately or when their tasks have ended.

    :param terminate_tasks: terminates the tasks on a node.
    """

    store: Store
    clock: Clock
    lifecycle: NodeLifecycle
    terminate_tasks: Callable[[Node], None]

    def take(self, node: Node, option: str, action: str) -> None:
        """
        Perform an action on a node, or schedule it in place of one that is waiting.

        The retention time of task data is not emulated: ``retaineddata`` is treated like ``taskcompletion``.

        :param option: the option of the request, which applies to the node's tasks.
        :param action: ``reboot``, ``reimage`` or ``deallocate``. It stops all programs on the node; its
            tasks are requeued.
        """
        if option in _WAITS_FOR_TASKS and node.running_tasks:
            # A node that leaves its pool is removed instead.
            self.store.change_node(
                node, after_tasks=node.after_tasks if node.after_tasks == "leave" else action
            )
            return
        if option == "terminate":
            self.terminate_tasks(node)
        self._act(node, action)

    def node_freed(self, node: Node) -> None:
        """Perform the action that was waiting for the last task of a node."""
        if node.after_tasks in _ACTIONS:
            # Later: the task that has just ended must be completed first.
            self.clock.call_later(0, lambda: self._act_if_usable(node))

    def resume(self, node: Node) -> None:
        """Resume a node after a restart: no task is running, so a waiting action is performed."""
        action = node.after_tasks
        if action is not None and action in _ACTIONS:
            self._act(node, action)
        else:
            self.lifecycle.resume(node)

    def _act_if_usable(self, node: Node) -> None:
        current = self.store.nodes(node.pool_id).get(node.id)
        action = None if current is None else current.after_tasks
        if current is None or action is None or action not in _ACTIONS:
            return
        if current.state in USABLE_NODE_STATES:
            self._act(current, action)
        else:
            # The node has failed, and its tasks have been requeued.
            self.store.change_node(current, after_tasks=None)

    def _act(self, node: Node, action: str) -> None:
        current = self.store.change_node(node, after_tasks=None)
        if current is not None:
            _ACTIONS[action](self.lifecycle, current)
