"""The server's time for the page Batch pools with 200 pools and 5,000 nodes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_batchlinux.client.overview.readings import AccountReading
from airflow_provider_batchlinux.core.pool_metadata import Holder, PoolMarks, rest_metadata
from airflow_provider_batchlinux.core.users.ledger import LedgerEntry, with_entry
from airflow_provider_batchlinux.emulator import airflow_connection, run_emulator
from tests.airflow_page import CONN, logins, served_page
from tests.bench.result import Limit, Result

__all__ = ["ui_pools_200"]

POOLS, NODES = 200, 5_000
ROUNDS = 5
"""The best round counts. All of this process counts as the server; the service is not asked."""


def ui_pools_200() -> Result:
    """Get the page with 200 pools and 5,000 nodes, which was read from the service before."""
    with tempfile.TemporaryDirectory() as home:
        # Airflow chooses its database when it is imported: not the one of the person who measures.
        database = f"sqlite:///{home}/airflow.db"
        names = {"AIRFLOW_HOME": home, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database}
        environment = {**os.environ, **names, "AIRFLOW__CORE__UNIT_TEST_MODE": "True"}
        line = [sys.executable, "-m", "tests.bench.page"]
        ran = subprocess.run(line, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    seconds = float(ran.stdout.split()[-1])
    limit = Limit("seconds of the server for the page", seconds, at_most=1.0)
    return Result(seconds, "s", None, None, limits=(limit,))


def _measure() -> float:
    reading = AccountReading(*_account())
    with (
        pytest.MonkeyPatch.context() as patched,
        run_emulator() as service,
        logins() as token_of,
        served_page(token_of) as airflow,
    ):
        connection = airflow_connection(service.endpoint, service.account, service.key, None)
        patched.setenv(f"AIRFLOW_CONN_{CONN.upper()}", connection)
        # The embedded service takes minutes to boot 5,000 nodes.
        name = "airflow_provider_batchlinux.client.overview.readings.read_account"
        patched.setattr(name, lambda _client: _answer(reading))
        return min([_seconds(airflow) for _ in range(1 + ROUNDS)][1:])


async def _answer(reading: AccountReading) -> AccountReading:
    return reading


def _seconds(airflow: Any) -> float:
    headers = airflow.headers("admin")
    began = time.process_time()
    answer = airflow.request("GET", "/", headers)
    took = time.process_time() - began
    assert answer.text.count('class="pool"') == POOLS
    return took


def _account() -> tuple[list[dict[str, Any]], dict[str, dict[str, int]]]:
    return [_pool(number) for number in range(POOLS)], {f"pool-{number}": _COUNTS for number in range(POOLS)}


_COUNTS = {"idle": 10, "running": 13, "starttaskfailed": 2}
_IMAGE = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}


def _pool(number: int) -> dict[str, Any]:
    now = datetime.now(timezone.utc)
    runs = tuple(Holder(f"dag {number}", f"scheduled__{day}", "tests") for day in range(5))
    owner = {
        "dag_id": f"dag {number}",
        "run_id": "scheduled__0",
        "task_id": "create",
        "installation": "tests",
    }
    metadata = PoolMarks(owner=owner, holders=runs).to_metadata()
    for name in ("nora", "otto"):
        metadata = with_entry(metadata, LedgerEntry(name, now + timedelta(hours=1), owner))
    return {
        "id": f"pool-{number}",
        "state": "active",
        "allocationState": "steady",
        "allocationStateTransitionTime": now - timedelta(hours=3),
        "creationTime": now - timedelta(days=1),
        "currentDedicatedNodes": NODES // POOLS,
        "targetDedicatedNodes": NODES // POOLS + 1,
        "resizeErrors": [{"code": "AccountCoreQuotaReached", "message": "The core quota is reached."}],
        "vmSize": "standard_d2s_v5",
        "virtualMachineConfiguration": {
            "imageReference": _IMAGE,
            "nodeAgentSKUId": "batch.node.ubuntu 24.04",
        },
        "metadata": rest_metadata(metadata),
    }


if __name__ == "__main__":
    print(_measure())
