"""Takes nodes out of work once their tasks are dealt with as was asked; knows no HTTP."""

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
    "deallocate": lambda lifecycle, node: lifecycle.enter(node, "deallocating"),
}
_WAITS_FOR_TASKS = frozenset({"taskcompletion", "retaineddata"})


@dataclass
class NodeActions:
    """
    Reboot, reimage and deallocate nodes, immediately or when their tasks have ended.

    :param terminate_tasks: completes the tasks that run on a node, as if their user had asked for it.
    """

    store: Store
    clock: Clock
    lifecycle: NodeLifecycle
    terminate_tasks: Callable[[Node], None]

    def take(self, node: Node, option: str, action: str) -> None:
        """
        Let something happen to a node; it takes the place of what still waits there.

        Nothing is emulated of how long the data of tasks is retained: ``retaineddata`` is like
        ``taskcompletion``.

        :param option: what becomes of the node's tasks, in the service's words.
        :param action: ``reboot``, ``reimage`` or ``deallocate``; it ends all that runs on the node, and those
            tasks wait for another one.
        """
        if option in _WAITS_FOR_TASKS and node.running_tasks:
            # One that is leaving goes all the same.
            self.store.change_node(
                node, after_tasks=node.after_tasks if node.after_tasks == "leave" else action
            )
            return
        if option == "terminate":
            self.terminate_tasks(node)
        self._act(node, action)

    def node_freed(self, node: Node) -> None:
        """Let happen what waited for the last task of a node; not before what ended that is over."""
        if node.after_tasks in _ACTIONS:
            self.clock.call_later(0, lambda: self._act_if_usable(node))

    def resume(self, node: Node) -> None:
        """Let a node go on after the service was away: what waited for its tasks waits no more."""
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
            # It was lost meanwhile, and its tasks with it.
            self.store.change_node(current, after_tasks=None)

    def _act(self, node: Node, action: str) -> None:
        current = self.store.change_node(node, after_tasks=None)
        if current is not None:
            _ACTIONS[action](self.lifecycle, current)
