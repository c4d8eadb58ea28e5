"""Gives nodes to pools and takes them away: resize, stop, delete; knows no HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count

from airflow_provider_batchlinux.emulator.clock import Clock, Timer
from airflow_provider_batchlinux.emulator.lifecycle import Profile
from airflow_provider_batchlinux.emulator.node_lifecycle import NodeLifecycle
from airflow_provider_batchlinux.emulator.quotas import Quotas, cores_of
from airflow_provider_batchlinux.emulator.records import Json, Node, Pool
from airflow_provider_batchlinux.emulator.scheduler import TaskScheduler
from airflow_provider_batchlinux.emulator.store import Store

__all__ = ["Allocation", "ResizeFault"]

_KEPT_LAST = {"idle": 1, "running": 2}
_PATIENT = frozenset({"taskcompletion", "retaineddata"})


@dataclass
class ResizeFault:
    """An allocation that is to fail: of a pool whose id matches, with an error."""

    pool_id: re.Pattern[str]
    error: Json


@dataclass
class _Resize:
    """A resize that goes on; one that is due waits only for tasks on the nodes that leave."""

    timer: Timer
    leaving: Sequence[Node] = ()
    is_due: bool = False


@dataclass(frozen=True)
class _Growth:
    """How many nodes of a kind come, and why not more."""

    nodes: int
    error: Json | None = None


@dataclass
class Allocation:
    """Brings every pool to its targets, as far as quotas and injected faults let it."""

    store: Store
    clock: Clock
    profile: Profile
    lifecycle: NodeLifecycle
    quotas: Quotas
    scheduler: TaskScheduler
    faults: list[ResizeFault] = field(default_factory=list)
    _resizes: dict[str, _Resize] = field(default_factory=dict)
    _numbers: dict[str, count[int]] = field(default_factory=dict)

    def resize(
        self, pool: Pool, dedicated: int, spot: int, now: datetime, *, deallocation: str = "requeue"
    ) -> Pool:
        """
        Start to bring a pool to new targets; they take the place of those of a resize that goes on.

        :param deallocation: what becomes of the tasks on nodes that leave, in the service's words.
        """
        nodes = self.store.nodes(pool.id)
        leaving = [
            *_surplus((node for node in nodes if node.is_dedicated), dedicated),
            *_surplus((node for node in nodes if not node.is_dedicated), spot),
        ]
        return self._start(pool, dedicated, spot, now, leaving, deallocation)

    def remove_nodes(
        self, pool: Pool, leaving: Sequence[Node], now: datetime, *, deallocation: str = "requeue"
    ) -> Pool:
        """Start to take certain nodes away; the targets go down by their number."""
        dedicated = sum(node.is_dedicated for node in leaving)
        spot = len(leaving) - dedicated
        targets = (max(0, pool.target_dedicated - dedicated), max(0, pool.target_spot - spot))
        return self._start(pool, *targets, now, leaving, deallocation)

    def stop(self, pool: Pool, now: datetime) -> Pool:
        """Start to stop a resize: the targets stay and the nodes are what they are."""
        resize = self._resizes.pop(pool.id.lower())
        resize.timer.cancel()
        kept = [node for node in resize.leaving if self._waits_for_tasks(node)]
        for node in kept:
            self.store.change_node(node, is_leaving=False)
        gone = [node for node in resize.leaving if node not in kept]
        timer = self.clock.call_later(self.profile.stopping, lambda: self._finish_stop(pool.id, gone))
        self._resizes[pool.id.lower()] = _Resize(timer)
        return self._enter(pool, "stopping", now)

    def delete(self, pool: Pool, now: datetime) -> Pool:
        """Start to delete a pool with all its nodes."""
        resize = self._resizes.pop(pool.id.lower(), None)
        if resize is not None:
            resize.timer.cancel()
        for node in self.store.nodes(pool.id):
            self.lifecycle.enter(node, "leavingpool")
        self.clock.call_later(self.profile.deleting, lambda: self._finish_delete(pool))
        return self.store.put_pool(replace(pool, state="deleting", state_since=now))

    def node_freed(self, node: Node) -> None:
        """Let a node go that only waited for its last task; not before what ended that is over."""
        if self._waits_for_tasks(node):
            self.clock.call_later(0, lambda: self._let_go(node))

    def _start(
        self,
        pool: Pool,
        dedicated: int,
        spot: int,
        now: datetime,
        leaving: Sequence[Node],
        deallocation: str,
    ) -> Pool:
        before = self._resizes.pop(pool.id.lower(), None)
        gone: Sequence[Node] = ()
        if before is not None:
            before.timer.cancel()
            gone = before.leaving
        known = {node.id for node in gone}
        leaving = [node for node in leaving if node.id not in known]
        for node in leaving:
            self._dismiss(node, deallocation)
        timer = self.clock.call_later(self.profile.resizing, lambda: self._finish(pool.id))
        self._resizes[pool.id.lower()] = _Resize(timer, [*gone, *leaving])
        changed = replace(pool, target_dedicated=dedicated, target_spot=spot, resize_errors=())
        return self._enter(changed, "resizing", now)

    def _finish(self, pool_id: str) -> None:
        resize = self._resizes[pool_id.lower()]
        resize.is_due = True
        if any(map(self._waits_for_tasks, resize.leaving)):
            return
        del self._resizes[pool_id.lower()]
        pool, now = self.store.pool(pool_id), self.clock.now()
        for node in resize.leaving:
            self.lifecycle.remove(node)
        growths = {is_dedicated: self._growth(pool, is_dedicated) for is_dedicated in (True, False)}
        errors = list(self._take_faults(pool))
        if not errors:
            self._grow(pool, {kind: growth.nodes for kind, growth in growths.items()}, now)
            errors = [growth.error for growth in growths.values() if growth.error is not None]
        self._enter(replace(pool, resize_errors=tuple(errors)), "steady", now)

    def _dismiss(self, node: Node, deallocation: str) -> None:
        """
        Let a node leave, at once or when its tasks have ended.

        Nothing is emulated of how long the data of tasks is retained: ``retaineddata`` is like
        ``taskcompletion``.
        """
        if deallocation in _PATIENT and node.running_tasks:
            self.store.change_node(node, is_leaving=True)
            return
        if deallocation == "terminate":
            self.scheduler.end_all_on(node)
        self.lifecycle.enter(node, "leavingpool")

    def _waits_for_tasks(self, node: Node) -> bool:
        current = self.store.nodes(node.pool_id).get(node.id)
        return current is not None and current.is_leaving and current.state != "leavingpool"

    def _let_go(self, node: Node) -> None:
        if self._waits_for_tasks(node):
            self.lifecycle.enter(node, "leavingpool")
            resize = self._resizes.get(node.pool_id.lower())
            if resize is not None and resize.is_due:
                self._finish(node.pool_id)

    def _finish_stop(self, pool_id: str, leaving: Iterable[Node]) -> None:
        del self._resizes[pool_id.lower()]
        for node in leaving:
            self.lifecycle.remove(node)
        pool = self.store.pool(pool_id)
        short = {
            "dedicated": pool.target_dedicated > self._size(pool, is_dedicated=True),
            "low priority": pool.target_spot > self._size(pool, is_dedicated=False),
        }
        errors = tuple(_resize_stopped(kind) for kind, is_short in short.items() if is_short)
        self._enter(replace(pool, resize_errors=errors), "steady", self.clock.now())

    def _finish_delete(self, pool: Pool) -> None:
        for node in self.store.nodes(pool.id):
            self.lifecycle.remove(node)
        self.store.forget_pool(pool.id)
        self._numbers.pop(pool.id.lower(), None)

    def _growth(self, pool: Pool, is_dedicated: bool) -> _Growth:
        target = pool.target_dedicated if is_dedicated else pool.target_spot
        missing = max(0, target - self._size(pool, is_dedicated=is_dedicated))
        quota = self.quotas.dedicated_cores if is_dedicated else self.quotas.spot_cores
        if quota is None:
            return _Growth(missing)
        left = max(0, quota - self._cores_used(is_dedicated))
        affordable = left // cores_of(pool.spec["vmSize"])
        if affordable >= missing:
            return _Growth(missing)
        return _Growth(affordable, _quota_reached(is_dedicated))

    def _grow(self, pool: Pool, wanted: Mapping[bool, int], now: datetime) -> None:
        numbers = self._numbers.setdefault(pool.id.lower(), count())
        for is_dedicated, nodes in wanted.items():
            for _ in range(nodes):
                self.lifecycle.add(pool, next(numbers), is_dedicated=is_dedicated, now=now)

    def _size(self, pool: Pool, *, is_dedicated: bool) -> int:
        return self.store.count_nodes(pool.id, is_dedicated=is_dedicated)

    def _cores_used(self, is_dedicated: bool) -> int:
        return sum(
            cores_of(pool.spec["vmSize"]) * self._size(pool, is_dedicated=is_dedicated)
            for pool in self.store.pools
        )

    def _take_faults(self, pool: Pool) -> Iterable[Json]:
        for fault in self.faults:
            if fault.pool_id.search(pool.id):
                self.faults.remove(fault)
                return [fault.error]
        return []

    def _enter(self, pool: Pool, allocation_state: str, now: datetime) -> Pool:
        changed = replace(pool, allocation_state=allocation_state, allocation_since=now)
        return self.store.put_pool(changed)


def _surplus(nodes: Iterable[Node], target: int) -> list[Node]:
    ranked = sorted(nodes, key=lambda node: 0 if node.is_leaving else _KEPT_LAST.get(node.state, 0))
    return ranked[: max(0, len(ranked) - target)]


def _resize_stopped(kind: str) -> Json:
    message = f"Desired number of {kind} nodes could not be allocated due to a stop resize operation"
    return {"code": "ResizeStopped", "message": message}


def _quota_reached(is_dedicated: bool) -> Json:
    if is_dedicated:
        message = "The account has reached its dedicated core quota"
        return {"code": "AccountCoreQuotaReached", "message": message}
    message = "The account has reached its Spot core quota"
    return {"code": "AccountSpotCoreQuotaReached", "message": message}
