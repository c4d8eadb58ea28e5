"""The cost of the embedded service: a request, a node, 1,000 nodes, a list of 10,000 nodes."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.bare import bare_server
from tests.bench.load import measured_apart
from tests.bench.result import Limit, Result
from tests.embedded_service import Service, embedded_service
from tests.signed_requests import Wire

__all__ = [
    "MANY_NODES",
    "PAUSE",
    "ROUNDS",
    "VERSION",
    "create_pool",
    "emulator_1000_nodes",
    "emulator_get",
    "emulator_get_flat",
    "emulator_list_10000",
    "emulator_node_memory",
    "pool",
    "wait_for_idle",
]

VERSION = "api-version=2025-06-01"
ROUNDS = 5
"""The best round counts, because other work on the machine can only slow a round down."""
MANY_POOLS = 2_000
MANY_NODES = 10_000
PAUSE = 0.005


def emulator_get() -> Result:
    """Get a pool repeatedly, against a handler that only sends the same number of bytes."""
    with embedded_service() as service:
        wire = Wire(service)
        create_pool(wire, "linux", 1)
        with bare_server(wire.send("GET", pool("linux"))) as port:
            request = wire.raw_get(pool("linux"))
            samples = [
                (measured_apart(_port(service), request), measured_apart(port, request))
                for _ in range(ROUNDS)
            ]
    ours, bare = (max(column) for column in zip(*samples, strict=True))
    limit = Limit("requests a second", ours, at_least=2_000)
    return Result(ours, "1/s", bare, ours / bare, limits=(limit,))


def emulator_get_flat() -> Result:
    """Get a pool from an account with thousands of pools and nodes, against an account with one pool."""
    with embedded_service() as alone, embedded_service() as crowded:
        few, many = Wire(alone), Wire(crowded)
        create_pool(few, "linux", 1)
        create_pool(many, "linux", MANY_NODES)
        for number in range(1, MANY_POOLS):
            create_pool(many, f"other-{number}", 0)
        wait_for_idle(many, MANY_NODES)
        requests = few.raw_get(pool("linux")), many.raw_get(pool("linux"))
        samples = [
            (measured_apart(_port(crowded), requests[1]), measured_apart(_port(alone), requests[0]))
            for _ in range(ROUNDS)
        ]
    beside, apart = (max(column) for column in zip(*samples, strict=True))
    limit = Limit("of the rate with one pool", beside / apart, at_least=0.8)
    return Result(beside, "1/s", apart, beside / apart, limits=(limit,))


def emulator_1000_nodes() -> Result:
    """Create a pool of 1,000 nodes and wait until they are idle."""
    seconds = min(_seconds_to_idle() for _ in range(ROUNDS))
    return Result(seconds, "s", None, None, limits=(Limit("s", seconds, at_most=2),))


def emulator_list_10000() -> Result:
    """List 10,000 nodes in pages of 1,000."""
    with embedded_service() as service:
        wire = Wire(service)
        create_pool(wire, "linux", MANY_NODES)
        wait_for_idle(wire, MANY_NODES)
        seconds = min(_seconds_to_list(wire) for _ in range(ROUNDS))
    return Result(seconds, "s", None, None, limits=(Limit("s", seconds, at_most=1),))


def emulator_node_memory() -> Result:
    """Compare the resident memory of the service with 10,000 idle nodes and with one."""
    with embedded_service() as service:
        wire = Wire(service)
        create_pool(wire, "small", 1)
        wait_for_idle(wire, 1)
        before = _resident_kilobytes(service)
        create_pool(wire, "linux", MANY_NODES)
        wait_for_idle(wire, MANY_NODES)
        grown = _resident_kilobytes(service) - before
    each = grown / MANY_NODES
    return Result(each, "KB/node", None, None, limits=(Limit("KB of a node", each, at_most=20),))


def _seconds_to_idle() -> float:
    with embedded_service() as service:
        wire = Wire(service)
        started = time.perf_counter()
        create_pool(wire, "linux", 1_000)
        wait_for_idle(wire, 1_000)
        return time.perf_counter() - started


def _seconds_to_list(wire: Wire) -> float:
    started = time.perf_counter()
    found, target = 0, f"/pools/linux/nodes?{VERSION}&maxresults=1000"
    while target:
        page = wire.get(target)
        found += len(page["value"])
        address = urlsplit(page.get("odata.nextLink", ""))
        target = address.path and f"{address.path}?{address.query}"
    assert found == MANY_NODES
    return time.perf_counter() - started


def create_pool(wire: Wire, pool_id: str, nodes: int) -> None:
    reference = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
    machine = {"imageReference": reference, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
    pool = {"id": pool_id, "vmSize": "standard_d2s_v5", "targetDedicatedNodes": nodes}
    wire.send("POST", f"/pools?{VERSION}", {**pool, "virtualMachineConfiguration": machine})


def wait_for_idle(wire: Wire, nodes: int) -> None:
    """Wait until a pool has this number of idle nodes."""
    deadline = time.monotonic() + 60
    while all(counts["dedicated"]["idle"] != nodes for counts in _counts(wire)):
        assert time.monotonic() < deadline
        time.sleep(PAUSE)


def _counts(wire: Wire) -> list[dict[str, dict[str, int]]]:
    found: list[dict[str, dict[str, int]]] = wire.get(f"/nodecounts?{VERSION}&maxresults=10")["value"]
    return found


def _resident_kilobytes(service: Service) -> float:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return float(status.partition("VmRSS:")[2].split()[0])


def pool(pool_id: str) -> str:
    return f"/pools/{pool_id}?{VERSION}"


def _port(service: Service) -> int:
    return urlsplit(service.endpoint).port or 0
