"""Run every benchmark, print a table, and write bench.json at the root of the project."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from tests.bench.emulator import (
    emulator_1000_nodes,
    emulator_get,
    emulator_get_flat,
    emulator_list_10000,
    emulator_node_memory,
)
from tests.bench.large_pool import large_pool_wait
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
    emulator_1000_nodes,
    emulator_list_10000,
    emulator_node_memory,
    waits_requests,
    waits_cpu,
    waits_memory,
    waits_lag,
    large_pool_wait,
)


def main() -> None:
    """Measure, one after the other."""
    logging.disable(logging.INFO)
    results = {benchmark.__name__: benchmark() for benchmark in BENCHMARKS}
    print(as_table(results))
    write_json(results, Path(__file__).parents[2] / "bench.json")


if __name__ == "__main__":
    main()
