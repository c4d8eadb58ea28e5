"""Takes nodes out of work once their tasks are dealt with as was asked; knows no HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_batchlinux.emulator.clock import Clock
from airflow_provider_batchlinux.emulator.records import USABLE_NODE_STATES, Node
from airflow_provider_batchlinux.emulator.scheduler import TaskScheduler
from airflow_provider_batchlinux.emulator.store import Store

__all__ = ["Action", "NodeActions"]

Action = Callable[[Node], object]

_PATIENT = frozenset({"taskcompletion", "retaineddata"})


@dataclass
class NodeActions:
    """Reboots, reimages and deallocations, and those of them that wait for tasks to end."""

    store: Store
    clock: Clock
    scheduler: TaskScheduler
    _waiting: dict[str, Action] = field(default_factory=dict)

    def take(self, node: Node, option: str, action: Action) -> None:
        """
        Let something happen to a node; it takes the place of what still waits there.

        Nothing is emulated of how long the data of tasks is retained: ``retaineddata`` is like
        ``taskcompletion``.

        :param option: what becomes of the node's tasks, in the service's words.
        :param action: ends all that runs on the node; those tasks wait for another one.
        """
        self._waiting[node.id] = action
        if option in _PATIENT and node.running_tasks:
            self.store.change_node(node, is_draining=True)
            return
        if option == "terminate":
            self.scheduler.end_all_on(node)
        self._act(node)

    def node_freed(self, node: Node) -> None:
        """Let happen what waited for the last task of a node; not before what ended that is over."""
        if node.id in self._waiting:
            self.clock.call_later(0, lambda: self._act_if_usable(node))

    def _act_if_usable(self, node: Node) -> None:
        current = self.store.nodes(node.pool_id).get(node.id)
        if current is None or current.state not in USABLE_NODE_STATES:
            # It was lost meanwhile, and its tasks with it.
            self._waiting.pop(node.id, None)
        self._act(node)

    def _act(self, node: Node) -> None:
        action = self._waiting.pop(node.id, None)
        current = self.store.change_node(node, is_draining=False)
        if action is not None and current is not None:
            action(current)
