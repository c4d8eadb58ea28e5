"""What the provider's modules cost a Dag file that imports them."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from tests.bench.result import Result

ROUNDS = 5
PROGRAM = """
import json, sys, time
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, BaseOperatorLink, BaseHook
import airflow.triggers.base
started = time.perf_counter()
from airflow_provider_batchlinux.get_provider_info import get_provider_info
import importlib
info = get_provider_info()
for kind in ("operators", "sensors", "triggers"):
    for group in info[kind]:
        for module in group["python-modules"]:
            importlib.import_module(module)
for path in info["extra-links"]:
    importlib.import_module(path.rpartition(".")[0])
seconds = time.perf_counter() - started
azure = [name for name in sys.modules if name.split(".")[0] == "azure"]
print(json.dumps({"milliseconds": seconds * 1000, "azure": azure}))
"""


def parse_cost() -> Result:
    """Import every operator, sensor, trigger and link module over what airflow.sdk costs anyway."""
    samples = [_sample() for _ in range(ROUNDS)]
    return Result(statistics.median(samples), "ms", None, None, "less than 50, no azure module")


def _sample() -> float:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert not told["azure"], told["azure"]
    return float(told["milliseconds"])
