"""Chooses nodes for tasks by their free slots."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Generic, NamedTuple, TypeVar

Key = TypeVar("Key")


class NodeRoom(NamedTuple):
    """The free slots of a node that accepts tasks."""

    id: str
    slots: int
    free: int
    is_dedicated: bool = True


@dataclass(frozen=True)
class Need:
    """
    The requirements of a task.

    :param slots: number of slots on each of its nodes.
    :param nodes: number of nodes.
    :param is_whole: whether no other task may run on its nodes.
    :param is_dedicated: whether it requires dedicated nodes.
    :param preferred: id of the preferred node; ``None`` for no preference.
    """

    slots: int = 1
    nodes: int = 1
    is_whole: bool = False
    is_dedicated: bool = False
    preferred: str | None = None


_PLAIN = Need()


@dataclass(frozen=True)
class Occupant(Generic[Key]):
    """A running task that can be preempted. The lowest rank is preempted first."""

    key: Key
    node_id: str
    slots: int
    rank: int


@dataclass(frozen=True)
class Preemption(Generic[Key]):
    """The tasks to preempt, and the nodes that have room after that."""

    keys: Sequence[Key]
    node_ids: Sequence[str]


class Room:
    """
    The free slots of a pool while tasks are placed, one after the other.

    :param nodes: all nodes that accept tasks, also full ones. Of equal nodes the first is chosen.
    :param is_packed: whether nodes are filled one by one instead of evenly.
    """

    def __init__(self, nodes: Iterable[NodeRoom], *, is_packed: bool = False) -> None:
        self._nodes = {node.id: node for node in nodes}
        self._free = {node.id: node.free for node in self._nodes.values() if node.free}
        self._is_alike = all(node.slots == 1 for node in self._nodes.values())
        self._direction = 1 if is_packed else -1
        self._best: Callable[..., str] = min if is_packed else max
        self.is_plain = True
        """Whether no node is reserved, and no task preempted: then it holds for the next round, too."""

    @property
    def is_full(self) -> bool:
        """Whether no slot is free."""
        return not self._free

    def choose(self, need: Need, excluded: Collection[str] = ()) -> Sequence[str] | None:
        """
        Return the nodes for a task; ``None`` if too few have room.

        :param excluded: ids of nodes on which it must not run.
        """
        if self._is_alike and self._free and need == _PLAIN and not excluded:
            # Large pools often are so: any free node is as good as the others.
            return [next(iter(self._free))]
        fit = self._fit(need, excluded)
        if len(fit) < need.nodes:
            return None
        if need.nodes > 1:
            return nsmallest(need.nodes, fit, key=lambda node_id: self._direction * self._free[node_id])
        if need.preferred in fit:
            return [need.preferred]
        return [self._best(fit, key=self._free.__getitem__)]

    def take(self, need: Need, node_ids: Iterable[str]) -> None:
        """Occupy the slots of a task on its nodes."""
        for node_id in node_ids:
            self._free[node_id] -= self._wanted(node_id, need)
            if not self._free[node_id]:
                del self._free[node_id]

    def release(self, node_id: str, free: int) -> None:
        """Set the free slots of a node on which a task has ended; it is the last of equal ones then."""
        if node_id in self._nodes and free:
            self._free[node_id] = free

    def reserve(self, need: Need, excluded: Collection[str] = ()) -> None:
        """
        Reserve nodes for a task that waits for several nodes, or for a whole one.

        Otherwise smaller tasks would take every slot that becomes free. A task that can never run in this
        pool reserves nothing.
        """
        if need.nodes == 1 and not need.is_whole:
            return
        suited = [node_id for node_id in self._nodes if self._suits(node_id, need, excluded)]
        if len(suited) < need.nodes:
            return
        self.is_plain = False
        for node_id in nsmallest(need.nodes, suited, key=lambda node_id: -self._free.get(node_id, 0)):
            del self._nodes[node_id]
            self._free.pop(node_id, None)

    def preempt(
        self, need: Need, occupants: Iterable[Occupant[Key]], excluded: Collection[str] = ()
    ) -> Preemption[Key] | None:
        """
        Return the tasks to preempt so that a task has room; ``None`` if preemption does not help.

        As few as possible are preempted, of the lowest rank.

        :param occupants: tasks that can be preempted.
        """
        plans = []
        for node_id, held in self._by_node(occupants).items():
            if self._suits(node_id, need, excluded):
                gone = self._enough(node_id, need, held)
                if gone is not None:
                    plans.append((node_id, gone))
        if len(plans) < need.nodes:
            return None
        self.is_plain = False
        best = nsmallest(need.nodes, plans, key=lambda plan: _cost(plan[1]))
        keys = {held.key: None for _, gone in best for held in gone}
        for node_id, gone in best:
            self._free[node_id] = self._free.get(node_id, 0) + sum(held.slots for held in gone)
        return Preemption(list(keys), [node_id for node_id, _ in best])

    def _fit(self, need: Need, excluded: Collection[str]) -> list[str]:
        if not (excluded or need.is_whole or need.is_dedicated):
            # A fast path for most tasks: pools can be large.
            return [node_id for node_id, free in self._free.items() if free >= need.slots]
        return [
            node_id
            for node_id, free in self._free.items()
            if self._suits(node_id, need, excluded) and free >= self._wanted(node_id, need)
        ]

    def _by_node(self, occupants: Iterable[Occupant[Key]]) -> dict[str, list[Occupant[Key]]]:
        found: dict[str, list[Occupant[Key]]] = {node_id: [] for node_id in self._nodes}
        for occupant in occupants:
            if occupant.node_id in found:
                found[occupant.node_id].append(occupant)
        return found

    def _enough(
        self, node_id: str, need: Need, held: Sequence[Occupant[Key]]
    ) -> Sequence[Occupant[Key]] | None:
        """Return the tasks to preempt for a task on a node; ``None`` if that is not enough."""
        free, gone = self._free.get(node_id, 0), []
        for occupant in sorted(held, key=lambda occupant: occupant.rank):
            if free >= self._wanted(node_id, need):
                break
            free += occupant.slots
            gone.append(occupant)
        return gone if free >= self._wanted(node_id, need) else None

    def _suits(self, node_id: str, need: Need, excluded: Collection[str]) -> bool:
        node = self._nodes[node_id]
        is_large_enough = node.slots >= need.slots
        return is_large_enough and node_id not in excluded and (node.is_dedicated or not need.is_dedicated)

    def _wanted(self, node_id: str, need: Need) -> int:
        return self._nodes[node_id].slots if need.is_whole else need.slots


def _cost(gone: Sequence[Occupant[Key]]) -> tuple[int, int]:
    """Return the cost of preempting tasks: none is best, then low ranks, then few tasks."""
    if not gone:
        return (-(10**9), 0)
    return (max(held.rank for held in gone), len(gone))
