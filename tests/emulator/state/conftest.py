"""Fixtures for tests of restarts: an emulator in a separate process, which can be killed."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential

from tests.emulator.state.forked import ForkedCommand

Value = TypeVar("Value")

IMAGE = models.VirtualMachineConfiguration(
    image_reference=models.BatchVmImageReference(
        publisher="canonical", offer="ubuntu-24_04-lts", sku="server"
    ),
    node_agent_sku_id="batch.node.ubuntu 24.04",
)
NAT_POOL = models.BatchInboundNatPool(
    name="ssh",
    protocol="tcp",
    backend_port=22,
    frontend_port_range_start=40000,
    frontend_port_range_end=40099,
)
SSH = models.NetworkConfiguration(
    endpoint_configuration=models.BatchPoolEndpointConfiguration(inbound_nat_pools=[NAT_POOL])
)


class Service:
    """An emulator that runs as a command; ``facts`` is what its ready line says."""

    def __init__(self, *options: str) -> None:
        self.options = options
        self.facts: dict[str, Any] = {}
        self.process: ForkedCommand | None = None

    def start(self, *more: str) -> Service:
        """Start it and wait until it is ready."""
        process = ForkedCommand([*self.options, *more])
        line = process.stdout.readline()
        assert line.startswith("ready "), process.end()
        self.process = process
        self.facts = json.loads(line.partition(" ")[2])
        return self

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill it as the kernel does when memory is short, or by another signal."""
        if self.process is not None:
            self.process.end(number)
            self.process = None

    def restart(self, *more: str) -> Service:
        """Kill it and start it again."""
        self.kill()
        return self.start(*more)

    @property
    def emulator(self) -> Any:
        """What clients have to know of it."""
        return SimpleNamespace(**self.facts)

    @property
    def client(self) -> BatchClient:
        """The SDK's client of it as it runs now, which does not retry."""
        credential = AzureNamedKeyCredential(self.facts["account"], self.facts["key"])
        return BatchClient(self.facts["endpoint"], credential, retry_total=0)

    def make_pool(self, pool_id: str = "linux", nodes: int = 1, **options: Any) -> list[models.BatchNode]:
        """Create a pool of dedicated nodes, and return them once they are idle."""
        with self.client as client:
            client.create_pool(pool_options(pool_id, nodes, **options))
        return self.wait_for_nodes(nodes, pool_id=pool_id)

    def wait_for_nodes(
        self, nodes: int = 1, state: str = "idle", pool_id: str = "linux"
    ) -> list[models.BatchNode]:
        """Return the nodes of a pool once that number is in a state."""
        with self.client as client:
            return eventually(
                lambda: list(client.list_nodes(pool_id)),
                lambda found: [node.state for node in found] == [state] * nodes,
            )

    def add_job(self, *commands: str, job_id: str = "job", **options: Any) -> None:
        """Create a job on the pool, with a task for each command: ``task-0`` and so on."""
        pool = models.BatchPoolInfo(pool_id="linux")
        with self.client as client:
            client.create_job(models.BatchJobCreateOptions(id=job_id, pool_info=pool, **options))
            for number, command in enumerate(commands):
                task = models.BatchTaskCreateOptions(id=f"task-{number}", command_line=command)
                client.create_task(job_id, task)

    def wait_for_task(self, state: str, job_id: str = "job", task_id: str = "task-0") -> models.BatchTask:
        """Return a task once it is in a state."""
        with self.client as client:
            return eventually(lambda: client.get_task(job_id, task_id), lambda task: task.state == state)

    def wait_for_file(self, node_id: str, path: str) -> None:
        """Return once a node of the pool has a file."""
        with self.client as client:
            eventually(
                lambda: [file.name for file in client.list_node_files("linux", node_id, recursive=True)],
                lambda names: path in names,
            )


def pool_options(pool_id: str = "linux", nodes: int = 1, **options: Any) -> models.BatchPoolCreateOptions:
    """Return what to create a pool with."""
    return models.BatchPoolCreateOptions(
        id=pool_id,
        vm_size="standard_d2s_v5",
        virtual_machine_configuration=IMAGE,
        target_dedicated_nodes=nodes,
        **options,
    )


def eventually(read: Callable[[], Value], holds: Callable[[Value], bool]) -> Value:
    """Read until what is read holds, for twenty seconds at most."""
    deadline = time.monotonic() + 20
    while not holds(value := read()):
        assert time.monotonic() < deadline, f"still {value!r} after 20 s"
    return value


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Give the path of a state file."""
    return tmp_path / "state"


@pytest.fixture
def launch() -> Iterator[Callable[..., Service]]:
    """Give a function that starts an emulator with the given options."""
    with ExitStack() as stack:

        def start(*options: str) -> Service:
            service = Service(*options)
            stack.callback(service.kill)
            return service.start()

        yield start


@pytest.fixture
def service(launch: Callable[..., Service], state: Path) -> Service:
    """Give an emulator that keeps its state."""
    return launch("--state", str(state))


@pytest.fixture
def wait() -> Callable[..., Any]:
    """Give a function that reads until what it reads holds."""
    return eventually


@pytest.fixture
def pool() -> Callable[..., models.BatchPoolCreateOptions]:
    """Give a function that returns what to create a pool with."""
    return pool_options


@pytest.fixture
def ssh_network() -> models.NetworkConfiguration:
    """Give a network configuration that opens SSH."""
    return SSH
