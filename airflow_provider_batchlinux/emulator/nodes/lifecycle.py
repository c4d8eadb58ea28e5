"""The lifecycle of nodes: boot, start task, reboot, reimage, leave the pool."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.nodes.containers import NodeContainers
from airflow_provider_batchlinux.emulator.nodes.machine import Host, Machine
from airflow_provider_batchlinux.emulator.nodes.programs import Outcome, failed_program
from airflow_provider_batchlinux.emulator.nodes.ssh_servers import SshServers
from airflow_provider_batchlinux.emulator.protocol.instants import format_instant
from airflow_provider_batchlinux.emulator.rules.mounts import mount_error, source_of
from airflow_provider_batchlinux.emulator.rules.networks import lets_ssh_in, reaches_batch
from airflow_provider_batchlinux.emulator.rules.own_images import fits_agent
from airflow_provider_batchlinux.emulator.rules.packages import FindPackage
from airflow_provider_batchlinux.emulator.simulation.background import Background
from airflow_provider_batchlinux.emulator.simulation.clock import Clock, pause
from airflow_provider_batchlinux.emulator.simulation.fault_rates import FaultInjector
from airflow_provider_batchlinux.emulator.simulation.lifecycle import NODE_STATES, Delays
from airflow_provider_batchlinux.emulator.state.reaper import kill_orphans
from airflow_provider_batchlinux.emulator.state.records import USABLE_NODE_STATES, Json, Node, Pool
from airflow_provider_batchlinux.emulator.state.store import Store

_START_TASK = "start task"
_PACKAGES = "application packages"
_STAGES = {"starting", *(name for name, state in NODE_STATES.items() if state.next and name != "preempted")}
_UP = {"starting", "waitingforstarttask", *USABLE_NODE_STATES}
_DEALLOCATED = frozenset({"deallocating", "deallocated"})
_SCHEDULED = {"idle": True, "running": True, "offline": False}
_DISK_FULL = {"code": "DiskFull", "message": "There is not enough disk space on the node"}


class NodeLifecycle:
    """
    The only place that changes the states of nodes, except between idle and running.

    :param environment: ``AZ_BATCH_*`` variables of the account.
    :param find_package: returns the application package that a reference means.
    :param storage: the blob store, which is the auto-storage account.
    :param fault_injector: decides about faults of booting nodes.
    :param ssh_servers: the SSH servers of nodes, which run while their node is usable.
    :param host: what the machine of the emulator has for nodes.
    :param on_usable: called when a node accepts tasks.
    :param on_lost: called when a node can no longer run anything, before its state changes.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        delays: Delays,
        environment: Mapping[str, str],
        *,
        find_package: FindPackage,
        storage: BlobStorage,
        fault_injector: FaultInjector,
        ssh_servers: SshServers,
        host: Host,
        on_usable: Callable[[Node], None],
        on_lost: Callable[[Node], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._delays = delays
        self._fault_injector = fault_injector
        self._environment = dict(environment)
        self._find_package = find_package
        self._storage = storage
        self._servers = ssh_servers
        self._host = host
        self._on_usable = on_usable
        self._on_lost = on_lost
        self._machines: dict[str, Machine] = {}
        self._made: Counter[str] = Counter()
        self._wipes = Background()

    def machine(self, node: Node) -> Machine:
        """Return the machine of a node."""
        return self._machines[node.id]

    def add(
        self, pool: Pool, number: int, *, is_dedicated: bool, now: datetime, address: str | None = None
    ) -> Node:
        """
        Add a node to a pool. It starts in ``creating``.

        :param address: its address in the subnet of the pool; ``None`` without one.
        """
        node_id = self._new_id(pool, is_dedicated=is_dedicated)
        node = Node(node_id, pool.id, number, is_dedicated, "creating", now, now, address=address)
        machine = self._build(node)
        port = self._servers.create(node, machine) if pool.ssh_rule else None
        return self.enter(replace(node, ssh_port=port), "creating")

    def rebuild(self, node: Node) -> None:
        """Create the machine of a node after a restart. No program is running there."""
        machine = self._build(node)
        port = None if node.ssh_port is None else self._servers.create(node, machine)
        self._store.put_node(replace(node, ssh_port=port, running_tasks=0, running_slots=0))

    def resume(self, node: Node) -> None:
        """Resume a node after a restart. A node that was up boots again."""
        if node.state in _UP:
            self.enter(node, "rebooting", is_deallocated=False)
        elif node.state in _STAGES:
            self.enter(node, node.state)
        elif NODE_STATES[node.state].keeps_work:
            self._open_ssh(node)

    def _build(self, node: Node) -> Machine:
        environment = {
            **self._environment,
            "AZ_BATCH_POOL_ID": node.pool_id,
            "AZ_BATCH_NODE_ID": node.id,
            "AZ_BATCH_NODE_IS_DEDICATED": str(node.is_dedicated).lower(),
        }
        spec = self._store.pool(node.pool_id).spec
        containers = NodeContainers(
            self._host.starter,
            spec["virtualMachineConfiguration"].get("containerConfiguration"),
            self._host.engine,
        )
        machine = Machine(self._host.root / node.pool_id / node.id, environment, self._storage, containers)
        self._machines[node.id] = machine
        return machine

    def _new_id(self, pool: Pool, *, is_dedicated: bool) -> str:
        """Return a new node id, which depends on the seed and the number of earlier nodes of the pool."""
        key = pool.id.lower()
        while True:
            token = self._fault_injector.seeded_random.token("node", key, self._made[key])
            self._made[key] += 1
            node_id = f"tvmps_{token}_{'d' if is_dedicated else 'p'}"
            if node_id not in self._machines:
                return node_id

    def enter(self, node: Node, state: str, **changes: Any) -> Node:
        """
        Set the state of a node, and schedule the next state, if there is one.

        :param changes: other fields of the record to change.
        """
        machine = self.machine(node)
        machine.cancel_pending()
        if NODE_STATES[state].is_down and not NODE_STATES[node.state].is_down:
            self._take_down(node)
        if NODE_STATES[state].is_fresh:
            self._reinstall(node)
        now = self._clock.now()
        current = self._store.nodes(node.pool_id).get(node.id) or node
        if state == "idle" and current.running_tasks:
            # Its tasks continued while it was unknown.
            state = "running"
        changed = replace(current, **{"state": state, "state_since": now, **changes})
        node = self._store.put_node(changed)
        if state in _STAGES:
            stage = state
            if state == "starting" and current.is_deallocated:
                stage = "waking" if node.is_deallocated else "woken"
            delay = self._delays.of(stage, node.id, node.boots)
            machine.pending = self._clock.call_later(delay, lambda: self._leave_stage(node))
        if state in USABLE_NODE_STATES:
            self._open_ssh(node)
            self._on_usable(node)
        return node

    def force(self, node: Node, state: str, errors: tuple[Json, ...]) -> Node:
        """Force a node into any state, like a failure of Azure. A preempted node does not return."""
        if not NODE_STATES[state].keeps_work:
            self._take_down(node)
        elif not NODE_STATES[state].keeps_tasks:
            self._on_lost(node)
        is_scheduling = _SCHEDULED.get(state, node.is_scheduling)
        is_deallocated = state in _DEALLOCATED
        return self.enter(
            node, state, errors=errors, is_scheduling=is_scheduling, is_deallocated=is_deallocated
        )

    def start(self, node: Node) -> None:
        """Boot a node that was deallocated; its files are still there."""
        # Recorded: it looks as it did before, but for its state, until its agent is back.
        self._boot(node, "starting", state_since=node.state_since)

    def deallocate(self, node: Node) -> None:
        """Deallocate a node; its files stay."""
        self.enter(node, "deallocating", is_deallocated=True)

    def reimage(self, node: Node) -> None:
        """Reimage a node, which removes its files and users."""
        self.enter(node, "reimaging")

    def remove(self, node: Node) -> None:
        """Remove a node, its programs and its files."""
        machine = self._machines.pop(node.id)
        machine.cancel_pending()
        self._servers.remove(node)
        self._store.delete_node(node)
        self._wipes.start(machine.wipe())

    async def close(self) -> None:
        """Stop everything on every node. The files stay."""
        machines = self._machines.values()
        for machine in machines:
            machine.cancel_pending()
        self._servers.close()
        await asyncio.gather(*(machine.stop() for machine in machines), self._wipes.wait())
        # A program needs the directory of its node, whose parents stay when the node is deleted. Without one
        # nothing has run, and a scan of all processes of the machine would be most of the work of a reset.
        if self._host.root.exists():
            kill_orphans(self._host.root)

    def _reinstall(self, node: Node) -> None:
        self._servers.delete_users(node)
        self._wipes.start(self.machine(node).wipe())
        self._store.change_node(node, start_task_info=None)

    def _take_down(self, node: Node) -> None:
        self._on_lost(node)
        self._servers.stop(node)
        self.machine(node).stop()

    def _leave_stage(self, node: Node) -> None:
        following = NODE_STATES[node.state].next
        if following == "starting":
            self._boot(node, following)
        elif following == "deallocated":
            # Recorded: the time of the transition is that of the beginning.
            self.enter(node, following, state_since=node.state_since)
        elif node.is_deallocated:
            self.enter(node, node.state, is_deallocated=False)
        elif following is not None:
            self.enter(node, following)
        elif self._is_cut_off(node):
            # Documented: Batch cannot reach the node, and tells no error.
            self.enter(node, "unusable")
        elif self._fault_injector.should_fail("unusable", node.id, node.boots):
            self.enter(node, "unusable", errors=(_DISK_FULL,))
        else:
            self._agent_started(node)

    def _open_ssh(self, node: Node) -> None:
        if lets_ssh_in(self._store, self._store.pool(node.pool_id)):
            self._servers.start(node)

    def _is_cut_off(self, node: Node) -> bool:
        """Return whether the agent cannot report: its network denies it, or it does not run on the image."""
        pool = self._store.pool(node.pool_id)
        return not (
            reaches_batch(self._store, pool)
            and fits_agent(self._store, pool.spec["virtualMachineConfiguration"])
        )

    def _agent_started(self, node: Node) -> None:
        """Go on with a node whose agent reports."""
        # Recorded: only now it shows another boot; when its agent first reported stays for good.
        now = self._clock.now()
        booted = now - timedelta(seconds=self._delays.of("joining", node.id, node.boots))
        self._store.change_node(node, last_boot=booted, agent_since=node.agent_since or booted)
        mounts = self._store.pool(node.pool_id).spec.get("mountConfiguration", ())
        error = mount_error(mounts, self._host.mounts)
        if error is None:
            self.machine(node).mount(
                {
                    next(iter(mount.values()))["relativeMountPath"]: self._host.mounts[source_of(mount)]
                    for mount in mounts
                }
            )
        if error is not None:
            self.enter(node, "unusable", errors=(error,))
            return
        references = self._store.pool(node.pool_id).spec.get("applicationPackageReferences", ())
        if references:
            self.machine(node).keep_running(_PACKAGES, self._install_packages(node, references))
        else:
            self._packages_installed(node)

    async def _install_packages(self, node: Node, references: Sequence[Json]) -> None:
        found = [(reference, self._find_package(reference)) for reference in references]
        error = await self.machine(node).install_for_pool(found)
        current = self._store.nodes(node.pool_id).get(node.id)
        if current is None or (current.state, current.boots) != (node.state, node.boots):
            # The control plane has forced it into another state meanwhile.
            return
        if error is not None:
            # Documented: the node is unusable, and its tasks are not run.
            self.enter(node, "unusable", errors=(error,))
        else:
            self._packages_installed(node)

    def _packages_installed(self, node: Node) -> None:
        if node.start_task is None:
            self.enter(node, "idle")
        else:
            self._begin_start_task(node, node.start_task)

    def _boot(self, node: Node, state: str, **changes: Any) -> None:
        # A change of the pool's start task reaches nodes when they boot.
        start_task = self._store.pool(node.pool_id).spec.get("startTask")
        self.enter(node, state, **changes, boots=node.boots + 1, start_task=start_task, errors=())

    def _begin_start_task(self, node: Node, spec: Mapping[str, Any]) -> None:
        info = {"state": "running", "startTime": self._time(), "retryCount": 0}
        if "containerSettings" in spec:
            token = self._fault_injector.seeded_random.token("container", node.id, node.boots)
            info["containerInfo"] = {"containerId": token, "state": "running"}
        state = "waitingforstarttask" if spec["waitForSuccess"] else "idle"
        node = self.enter(node, state, start_task_info=info)
        self.machine(node).keep_running(_START_TASK, self._run_start_task(node, spec, info))

    async def _run_start_task(self, node: Node, spec: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        machine = self.machine(node)
        failure = await machine.prepare_task(machine.startup, spec)
        outcome, retries = Outcome(failure=failure), 0
        while failure is None:
            outcome = await machine.run_task(machine.startup, spec, {})
            if self._fault_injector.should_fail("start_task_failed", node.id, node.boots, retries):
                outcome = failed_program(1)
            if not outcome.is_retried or retries == spec["maxTaskRetryCount"]:
                break
            self._store.change_node(node, start_task_info={**info, "endTime": self._time()})
            await pause(self._clock, self._delays.profile.retry)
            retries, started = retries + 1, self._time()
            info = {**info, "startTime": started, "retryCount": retries, "lastRetryTime": started}
            self._store.change_node(node, start_task_info=info)
        info = {**info, "state": "completed", **outcome.facts(self._time())}
        if "containerInfo" in info:
            info["containerInfo"] = {**info["containerInfo"], "state": "exited"}
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
