"""The share that the provider's modules add to the import of ``airflow.sdk`` in a Dag file."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import airflow_provider_batchlinux as package
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
print(json.dumps({"share": 100 * seconds / without, "azure": azure, "file": sys.modules[info["hooks"][0][
    "python-modules"][0]].__file__}))
"""


def parse_cost() -> Result:
    """
    Import every operator, sensor, trigger and link module, after ``airflow.sdk`` in the same process.

    A share of processor time, because milliseconds say more about the machine and its load. The median of
    an odd number of runs.
    """
    with tempfile.TemporaryDirectory() as home:
        # pip compiles the modules of an installed package. A checkout may have no bytecode, and under
        # PYTHONDONTWRITEBYTECODE never gets any: then two thirds of the time are spent in the compiler,
        # while Airflow's modules are read from their bytecode. The first import of a copy compiles it.
        assert package.__file__ is not None
        copy = Path(home, package.__name__)
        shutil.copytree(Path(package.__file__).parent, copy, ignore=shutil.ignore_patterns("emulator"))
        _sample(home)
        share = statistics.median(_sample(home) for _ in range(ROUNDS))
    limit = Limit("share of importing airflow.sdk", share, at_most=AT_MOST)
    return Result(share, "%", None, None, "no azure module", (limit,))


def _sample(home: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        cwd=home,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
    )
    measured = json.loads(done.stdout.splitlines()[-1])
    assert not measured["azure"], measured["azure"]
    assert Path(measured["file"]).is_relative_to(home), measured["file"]
    return float(measured["share"])
