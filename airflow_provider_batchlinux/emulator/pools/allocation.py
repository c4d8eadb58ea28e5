"""Allocation of nodes: resize, stop resize, remove nodes, delete pool."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count

from airflow_provider_batchlinux.emulator.nodes.lifecycle import NodeLifecycle
from airflow_provider_batchlinux.emulator.pools.allocation_limits import (
    Allocated,
    Limit,
    allocate_within,
    resize_error,
)
from airflow_provider_batchlinux.emulator.pools.spot_market import SpotMarket
from airflow_provider_batchlinux.emulator.protocol.instants import parse_duration
from airflow_provider_batchlinux.emulator.rules.images import boot_problem
from airflow_provider_batchlinux.emulator.rules.networks import free_addresses, network_room
from airflow_provider_batchlinux.emulator.rules.own_images import image_traits
from airflow_provider_batchlinux.emulator.rules.vm_sizes import cores_of
from airflow_provider_batchlinux.emulator.simulation.clock import MANY, Clock, Timer
from airflow_provider_batchlinux.emulator.simulation.fault_rates import FaultInjector
from airflow_provider_batchlinux.emulator.simulation.lifecycle import Delays
from airflow_provider_batchlinux.emulator.simulation.patterns import Pattern
from airflow_provider_batchlinux.emulator.state.persisted_settings import Quotas
from airflow_provider_batchlinux.emulator.state.records import Json, Node, Pool
from airflow_provider_batchlinux.emulator.state.store import Store

_REMOVED_LAST = {"idle": 1, "running": 2}
_CORE_QUOTA = {True: "AccountCoreQuotaReached", False: "AccountSpotCoreQuotaReached"}
_MAX_NODES = 10_000
"""Dedicated or Spot nodes in a pool without a quota, so that a typo does not exhaust a laptop's memory."""
_WAITS_FOR_TASKS = frozenset({"taskcompletion", "retaineddata"})


@dataclass
class ResizeFault:
    """An injected resize error, for the next allocation of a pool whose id matches."""

    pool_id: Pattern
    error: Json


@dataclass
class _Resize:
    """
    A resize in progress.

    :param leaving: the nodes that it removes.
    :param staying: those of them that do not know yet, with their node deallocation option.
    :param is_due: whether its delay is over, so that it waits only for tasks on leaving nodes or capacity.
    :param injected_limits: random limits of the pool's size; ``None`` before they are drawn.
    """

    timer: Timer
    started: datetime
    leaving: Sequence[Node] = ()
    staying: deque[tuple[Node, str]] = field(default_factory=deque)
    is_due: bool = False
    injected_limits: Mapping[bool, Sequence[Limit]] | None = None


