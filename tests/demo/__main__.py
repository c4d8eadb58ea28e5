"""Run both example Dags through Airflow on the embedded service, log in meanwhile, and report."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from airflow_provider_batchlinux.client.api.batch import open_client
from tests.demo.environment import DAGS, airflow_environment
from tests.demo.login import Login, make_key_pair, wait_and_log_in
from tests.demo.report import etl_lines, leftover_lines, pool_lines
from tests.embedded_service import Service, embedded_service

SPEED = 10


def main() -> int:
    """Run it all in a folder of its own; the answer is the exit code."""
    with tempfile.TemporaryDirectory(prefix="batchlinux-demo-") as name:
        folder = Path(name)
        with embedded_service(folder / "nodes", profile="realistic", speed=SPEED) as service:
            print(f"Embedded Batch service at {service.endpoint}, {SPEED} times as fast as Azure.")
            runs, login = _run_dags(folder, service)
            left = asyncio.run(_left_behind(service))
        left["processes"] = int(service.process.poll() is None)
    if not runs:
        return 1
    for line in (
        *pool_lines(runs["example_linux_pool"], login),
        *etl_lines(runs["example_etl"]),
        *leftover_lines(left),
    ):
        print(line)
    good = all(run["state"] == "success" for run in runs.values()) and login is not None
    return 0 if good and not any(left.values()) else 1


def _run_dags(folder: Path, service: Service) -> tuple[dict[str, Any], Login | None]:
    key, public_key = make_key_pair(folder)
    environment = airflow_environment(folder, service.connection(), public_key, os.environ)
    log, report = folder / "airflow.log", folder / "report.json"
    with log.open("w") as output:
        options: dict[str, Any] = {"env": environment, "stdout": output, "stderr": subprocess.STDOUT}
        subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, **options)
        print("Airflow runs example_linux_pool and example_etl ...", flush=True)
        command = [sys.executable, "-m", "tests.demo.airflow_run", str(DAGS), str(report)]
        with subprocess.Popen([*command, "example_linux_pool", "example_etl"], **options) as airflow:
            login = wait_and_log_in(service.settings, "etl", key, over_after=partial(_has_ended, airflow))
    if airflow.returncode != 0 or "failed" in report.read_text():
        print(log.read_text()[-20_000:])
    return (json.loads(report.read_text()) if report.exists() else {}), login


def _has_ended(process: subprocess.Popen[str], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


async def _left_behind(service: Service) -> dict[str, int]:
    async with open_client(service.settings) as client:
        pools = [pool async for pool in client.sdk.list_pools(select=["id"])]
        jobs = [job async for job in client.sdk.list_jobs(select=["id"])]
    return {"pools": len(pools), "jobs": len(jobs), "node directories": len(service.node_directories())}


if __name__ == "__main__":
    sys.exit(main())
