"""Takes nodes from state to state: boot, start task, reboot, leave; knows no HTTP, no tasks."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow_provider_batchlinux.emulator.clock import Clock, pause
from airflow_provider_batchlinux.emulator.doors import Doors
from airflow_provider_batchlinux.emulator.instants import format_instant
from airflow_provider_batchlinux.emulator.lifecycle import (
    DOWN_NODE_STATES,
    ENDING_NODE_STATES,
    NEXT_NODE_STATE,
    Profile,
)
from airflow_provider_batchlinux.emulator.machine import Machine
from airflow_provider_batchlinux.emulator.programs import Outcome, end_leftovers
from airflow_provider_batchlinux.emulator.records import USABLE_NODE_STATES, Json, Node, Pool
from airflow_provider_batchlinux.emulator.store import Store

__all__ = ["NodeLifecycle"]

_START_TASK = "start task"
_STAGES = {*NEXT_NODE_STATE, *ENDING_NODE_STATES, "starting"}


class NodeLifecycle:
    """
    The only place that changes the state of nodes, except for idle and running.

    :param root: directory that holds the nodes' directories.
    :param environment: the account's ``AZ_BATCH_*`` variables.
    :param doors: the SSH doors of the nodes; they are open while a node is usable.
    :param on_usable: called when a node can take tasks.
    :param on_lost: called when a node can run nothing any more, before it changes its state.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        profile: Profile,
        root: Path,
        environment: Mapping[str, str],
        *,
        doors: Doors,
        on_usable: Callable[[Node], None],
        on_lost: Callable[[Node], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._profile = profile
        self._root = root
        self._environment = dict(environment)
        self._doors = doors
        self._on_usable = on_usable
        self._on_lost = on_lost
        self._machines: dict[str, Machine] = {}
        self._wipes: set[asyncio.Task[None]] = set()

    def machine(self, node: Node) -> Machine:
        """Return the computer behind a node."""
        return self._machines[node.id]

    def add(self, pool: Pool, number: int, *, is_dedicated: bool, now: datetime) -> Node:
        """Add a node to a pool; it boots from ``creating`` on."""
        node_id = f"tvmps_{secrets.token_hex(32)}_{'d' if is_dedicated else 'p'}"
        node = Node(node_id, pool.id, number, is_dedicated, "creating", now, now)
        environment = {
            **self._environment,
            "AZ_BATCH_POOL_ID": pool.id,
            "AZ_BATCH_NODE_ID": node_id,
            "AZ_BATCH_NODE_IS_DEDICATED": str(is_dedicated).lower(),
        }
        machine = Machine(self._root / pool.id / node_id, environment)
        self._machines[node_id] = machine
        port = self._doors.build(node, machine) if pool.ssh_rule else None
        return self.enter(replace(node, ssh_port=port), "creating")

    def enter(self, node: Node, state: str, **changes: Any) -> Node:
        """
        Put a node into a state; from a stage of booting it goes on by itself.

        :param changes: other fields of the record that change with it.
        """
        machine = self.machine(node)
        machine.cancel_pending()
        if state in DOWN_NODE_STATES and node.state not in DOWN_NODE_STATES:
            self._take_down(node)
        now = self._clock.now()
        current = self._store.nodes(node.pool_id).get(node.id) or node
        changed = replace(current, state=state, state_since=now, **changes)
        node = self._store.put_node(changed)
        if state in _STAGES:
            delay = self._profile.node_delay(state)
            machine.pending = self._clock.call_later(delay, lambda: self._leave_stage(node))
        if state in USABLE_NODE_STATES:
            self._doors.open(node)
            self._on_usable(node)
        return node

    def force(self, node: Node, state: str, errors: tuple[Json, ...]) -> Node:
        """Put a node into any state, as a failure of the platform does."""
        if state not in USABLE_NODE_STATES and state != "unknown":
            self._take_down(node)
        return self.enter(node, state, errors=errors)

    def start(self, node: Node) -> None:
        """Boot a node that was deallocated; its files are still there."""
        self._boot(node, "starting")

    def reimage(self, node: Node) -> None:
        """Install a node anew: its files and users are gone."""
        self.enter(node, "reimaging")
        self._doors.forget_users(node)
        self._wipe(self.machine(node))

    def remove(self, node: Node) -> None:
        """Forget a node, end what runs on it and remove its directories."""
        machine = self._machines.pop(node.id)
        machine.cancel_pending()
        self._doors.remove(node)
        self._store.forget_node(node)
        self._wipe(machine)

    async def close(self) -> None:
        """End everything on every node, and remove the nodes' directories."""
        machines = self._machines.values()
        for machine in machines:
            machine.cancel_pending()
        self._doors.close()
        await asyncio.gather(*(machine.stop() for machine in machines), *self._wipes)
        end_leftovers(self._root)
        await asyncio.to_thread(shutil.rmtree, self._root, ignore_errors=True)

    def _take_down(self, node: Node) -> None:
        self._on_lost(node)
        self._doors.shut(node)
        self.machine(node).stop()

    def _wipe(self, machine: Machine) -> None:
        wipe = asyncio.get_running_loop().create_task(machine.wipe())
        self._wipes.add(wipe)
        wipe.add_done_callback(self._wipes.discard)

    def _leave_stage(self, node: Node) -> None:
        if node.state in ENDING_NODE_STATES:
            self.enter(node, ENDING_NODE_STATES[node.state])
        elif node.state in NEXT_NODE_STATE:
            self._boot(node, NEXT_NODE_STATE[node.state])
        elif node.start_task is None:
            self.enter(node, "idle")
        else:
            self._begin_start_task(node, node.start_task)

    def _boot(self, node: Node, state: str) -> None:
        # A change of the pool's start task reaches nodes when they boot.
        start_task = self._store.pool(node.pool_id).spec.get("startTask")
        last_boot = self._clock.now()
        self.enter(node, state, last_boot=last_boot, start_task=start_task, errors=())

    def _begin_start_task(self, node: Node, spec: Mapping[str, Any]) -> None:
        info = {"state": "running", "startTime": self._time(), "retryCount": 0}
        state = "waitingforstarttask" if spec["waitForSuccess"] else "idle"
        node = self.enter(node, state, start_task_info=info)
        self.machine(node).keep_running(_START_TASK, self._run_start_task(node, spec, info))

    async def _run_start_task(self, node: Node, spec: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        machine = self.machine(node)
        failure = await machine.prepare_task(machine.startup, spec)
        outcome, retries = Outcome(failure=failure), 0
        while failure is None:
            outcome = await machine.run_task(machine.startup, spec, {})
            if not outcome.is_retried or retries == spec["maxTaskRetryCount"]:
                break
            retries += 1
            info = {**info, "retryCount": retries, "lastRetryTime": self._time()}
            self._store.change_node(node, start_task_info=info)
            await pause(self._clock, self._profile.retry)
        info = {**info, "state": "completed", **outcome.facts(self._time())}
        self._end_start_task(node, spec, info)

    def _end_start_task(self, node: Node, spec: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        if not spec["waitForSuccess"]:
            self._store.change_node(node, start_task_info=info)
        elif info["result"] == "success":
            self.enter(node, "idle", start_task_info=info)
        else:
            self.enter(node, "starttaskfailed", start_task_info=info)

    def _time(self) -> str:
        return format_instant(self._clock.now())
