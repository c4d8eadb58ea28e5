"""The cost of the embedded service: a request, large bodies, a node, 1,000 nodes, a list of 10,000 nodes."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

from tests.bench.bare import bare_server
from tests.bench.load import measured_apart
from tests.bench.result import Limit, Result
from tests.embedded_service import Service, embedded_service
from tests.signed_requests import Wire

__all__ = [
    "emulator_1000_nodes",
    "emulator_big_bodies",
    "emulator_get",
    "emulator_get_flat",
    "emulator_list_10000",
    "emulator_node_memory",
]

VERSION = "api-version=2025-06-01"
ROUNDS = 5
"""The best round counts, because other work on the machine can only slow a round down."""
MANY_POOLS = 2_000
MANY_NODES = 10_000
_PAUSE = 0.005
_LARGE = "x" * 1_000_000
BIG_PARTS: tuple[dict[str, object], ...] = (
    {"commandLine": f"/bin/echo {_LARGE}"},
    {"commandLine": f"/bin/echo {'x' * 120_000}"},
    {"displayName": _LARGE},
    {"environmentSettings": [{"name": f"N{number}", "value": "v" * 900} for number in range(1_000)]},
    {"resourceFiles": [{"httpUrl": "http://127.0.0.1:1/f", "filePath": "a/" * 400_000}]},
    {"exitConditions": {"exitCodes": [{"code": number, "exitOptions": {}} for number in range(1, 5_000)]}},
)
"""What a task may have besides its id, up to the limit of a body: 1 MiB."""


def emulator_get() -> Result:
    """Get a pool repeatedly, against a handler that only sends the same number of bytes."""
    with embedded_service() as service:
        wire = Wire(service)
        _create_pool(wire, "linux", 1)
        with bare_server(wire.send("GET", _pool("linux"))) as port:
            request = wire.raw_get(_pool("linux"))
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
        _create_pool(few, "linux", 1)
        _create_pool(many, "linux", MANY_NODES)
        for number in range(1, MANY_POOLS):
            _create_pool(many, f"other-{number}", 0)
        _wait_for_idle(many, MANY_NODES)
        requests = few.raw_get(_pool("linux")), many.raw_get(_pool("linux"))
        samples = [
            (measured_apart(_port(crowded), requests[1]), measured_apart(_port(alone), requests[0]))
            for _ in range(ROUNDS)
        ]
    beside, apart = (max(column) for column in zip(*samples, strict=True))
    limit = Limit("of the rate with one pool", beside / apart, at_least=0.8)
    return Result(beside, "1/s", apart, beside / apart, limits=(limit,))


def emulator_big_bodies() -> Result:
    """Get a pool repeatedly while tasks whose bodies are as large as can be are added and run."""
    with embedded_service() as service:
        wire = Wire(service)
        _create_pool(wire, "linux", 1)
        _wait_for_idle(wire, 1)
        seconds = min(_slowest_beside_big_bodies(service, wire, f"job-{number}") for number in range(ROUNDS))
    return Result(seconds, "s", None, None, limits=(Limit("s, the slowest answer", seconds, at_most=0.2),))


def emulator_1000_nodes() -> Result:
    """Create a pool of 1,000 nodes and wait until they are idle."""
    seconds = min(_seconds_to_idle() for _ in range(ROUNDS))
    return Result(seconds, "s", None, None, limits=(Limit("s", seconds, at_most=2),))


def emulator_list_10000() -> Result:
    """List 10,000 nodes in pages of 1,000."""
    with embedded_service() as service:
        wire = Wire(service)
        _create_pool(wire, "linux", MANY_NODES)
        _wait_for_idle(wire, MANY_NODES)
        seconds = min(_seconds_to_list(wire) for _ in range(ROUNDS))
    return Result(seconds, "s", None, None, limits=(Limit("s", seconds, at_most=1),))


def emulator_node_memory() -> Result:
    """Compare the resident memory of the service with 10,000 idle nodes and with one."""
    with embedded_service() as service:
        wire = Wire(service)
        _create_pool(wire, "small", 1)
        _wait_for_idle(wire, 1)
        before = _resident_kilobytes(service)
        _create_pool(wire, "linux", MANY_NODES)
        _wait_for_idle(wire, MANY_NODES)
        grown = _resident_kilobytes(service) - before
    each = grown / MANY_NODES
    return Result(each, "KB/node", None, None, limits=(Limit("KB of a node", each, at_most=20),))


def _slowest_beside_big_bodies(service: Service, wire: Wire, job_id: str) -> float:
    wire.send("POST", f"/jobs?{VERSION}", {"id": job_id, "poolInfo": {"poolId": "linux"}})
    seconds: list[float] = []
    is_over = Event()

    def get_repeatedly() -> None:
        beside = Wire(service)
        while not is_over.is_set():
            started = time.perf_counter()
            beside.get(_pool("linux"))
            seconds.append(time.perf_counter() - started)
            time.sleep(_PAUSE)

    prober = Thread(target=get_repeatedly)
    prober.start()
    try:
        for number, more in enumerate(BIG_PARTS):
            task = {"id": f"big-{number}", "commandLine": "/bin/true", **more}
            wire.send("POST", f"/jobs/{job_id}/tasks?{VERSION}", task)
        many = [{"id": f"many-{number}", "commandLine": "/bin/true " + "x " * 4_000} for number in range(100)]
        wire.send("POST", f"/jobs/{job_id}/addtaskcollection?{VERSION}", {"value": many})
        counts = f"/jobs/{job_id}/taskcounts?{VERSION}"
        while wire.get(counts)["taskCounts"]["completed"] < len(BIG_PARTS) + len(many):
            time.sleep(_PAUSE)
    finally:
        is_over.set()
        prober.join()
    return max(seconds)


def _seconds_to_idle() -> float:
    with embedded_service() as service:
        wire = Wire(service)
        started = time.perf_counter()
        _create_pool(wire, "linux", 1_000)
        _wait_for_idle(wire, 1_000)
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


def _create_pool(wire: Wire, pool_id: str, nodes: int) -> None:
    reference = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
    machine = {"imageReference": reference, "nodeAgentSKUId": "batch.node.ubuntu 24.04"}
    pool = {"id": pool_id, "vmSize": "standard_d2s_v5", "targetDedicatedNodes": nodes}
    wire.send("POST", f"/pools?{VERSION}", {**pool, "virtualMachineConfiguration": machine})


def _wait_for_idle(wire: Wire, nodes: int) -> None:
    """Wait until a pool has this number of idle nodes."""
    deadline = time.monotonic() + 60
    while all(counts["dedicated"]["idle"] != nodes for counts in _counts(wire)):
        assert time.monotonic() < deadline
        time.sleep(_PAUSE)


def _counts(wire: Wire) -> list[dict[str, dict[str, int]]]:
    found: list[dict[str, dict[str, int]]] = wire.get(f"/nodecounts?{VERSION}&maxresults=10")["value"]
    return found


def _resident_kilobytes(service: Service) -> float:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return float(status.partition("VmRSS:")[2].split()[0])


def _pool(pool_id: str) -> str:
    return f"/pools/{pool_id}?{VERSION}"


def _port(service: Service) -> int:
    return urlsplit(service.endpoint).port or 0
