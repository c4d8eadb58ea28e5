"""What tests of the emulator's own faces stand on: pools made without the SDK."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from email.utils import formatdate
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_batchlinux.emulator import EmulatorOptions, RunningEmulator, run_emulator
from airflow_provider_batchlinux.emulator.protocol.auth import sign, string_to_sign

NAT_POOL = {
    "name": "ssh",
    "protocol": "tcp",
    "backendPort": 22,
    "frontendPortRangeStart": 40000,
    "frontendPortRangeEnd": 40099,
}


class Account:
    """A small client of one emulator, which signs what it sends."""

    def __init__(self, emulator: RunningEmulator) -> None:
        self.emulator = emulator

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request and return the answer's JSON or text, or its status if it has neither."""
        target = f"{path}?api-version=2025-06-01"
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"ocp-date": formatdate(usegmt=True)}
        if content:
            headers |= {"content-length": str(len(content))}
        text = string_to_sign(self.emulator.account, method, target, headers)
        signature = sign(self.emulator.key, text)
        headers["authorization"] = f"SharedKey {self.emulator.account}:{signature}"
        connection = HTTPConnection(urlsplit(self.emulator.endpoint).netloc, timeout=10)
        with closing(connection):
            connection.request(method, target, content or None, headers)
            response = connection.getresponse()
            answer = response.read()
        if not answer:
            return response.status
        return json.loads(answer) if "json" in response.headers["content-type"] else answer.decode()

    def create_pool(self, pool_id: str = "linux", nodes: int = 1, **more: Any) -> None:
        """Create a pool with dedicated nodes; how far they are is another question."""
        reference = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
        machine = {"imageReference": reference, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
        pool = {
            "id": pool_id,
            "vmSize": "standard_d2s_v5",
            "targetDedicatedNodes": nodes,
            "virtualMachineConfiguration": machine,
            **more,
        }
        assert self.send("POST", "/pools", pool) == 201

    def open_pool(self, pool_id: str = "linux", nodes: int = 1) -> list[dict[str, Any]]:
        """Create a pool that can be logged in to, and return its nodes once they are idle."""
        endpoints = {"inboundNATPools": [NAT_POOL]}
        self.create_pool(pool_id, nodes, networkConfiguration={"endpointConfiguration": endpoints})
        return self.wait_for_nodes(pool_id, "idle", nodes)

    def nodes(self, pool_id: str = "linux") -> list[dict[str, Any]]:
        """Return the nodes of a pool."""
        found: list[dict[str, Any]] = self.send("GET", f"/pools/{pool_id}/nodes")["value"]
        return found

    def states(self, pool_id: str = "linux") -> list[str]:
        """Return the allocation state of a pool and the states of its nodes."""
        pool = self.send("GET", f"/pools/{pool_id}")
        return [pool["allocationState"], *(node["state"] for node in self.nodes(pool_id))]

    def eventually(self, path: str, is_reached: Callable[[Any], bool]) -> Any:
        """Return the answer to a GET once it is the wanted one; ten seconds at most."""
        deadline = time.monotonic() + 10
        while not is_reached(answer := self.send("GET", path)):
            assert time.monotonic() < deadline, answer
        return answer

    def wait_for_nodes(self, pool_id: str, state: str, number: int = 1) -> list[dict[str, Any]]:
        """Return the nodes once that number is in a state; ten seconds at most."""
        deadline = time.monotonic() + 10
        while [node["state"] for node in self.nodes(pool_id)] != [state] * number:
            assert time.monotonic() < deadline, self.nodes(pool_id)
        return self.nodes(pool_id)


@pytest.fixture(autouse=True)
def every_error_is_read(unread_errors: list[logging.LogRecord]) -> Iterator[None]:
    """Fail if the service logs an error that was not answered; an earlier test may be the cause."""
    yield
    found, unread_errors[:] = [logging.Formatter().format(record) for record in unread_errors], []
    assert not found


@pytest.fixture
def account(batch_emulator: RunningEmulator) -> Account:
    """Give a client of the emulator that all tests share."""
    return Account(batch_emulator)


@pytest.fixture
def account_of() -> Callable[[RunningEmulator], Account]:
    """Give a function that makes a client of an emulator that runs already."""
    return Account


@pytest.fixture
def wait_until_gone() -> Callable[[int], None]:
    """Give a function that returns once a process has ended; ten seconds at most."""

    def wait(number: int) -> None:
        deadline = time.monotonic() + 10
        while _is_running(number):
            assert time.monotonic() < deadline, f"process {number} is still running"

    return wait


@pytest.fixture
def start() -> Iterator[Callable[..., Account]]:
    """Give a function that starts an emulator with the given options."""
    with ExitStack() as stack:
        yield lambda **options: Account(stack.enter_context(run_emulator(EmulatorOptions(**options))))


def _is_running(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
