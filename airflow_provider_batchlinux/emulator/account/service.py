"""The Batch service of one account: creates its parts and connects them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from airflow_provider_batchlinux.emulator.account.applications import Applications
from airflow_provider_batchlinux.emulator.account.linked import LinkedResources
from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.jobs.lifecycle import JobLifecycle
from airflow_provider_batchlinux.emulator.jobs.node_tasks import JobTasks
from airflow_provider_batchlinux.emulator.jobs.retention import TaskRetention
from airflow_provider_batchlinux.emulator.jobs.scheduler import TaskScheduler
from airflow_provider_batchlinux.emulator.jobs.schedules import JobSchedules
from airflow_provider_batchlinux.emulator.nodes.actions import NodeActions
from airflow_provider_batchlinux.emulator.nodes.containers import ContainerEngine
from airflow_provider_batchlinux.emulator.nodes.lifecycle import NodeLifecycle
from airflow_provider_batchlinux.emulator.nodes.machine import Host
from airflow_provider_batchlinux.emulator.nodes.programs import ProgramStarter
from airflow_provider_batchlinux.emulator.nodes.ssh_servers import SshServers, host_key
from airflow_provider_batchlinux.emulator.pools.allocation import Allocation
from airflow_provider_batchlinux.emulator.pools.lifecycle import AutoPools, PoolLifecycle
from airflow_provider_batchlinux.emulator.pools.scaler import AutoScaler
from airflow_provider_batchlinux.emulator.pools.spot_market import Capacity, SpotMarket
from airflow_provider_batchlinux.emulator.protocol.azure_ids import AccountPlace
from airflow_provider_batchlinux.emulator.rules.caller import Caller
from airflow_provider_batchlinux.emulator.rules.packages import FoundPackage, find_package
from airflow_provider_batchlinux.emulator.simulation.clock import Clock, StoppableClock
from airflow_provider_batchlinux.emulator.simulation.fault_rates import FAULT_RATES, FaultInjector
from airflow_provider_batchlinux.emulator.simulation.faults import RandomFaults
from airflow_provider_batchlinux.emulator.simulation.lifecycle import Delays, delays_of
from airflow_provider_batchlinux.emulator.simulation.options import EmulatorOptions
from airflow_provider_batchlinux.emulator.simulation.seeded_random import SeededRandom
from airflow_provider_batchlinux.emulator.state.persisted_settings import Quotas
from airflow_provider_batchlinux.emulator.state.records import Json, Node, Task
from airflow_provider_batchlinux.emulator.state.store import Store
from airflow_provider_batchlinux.emulator.state.workdir import Workdir


class BatchService:
    """
    The Batch service of one account.

    :param workdir: its files.
    :param endpoint: URL at which clients reach it.
    :param storage: the blob store that is its auto-storage account.
    :param place: where the account is.
    :param starter: starts the programs of nodes.
    """

    def __init__(
        self,
        options: EmulatorOptions,
        clock: Clock,
        workdir: Workdir,
        endpoint: str,
        storage: BlobStorage,
        place: AccountPlace,
        starter: ProgramStarter,
    ) -> None:
        fault_rates = replace(FAULT_RATES[options.profile], **options.fault_rates)
        self.fault_injector = FaultInjector(SeededRandom(options.seed), fault_rates)
        delays = delays_of(options, self.fault_injector.seeded_random)
        self.faults = RandomFaults(self.fault_injector, delays)
        self.clock = clock = StoppableClock(clock)
        self._is_legacy = options.legacy_ssh
        self.storage = storage
        self.store = Store(workdir.state)
        self.quotas = Quotas()
        self.applications = Applications(self.store, storage)
        self.account = options.account
        self.place = place
        self.linked = LinkedResources(self.store, place)
        environment = {"AZ_BATCH_ACCOUNT_NAME": options.account, "AZ_BATCH_ACCOUNT_URL": f"{endpoint}/"}
        self.ssh_servers = SshServers(self.store, clock, host_key(workdir.state))
        engine = None if options.engine is None else ContainerEngine(options.engine)
        self.lifecycle = NodeLifecycle(
            self.store,
            clock,
            delays,
            environment,
            find_package=self._find_package,
            storage=storage,
            fault_injector=self.fault_injector,
            ssh_servers=self.ssh_servers,
            host=Host(workdir.nodes, starter, engine, options.mounts),
            on_usable=self._node_usable,
            on_lost=lambda node: self.scheduler.requeue_all_on(node),
        )
        self._add_jobs_and_pools(delays)

    def _add_jobs_and_pools(self, delays: Delays) -> None:
        """Create the parts that run tasks, and that create and resize pools."""
        clock, profile = self.clock, delays.profile
        self.job_tasks = JobTasks(self.store, clock, profile, machine_of=self.lifecycle.machine)
        self.scheduler = TaskScheduler(
            self.store,
            clock,
            profile,
            machine_of=self.lifecycle.machine,
            job_tasks=self.job_tasks,
            on_task_completed=self._task_completed,
            on_node_free=self._node_freed,
            find_package=self._find_package,
        )
        self.retention = TaskRetention(self.store, clock, self.scheduler.discard_files)
        self.capacity = Capacity(self.store)
        self.spot = SpotMarket(self.store, clock, delays, self.fault_injector, self.lifecycle, self.capacity)
        self.allocation = Allocation(
            self.store,
            clock,
            delays,
            self.fault_injector,
            self.lifecycle,
            self.quotas,
            self.spot,
            self.scheduler.terminate_all_on,
        )
        self.node_actions = NodeActions(self.store, clock, self.lifecycle, self.scheduler.terminate_all_on)
        formula_random = Random(self.fault_injector.seeded_random.seed).random
        self.scaler = AutoScaler(self.store, clock, profile, self.allocation, formula_random)
        self.pools = PoolLifecycle(
            self.store, self.quotas, self.allocation, self.scaler, is_legacy=self._is_legacy
        )
        auto_pools = AutoPools(self.caller(is_signed=False), clock, self.pools)
        self.jobs = JobLifecycle(
            self.store,
            clock,
            self.scheduler,
            self.job_tasks,
            auto_pools,
            delays,
            on_ended=lambda job: self.schedules.job_ended(job),
        )
        self.schedules = JobSchedules(self.store, clock, self.jobs, on_ended=auto_pools.schedule_ended)

    def caller(self, *, is_signed: bool) -> Caller:
        """Return the sender of a description, who has signed it with the account key or has a token."""
        return Caller(self.store, self.place, is_signed)

    async def close(self) -> None:
        """Stop all programs on nodes and all timers."""
        self.clock.stop()
        await self.lifecycle.close()
        await self.scheduler.close()

    def _find_package(self, reference: Json) -> FoundPackage | str:
        return find_package(self.store, self.place, reference)

    def _node_usable(self, node: Node) -> None:
        self.spot.node_usable(node)
        self.scheduler.place(node.pool_id)

    def _task_completed(self, task: Task) -> None:
        self.retention.watch(task)
        self.jobs.task_completed(task)

    def _node_freed(self, node: Node) -> None:
        self.allocation.node_freed(node)
        self.node_actions.node_freed(node)
