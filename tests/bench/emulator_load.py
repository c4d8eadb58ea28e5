"""The embedded service under load: the largest requests, and many tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread

from tests.bench.emulator import MANY_NODES, PAUSE, VERSION, create_pool, pool, wait_for_idle
from tests.bench.result import Limit, Result
from tests.embedded_service import Service, embedded_service
from tests.signed_requests import Wire

__all__ = ["emulator_big_bodies", "emulator_tasks"]

MANY_TASKS = 50_000
TASKS = 10_000
NODES = 100
COLLECTION = 100
_ROUNDS = 3
"""The best of these counts, because other work on the machine can only slow an answer down."""

_LARGE = "x" * 1_000_000
BIG_PARTS: tuple[dict[str, object], ...] = (
    {"commandLine": f"/bin/echo {_LARGE}"},
    {"commandLine": f"/bin/echo {'x' * 120_000}"},
    {"displayName": _LARGE},
    {"environmentSettings": [{"name": f"N{number}", "value": "v" * 900} for number in range(1_000)]},
    {"resourceFiles": [{"httpUrl": "http://127.0.0.1:1/f", "filePath": "a/" * 400_000}]},
    {"exitConditions": {"exitCodes": [{"code": number, "exitOptions": {}} for number in range(1, 5_000)]}},
    {"dependsOn": {"taskIdRanges": [{"start": 1, "end": 2**31 - 1}]}},
)
"""What a task may have besides its id, up to the limit of a body: 1 MiB."""


def emulator_big_bodies() -> Result:
    """Get a pool repeatedly beside the largest requests, and beside what they start."""
    slowest: dict[str, float] = {}
    for _ in range(_ROUNDS):
        with embedded_service() as service:
            wire = Wire(service)
            create_pool(wire, "linux", 1)
            wait_for_idle(wire, 1)
            for phase in (_large_tasks, _many_nodes, _many_tasks, _lists, _jobs, _leaving):
                with _probed(service) as seconds:
                    phase(wire)
                name = phase.__name__.removeprefix("_")
                slowest[name] = min(max(seconds), slowest.get(name, 9.0))
    worst = max(slowest, key=slowest.__getitem__)
    limit = Limit("s, the slowest answer", slowest[worst], at_most=0.2)
    return Result(slowest[worst], "s", None, None, f"slowest beside {worst}", limits=(limit,))


def emulator_tasks() -> Result:
    """Run instant commands on 100 nodes, from the first request to the end of the last one."""
    with embedded_service() as service:
        wire = Wire(service)
        create_pool(wire, "linux", NODES)
        wait_for_idle(wire, NODES)
        started = time.perf_counter()
        _add_job(wire, "linux")
        _add_tasks(wire, TASKS, lambda number: {"commandLine": "true" if number % 2 else "echo done"})
        _wait(lambda: _count(wire, "succeeded") == TASKS)
        rate = TASKS / (time.perf_counter() - started)
    return Result(rate, "1/s", None, None, limits=(Limit("tasks a second", rate, at_least=200),))


def _large_tasks(wire: Wire) -> None:
    _add_job(wire, "linux")
    for number, more in enumerate(BIG_PARTS):
        task = {"id": f"big-{number}", "commandLine": "/bin/true", **more}
        wire.send("POST", f"/jobs/job/tasks?{VERSION}", task)
    _add_tasks(wire, COLLECTION, lambda _: {"commandLine": "/bin/true " + "x " * 4_000})
    _wait(lambda: _count(wire, "completed") == COLLECTION + len(BIG_PARTS) - 1)
    wire.get(f"/jobs/job/tasks?{VERSION}")
    _delete_job(wire)


def _many_nodes(wire: Wire) -> None:
    create_pool(wire, "large", MANY_NODES)
    wait_for_idle(wire, MANY_NODES)


def _many_tasks(wire: Wire) -> None:
    _add_job(wire, "none")
    _add_tasks(wire, MANY_TASKS, lambda _: {"commandLine": "/bin/true"})


def _lists(wire: Wire) -> None:
    wire.get(f"/jobs/job/tasks?{VERSION}&$filter=state%20eq%20'completed'")
    wire.get(f"/jobs/job/tasks?{VERSION}")
    wire.get(f"/pools/large/nodes?{VERSION}&$filter=state%20eq%20'unusable'")


def _jobs(wire: Wire) -> None:
    wire.send("POST", f"/jobs/job/disable?{VERSION}", {"disableTasks": "requeue"})
    _wait(lambda: wire.get(f"/jobs/job?{VERSION}")["state"] == "disabled")
    wire.send("PATCH", f"/jobs/job?{VERSION}", {"poolInfo": {"poolId": "large"}})
    wire.send("POST", f"/jobs/job/enable?{VERSION}")
    _wait(lambda: _count(wire, "completed") > COLLECTION)
    wire.send("POST", f"/jobs/job/terminate?{VERSION}")
    _wait(lambda: wire.get(f"/jobs/job?{VERSION}")["state"] == "completed")
    _delete_job(wire)


def _leaving(wire: Wire) -> None:
    wire.send("POST", f"/pools/large/resize?{VERSION}", {"targetDedicatedNodes": 10})
    _wait(lambda: wire.get(pool("large"))["allocationState"] == "steady")
    wire.send("POST", f"/pools/large/resize?{VERSION}", {"targetDedicatedNodes": MANY_NODES})
    wait_for_idle(wire, MANY_NODES)
    wire.send("DELETE", pool("large"))
    _wait(lambda: wire.ask("GET", pool("large"), b"")[0] == 404)


@contextmanager
def _probed(service: Service) -> Iterator[list[float]]:
    """Get a pool repeatedly in a thread, and collect the seconds that each answer takes."""
    seconds: list[float] = []
    is_over = Event()

    def get_repeatedly() -> None:
        beside = Wire(service)
        while not is_over.is_set():
            started = time.perf_counter()
            beside.get(pool("linux"))
            seconds.append(time.perf_counter() - started)
            time.sleep(PAUSE)

    prober = Thread(target=get_repeatedly)
    prober.start()
    try:
        yield seconds
    finally:
        is_over.set()
        prober.join()


def _add_job(wire: Wire, pool_id: str) -> None:
    job = {"id": "job", "poolInfo": {"poolId": pool_id}, "usesTaskDependencies": True}
    wire.send("POST", f"/jobs?{VERSION}", job)


def _add_tasks(wire: Wire, number: int, more: Callable[[int], Mapping[str, object]]) -> None:
    for first in range(0, number, COLLECTION):
        tasks = [{"id": f"task-{each}", **more(each)} for each in range(first, first + COLLECTION)]
        wire.send("POST", f"/jobs/job/addtaskcollection?{VERSION}", {"value": tasks})


def _delete_job(wire: Wire) -> None:
    wire.send("DELETE", f"/jobs/job?{VERSION}")
    _wait(lambda: wire.ask("GET", f"/jobs/job?{VERSION}", b"")[0] == 404)


def _count(wire: Wire, state: str) -> int:
    number: int = wire.get(f"/jobs/job/taskcounts?{VERSION}")["taskCounts"][state]
    return number


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(10 * PAUSE)
