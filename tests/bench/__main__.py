"""Run the named benchmarks, or all; print a table, and write bench.json to the root of the project."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.commands import (
    command_lag,
    live_output_requests,
    ready_lag,
    task_waits_cpu,
    task_waits_memory,
    task_waits_requests,
)
from tests.bench.emulator import (
    emulator_1000_nodes,
    emulator_get,
    emulator_get_flat,
    emulator_list_10000,
    emulator_node_memory,
)
from tests.bench.emulator_load import emulator_big_bodies, emulator_tasks
from tests.bench.jobs import decorator_overhead, fan_out_50, job_10000, submit_1000
from tests.bench.large_pool import large_pool_wait, large_pool_wait_bytes
from tests.bench.leases import lease_cost
from tests.bench.page import ui_pools_200
from tests.bench.parsing import parse_cost
from tests.bench.pools import create_requests
from tests.bench.result import Result, as_table, write_json
from tests.bench.users import users_200
from tests.bench.users_1000 import users_1000, users_1000_memory, users_1000_of_bound
from tests.bench.waits import waits_cpu, waits_lag, waits_memory, waits_requests

BENCHMARKS: tuple[Callable[[], Result], ...] = (
    users_200,
    users_1000,
    users_1000_of_bound,
    users_1000_memory,
    parse_cost,
    create_requests,
    emulator_get,
    emulator_get_flat,
    emulator_big_bodies,
    emulator_tasks,
    emulator_1000_nodes,
    emulator_list_10000,
    emulator_node_memory,
    waits_requests,
    lease_cost,
    waits_cpu,
    waits_memory,
    waits_lag,
    command_lag,
    ready_lag,
    task_waits_requests,
    task_waits_cpu,
    task_waits_memory,
    live_output_requests,
    fan_out_50,
    submit_1000,
    job_10000,
    decorator_overhead,
    large_pool_wait,
    large_pool_wait_bytes,
    ui_pools_200,
)

FILE = Path(__file__).parents[2] / "bench.json"


def main(names: Sequence[str]) -> None:
    """
    Run benchmarks one after the other. The process fails if one fails or exceeds a limit; the others are run.

    :param names: the benchmarks; empty for all.
    """
    logging.disable(logging.INFO)
    known = {benchmark.__name__: benchmark for benchmark in BENCHMARKS}
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(known)}.")
    results: dict[str, Result] = {}
    problems: list[str] = []
    for name in names or known:
        try:
            results[name] = known[name]()
        except Exception:
            traceback.print_exc()
            problems.append(f"{name} failed, see above")
        else:
            problems.extend(f"{name} missed: {what}" for what in results[name].missed)
            write_json({name: results[name]}, FILE)
    print(as_table(results))
    sys.exit("\n".join(problems) or None)


if __name__ == "__main__":
    main(sys.argv[1:])
