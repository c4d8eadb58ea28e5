"""Preemption and return of Spot nodes, and the capacity of Azure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_batchlinux.emulator.nodes.lifecycle import NodeLifecycle
from airflow_provider_batchlinux.emulator.simulation.clock import Clock
from airflow_provider_batchlinux.emulator.simulation.fault_rates import FaultInjector
from airflow_provider_batchlinux.emulator.simulation.lifecycle import NODE_STATES, Delays
from airflow_provider_batchlinux.emulator.state.records import Node
from airflow_provider_batchlinux.emulator.state.store import Store


@dataclass
class Capacity:
    """The capacity of Azure for the account, in nodes; ``None`` means unlimited."""

    store: Store
    dedicated: int | None = None
    spot: int | None = None

    def left(self, *, is_dedicated: bool) -> int | None:
        """Return the free capacity, negative if nodes must be preempted; ``None`` means unlimited."""
        limit = self.dedicated if is_dedicated else self.spot
        return None if limit is None else limit - self._held(is_dedicated)

    def _held(self, is_dedicated: bool) -> int:
        counts = [self.store.nodes(pool.id).counts for pool in self.store.pools]
        return sum(
            number
            for count in counts
            for (kind, state), number in count.items()
            if kind == is_dedicated and NODE_STATES[state].has_machine
        )


@dataclass
class SpotMarket:
    """
    Preempts Spot nodes, at random and when capacity shrinks, and restores them.

    A preempted node stays in its pool and counts in its size. When capacity is available, it boots as a new
    machine with the same id. How long that takes is not documented.
    """

    store: Store
    clock: Clock
    delays: Delays
    fault_injector: FaultInjector
    lifecycle: NodeLifecycle
    capacity: Capacity

    def node_usable(self, node: Node) -> None:
        """Decide at random whether and when a Spot node that has booted is preempted."""
        if not node.is_dedicated and self.fault_injector.should_fail("preempted", node.id, node.boots):
            delay = self.delays.of("spot_life", node.id, node.boots)
            self.clock.call_later(delay, lambda: self._preempt_one(node))

    def preemptible(self, pool_id: str) -> list[Node]:
        """Return the Spot nodes of a pool that have a machine, the oldest first."""
        nodes = [node for node in self.store.nodes(pool_id) if not node.is_dedicated]
        return sorted(
            (node for node in nodes if NODE_STATES[node.state].has_machine), key=lambda node: node.number
        )

    def preempt(self, nodes: Iterable[Node]) -> None:
        """Preempt nodes. They return after a delay, if there is capacity."""
        for node in nodes:
            self._await_return(self.lifecycle.enter(node, "preempted"))

    def fit(self) -> None:
        """Preempt the newest nodes while capacity is exceeded; otherwise restore preempted nodes."""
        left = self.capacity.left(is_dedicated=False)
        if left is None or left >= 0:
            self.restore_preempted()
            return
        held = [node for node in self._spot_nodes() if NODE_STATES[node.state].has_machine]
        newest = sorted(held, key=lambda node: (node.allocated, node.number), reverse=True)
        self.preempt(newest[:-left])

    def capacity_freed(self) -> None:
        """Restore preempted nodes after others were removed."""
        if self.capacity.spot is not None:
            self.restore_preempted()

    def restore_preempted(self) -> None:
        """Restore preempted nodes for which there is capacity."""
        for node in self._spot_nodes():
            if node.state == "preempted":
                self._await_return(node)

    def _spot_nodes(self) -> list[Node]:
        nodes = (node for pool in self.store.pools for node in self.store.nodes(pool.id))
        return [node for node in nodes if not node.is_dedicated]

    def _preempt_one(self, node: Node) -> None:
        current = self.store.nodes(node.pool_id).get(node.id)
        if current is not None and current.boots == node.boots and NODE_STATES[current.state].has_machine:
            self.preempt([current])

    def _await_return(self, node: Node) -> None:
        delay = self.delays.of("preempted", node.id, node.boots)
        self.clock.call_later(delay, lambda: self._return(node, node.state_since))

    def _return(self, node: Node, taken: datetime) -> None:
        current = self.store.nodes(node.pool_id).get(node.id)
        if current is None or current.state != "preempted" or current.state_since != taken:
            return
        left = self.capacity.left(is_dedicated=False)
        if left is None or left > 0:
            self.lifecycle.enter(current, "creating")
