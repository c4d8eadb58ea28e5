"""The share that the provider's modules add to the import of ``airflow.sdk`` in a Dag file."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.bench.result import Limit, Result

ROUNDS = 7
AT_MOST = 3.0
"""Per cent."""

PROGRAM = """
import json, sys, time
started = time.process_time()
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, BaseOperatorLink, BaseHook
import airflow.triggers.base
without = time.process_time() - started
started = time.process_time()
from airflow_provider_batchlinux.get_provider_info import get_provider_info
import importlib
info = get_provider_info()
for kind in ("operators", "sensors", "triggers"):
    for group in info[kind]:
        for module in group["python-modules"]:
            importlib.import_module(module)
for path in info["extra-links"]:
    importlib.import_module(path.rpartition(".")[0])
seconds = time.process_time() - started
azure = [name for name in sys.modules if name.split(".")[0] == "azure"]
print(json.dumps({"share": 100 * seconds / without, "azure": azure}))
"""


def parse_cost() -> Result:
    """
    Import every operator, sensor, trigger and link module, after ``airflow.sdk`` in the same process.

    A share of processor time, because milliseconds say more about the machine and its load. The smallest of
    some runs, because everything that disturbs a run makes it slower.
    """
    share = min(_sample() for _ in range(ROUNDS))
    limit = Limit("share of importing airflow.sdk", share, at_most=AT_MOST)
    return Result(share, "%", None, None, "no azure module", (limit,))


def _sample() -> float:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout.splitlines()[-1])
    assert not measured["azure"], measured["azure"]
    return float(measured["share"])