@dataclass
class Allocation:
    """
    Allocates and removes nodes, within quotas, capacity and injected faults.

    :param terminate_tasks: terminates the tasks on a node.
    """

    store: Store
    clock: Clock
    delays: Delays
    fault_injector: FaultInjector
    lifecycle: NodeLifecycle
    quotas: Quotas
    spot: SpotMarket
    terminate_tasks: Callable[[Node], None]
    faults: list[ResizeFault] = field(default_factory=list)
    _resizes: dict[str, _Resize] = field(default_factory=dict)
    _numbers: dict[str, count[int]] = field(default_factory=dict)
    _turns: Counter[str] = field(default_factory=Counter)

    def resize(
        self, pool: Pool, dedicated: int, spot: int, now: datetime, *, deallocation: str = "requeue"
    ) -> Pool:
        """
        Start a resize. It replaces a resize in progress.

        :param deallocation: the node deallocation option, which applies to tasks on leaving nodes.
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
        """Start to remove certain nodes. The targets are lowered by their number."""
        dedicated = sum(node.is_dedicated for node in leaving)
        spot = len(leaving) - dedicated
        targets = (max(0, pool.target_dedicated - dedicated), max(0, pool.target_spot - spot))
        return self._start(pool, *targets, now, leaving, deallocation)

    def stop(self, pool: Pool, now: datetime) -> Pool:
        """Start to stop a resize. The targets stay the same; the nodes are those allocated so far."""
        resize = self._resizes.pop(pool.id.lower())
        resize.timer.cancel()
        staying = {node.id for node, _ in resize.staying}
        resize.staying.clear()
        gone = []
        for node in resize.leaving:
            if self._waits_for_tasks(node):
                self.store.change_node(node, after_tasks=None)
            elif node.id not in staying:
                gone.append(node)
        self._await_stop(pool, gone, now)
        return self._enter(pool, "stopping", now)

    def delete(self, pool: Pool, now: datetime) -> Pool:
        """Start to delete a pool and its nodes."""
        resize = self._resizes.pop(pool.id.lower(), None)
        if resize is not None:
            resize.timer.cancel()
            resize.staying.clear()
        self._empty(pool)
        # Recorded, also the time-out, which is always this one.
        shrinking = replace(
            pool,
            state="deleting",
            state_since=now,
            spec={**pool.spec, "resizeTimeout": "PT7M9.497S"},
            target_dedicated=0,
            target_spot=0,
            version=self.store.next_version(now),
        )
        has_nodes = len(self.store.nodes(pool.id)) > 0
        return self._enter(shrinking, "resizing", now) if has_nodes else self.store.put_pool(shrinking)

    def resume(self, pool: Pool) -> None:
        """Resume a resize or deletion after a restart. No task is running."""
        nodes = list(self.store.nodes(pool.id))
        self._numbers[pool.id.lower()] = count(max((node.number + 1 for node in nodes), default=0))
        if pool.state == "deleting":
            self._empty(pool)
            return
        for node in filter(self._waits_for_tasks, nodes):
            self.lifecycle.enter(node, "leavingpool")
        leaving = [node for node in self.store.nodes(pool.id) if node.state == "leavingpool"]
        if pool.allocation_state == "resizing":
            self._await_resize(pool, leaving, pool.allocation_since, deque())
        elif pool.allocation_state == "stopping":
            self._await_stop(pool, leaving, pool.allocation_since)

    def node_freed(self, node: Node) -> None:
        """Remove a node that was waiting for its last task."""
        if self._waits_for_tasks(node):
            # Later: the task that has just ended must be completed first.
            self.clock.call_later(0, lambda: self._leave_if_idle(node))

    def fit_capacity(self) -> None:
        """Apply a change of capacity: preempt or restore Spot nodes, and continue waiting resizes."""
        self.spot.fit()
        for pool_id, resize in list(self._resizes.items()):
            if resize.is_due and not any(map(self._waits_for_tasks, resize.leaving)):
                self._finish(pool_id)

    def _delay(self, stage: str, pool_id: str) -> float:
        return self.delays.of(stage, pool_id.lower(), self._turns[pool_id.lower()])

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
        staying: deque[tuple[Node, str]] = deque()
        if before is not None:
            before.timer.cancel()
            gone = before.leaving
            staying.extend(before.staying)
            before.staying.clear()
        # The nodes that the replaced resize removes leave all the same.
        known = {node.id for node in gone}
        leaving = [node for node in leaving if node.id not in known]
        staying.extend((node, deallocation) for node in leaving)
        self._turns[pool.id.lower()] += 1
        changed = replace(pool, target_dedicated=dedicated, target_spot=spot, resize_errors=())
        self._await_resize(changed, [*gone, *leaving], now, staying)
        return self._enter(changed, "resizing", now)

    def _await_resize(
        self, pool: Pool, leaving: Sequence[Node], started: datetime, staying: deque[tuple[Node, str]]
    ) -> None:
        is_growing = any(self._missing(pool, is_dedicated=kind) for kind in (True, False))
        stage = "resizing" if is_growing or leaving else "settling"
        timer = self.clock.call_later(self._delay(stage, pool.id), lambda: self._finish(pool.id))
        self._resizes[pool.id.lower()] = resize = _Resize(timer, started, leaving, staying)
        self._let_leave(resize)

    def _let_leave(self, resize: _Resize) -> None:
        """Let the nodes know that leave: some now, and the others in the next turns."""
        for _ in range(min(len(resize.staying), MANY)):
            node, deallocation = resize.staying.popleft()
            current = self.store.nodes(node.pool_id).get(node.id)
            if current is not None:
                self._start_leaving(current, deallocation)
        if resize.staying:
            self.clock.call_later(0, lambda: self._let_leave(resize))

    def _await_stop(self, pool: Pool, leaving: Sequence[Node], started: datetime) -> None:
        delay = self._delay("stopping", pool.id)
        timer = self.clock.call_later(delay, lambda: self._finish_stop(pool.id, leaving))
        self._resizes[pool.id.lower()] = _Resize(timer, started)

    def _empty(self, pool: Pool) -> None:
        """Let the nodes of a pool leave, some now and the others in the next turns, and then delete it."""
        staying = [node for node in self.store.nodes(pool.id) if node.state != "leavingpool"]
        for node in staying[:MANY]:
            self.lifecycle.enter(node, "leavingpool")
        if len(staying) > MANY:
            self.clock.call_later(0, lambda: self._empty(pool))
            return
        stage = "emptying" if len(self.store.nodes(pool.id)) else "deleting"
        self.clock.call_later(self._delay(stage, pool.id), lambda: self._finish_delete(pool))

    def _finish(self, pool_id: str) -> None:
        resize = self._resizes[pool_id.lower()]
        resize.is_due = True
        if any(map(self._waits_for_tasks, resize.leaving)):
            return
        resize.timer.cancel()
        if resize.staying:
            self._finish_later(pool_id, resize)
            return
        pool, now = self.store.pool(pool_id), self.clock.now()
        resize.leaving = self._remove_some(resize.leaving)
        if resize.leaving:
            self._finish_later(pool_id, resize)
            return
        self.spot.capacity_freed()
        errors = list(self._take_faults(pool)) or list(_boot_errors(self.store, pool))
        allocated = (
            {} if errors else {kind: self._allocate(pool, kind, resize, now) for kind in (True, False)}
        )
        if any(allocated.is_partial for allocated in allocated.values()):
            self._finish_later(pool_id, resize)
            return
        if any(allocated.may_continue for allocated in allocated.values()) and self._await_capacity(
            pool, resize, now
        ):
            return
        del self._resizes[pool_id.lower()]
        errors += [
            resize_error(allocated.shortage.code, is_dedicated=kind, values=allocated.shortage.values)
            for kind, allocated in allocated.items()
            if allocated.shortage is not None
        ]
        self._enter(replace(pool, resize_errors=tuple(errors)), "steady", now)

    def _finish_later(self, pool_id: str, resize: _Resize) -> None:
        """Go on with a large resize in the next turn, unless another one has replaced it."""
        resize.timer = self.clock.call_later(0, lambda: self._finish(pool_id))

    def _remove_some(self, nodes: Sequence[Node]) -> Sequence[Node]:
        """Remove some nodes, and return those that are left for the next turns."""
        # All of a large pool together would delay every answer of the service.
        for node in nodes[:MANY]:
            self.lifecycle.remove(node)
        return nodes[MANY:]

    def _await_capacity(self, pool: Pool, resize: _Resize, now: datetime) -> bool:
        """Continue a resize until its time-out, and return whether there is time left."""
        limit = self.delays.profile.longest_resize
        if limit is None:
            limit = parse_duration(pool.spec["resizeTimeout"]) / self.delays.profile.speed
        left = limit - (now - resize.started).total_seconds()
        if left <= 0:
            return False
        resize.timer = self.clock.call_later(left, lambda: self._finish(pool.id))
        return True

    def _start_leaving(self, node: Node, deallocation: str) -> None:
        """
        Remove a node, immediately or when its tasks have ended.

        The retention time of task data is not emulated: ``retaineddata`` is treated like ``taskcompletion``.
        """
        if deallocation in _WAITS_FOR_TASKS and node.running_tasks:
            self.store.change_node(node, after_tasks="leave")
            return
        if deallocation == "terminate":
            self.terminate_tasks(node)
        self.lifecycle.enter(node, "leavingpool")

    def _waits_for_tasks(self, node: Node) -> bool:
        current = self.store.nodes(node.pool_id).get(node.id)
        return current is not None and current.after_tasks == "leave" and current.state != "leavingpool"

    def _leave_if_idle(self, node: Node) -> None:
        if self._waits_for_tasks(node):
            self.lifecycle.enter(node, "leavingpool")
            resize = self._resizes.get(node.pool_id.lower())
            if resize is not None and resize.is_due:
                self._finish(node.pool_id)

    def _finish_stop(self, pool_id: str, leaving: Sequence[Node]) -> None:
        left = self._remove_some(leaving)
        if left:
            timer = self.clock.call_later(0, lambda: self._finish_stop(pool_id, left))
            self._resizes[pool_id.lower()].timer = timer
            return
        del self._resizes[pool_id.lower()]
        pool = self.store.pool(pool_id)
        self.spot.capacity_freed()
        errors = tuple(
            resize_error("ResizeStopped", is_dedicated=kind)
            for kind in (True, False)
            if self._missing(pool, is_dedicated=kind)
        )
        self._enter(replace(pool, resize_errors=errors), "steady", self.clock.now())

    def _finish_delete(self, pool: Pool) -> None:
        if self._remove_some(list(self.store.nodes(pool.id))):
            self.clock.call_later(0, lambda: self._finish_delete(pool))
            return
        self.store.delete_pool(pool.id)
        self._numbers.pop(pool.id.lower(), None)
        self.spot.capacity_freed()

    def _allocate(self, pool: Pool, is_dedicated: bool, resize: _Resize, now: datetime) -> Allocated:
        if resize.injected_limits is None:
            resize.injected_limits = {kind: list(self._injected_limits(pool, kind)) for kind in (True, False)}
        size = self._size(pool, is_dedicated=is_dedicated)
        by_chance = [Limit(most.code, most.nodes - size) for most in resize.injected_limits[is_dedicated]]
        limits = [*self._limits(pool, is_dedicated), *by_chance]
        allocated = allocate_within(self._missing(pool, is_dedicated=is_dedicated), limits)
        numbers = self._numbers.setdefault(pool.id.lower(), count())
        nodes = min(allocated.nodes, MANY)
        addresses = free_addresses(self.store, pool, nodes)
        for _ in range(nodes):
            address = next(addresses, None)
            self.lifecycle.add(pool, next(numbers), is_dedicated=is_dedicated, now=now, address=address)
        return replace(allocated, is_partial=allocated.nodes > MANY)

    def _limits(self, pool: Pool, is_dedicated: bool) -> Iterable[Limit]:
        cores = self.quotas.dedicated_cores if is_dedicated else self.quotas.spot_cores
        if cores is not None:
            left = cores - self._cores_used(is_dedicated)
            yield Limit(_CORE_QUOTA[is_dedicated], left // cores_of(pool.spec["vmSize"]))
        yield Limit(_CORE_QUOTA[is_dedicated], _MAX_NODES - self._size(pool, is_dedicated=is_dedicated))
        if self.quotas.nodes_per_pool is not None and pool.spec["enableInterNodeCommunication"]:
            left = self.quotas.nodes_per_pool - len(self.store.nodes(pool.id))
            yield Limit("CommunicationEnabledPoolReachedMaxVMCount", left)
        for nodes, values in network_room(self.store, pool, is_dedicated=is_dedicated):
            yield Limit("AllocationFailed", nodes, values)
        machines = self.spot.capacity.left(is_dedicated=is_dedicated)
        if machines is not None:
            yield Limit("AllocationTimedout", machines)

    def _injected_limits(self, pool: Pool, is_dedicated: bool) -> Iterable[Limit]:
        turn = (pool.id.lower(), is_dedicated, self._turns[pool.id.lower()])
        missing = self._missing(pool, is_dedicated=is_dedicated)
        most = self._size(pool, is_dedicated=is_dedicated) + missing // 2
        if missing and self.fault_injector.should_fail("quota_reached", *turn):
            yield Limit(_CORE_QUOTA[is_dedicated], most)
        if missing and self.fault_injector.should_fail("allocation_timed_out", *turn):
            yield Limit("AllocationTimedout", most)

    def _missing(self, pool: Pool, *, is_dedicated: bool) -> int:
        target = pool.target_dedicated if is_dedicated else pool.target_spot
        return max(0, target - self._size(pool, is_dedicated=is_dedicated))

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


def _boot_errors(store: Store, pool: Pool) -> Iterable[Json]:
    """Return an error for each kind of node that the pool wants and its VM size cannot boot."""
    image = image_traits(store, pool.spec["virtualMachineConfiguration"])
    problem = boot_problem(pool.spec["vmSize"], image)
    for is_dedicated, target in ((True, pool.target_dedicated), (False, pool.target_spot)):
        if problem is not None and target:
            # Documented: what Azure's compute service says, as the JSON of its answer.
            answer = json.dumps({"error": {"code": "BadRequest", "message": problem}}, indent=2)
            values = {"Provider Error Json": answer, "Provider Error Json Truncated": "False"}
            yield resize_error("AllocationFailed", is_dedicated=is_dedicated, values=values)


def _surplus(nodes: Iterable[Node], target: int) -> list[Node]:
    ranked = sorted(
        nodes, key=lambda node: 0 if node.after_tasks == "leave" else _REMOVED_LAST.get(node.state, 0)
    )
    return ranked[: max(0, len(ranked) - target)]
