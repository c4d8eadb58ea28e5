"""Takes spot nodes away and gives them back under their ids, as Azure has room; knows no HTTP."""

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
    """How many nodes of each kind Azure has for the account; ``None`` means enough."""

    store: Store
    dedicated: int | None = None
    spot: int | None = None

    def left(self, *, is_dedicated: bool) -> int | None:
        """Return how many more machines can be had, below zero if some are to go; ``None``: enough."""
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
    Preempts spot nodes, by chance and when capacity goes down, and brings them back.

    A node that is preempted stays in its pool and counts for its size. When Azure has room again it
    boots under its id as a fresh machine; how long that takes is not documented.
    """

    store: Store
    clock: Clock
    delays: Delays
    fault_injector: FaultInjector
    lifecycle: NodeLifecycle
    capacity: Capacity

    def node_usable(self, node: Node) -> None:
        """Decide by chance whether a spot node that has booted is taken away, and when."""
        if not node.is_dedicated and self.fault_injector.should_fail("preempted", node.id, node.boots):
            delay = self.delays.of("spot_life", node.id, node.boots)
            self.clock.call_later(delay, lambda: self._take(node))

    def preemptible(self, pool_id: str) -> list[Node]:
        """Return the spot nodes of a pool that have a machine, those that came first at the front."""
        nodes = [node for node in self.store.nodes(pool_id) if not node.is_dedicated]
        return sorted(
            (node for node in nodes if NODE_STATES[node.state].has_machine), key=lambda node: node.number
        )

    def preempt(self, nodes: Iterable[Node]) -> None:
        """Take nodes away; they come back after a while if there is room for them."""
        for node in nodes:
            self._await_return(self.lifecycle.enter(node, "preempted"))

    def fit(self) -> None:
        """Take as many nodes away as capacity lacks, the newest first, or bring back those that are away."""
        left = self.capacity.left(is_dedicated=False)
        if left is None or left >= 0:
            self.bring_back()
            return
        held = [node for node in self._spot_nodes() if NODE_STATES[node.state].has_machine]
        newest = sorted(held, key=lambda node: (node.allocated, node.number), reverse=True)
        self.preempt(newest[:-left])

    def capacity_freed(self) -> None:
        """Bring back nodes that capacity kept away, now that others have gone."""
        if self.capacity.spot is not None:
            self.bring_back()

    def bring_back(self) -> None:
        """Let those nodes return that were preempted and that there is room for."""
        for node in self._spot_nodes():
            if node.state == "preempted":
                self._await_return(node)

    def _spot_nodes(self) -> list[Node]:
        nodes = (node for pool in self.store.pools for node in self.store.nodes(pool.id))
        return [node for node in nodes if not node.is_dedicated]

    def _take(self, node: Node) -> None:
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
